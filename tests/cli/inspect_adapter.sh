quern inspect "$SAMPLES/miller-sft/checkpoint-400"
