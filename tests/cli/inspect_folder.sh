quern inspect "$SAMPLES/miller-base" --tensors | head -n 30
