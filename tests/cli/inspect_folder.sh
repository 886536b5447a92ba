quern inspect "$SAMPLES/miller-base" --tensors >all
sed -n '1,/METADATA/p' all
tail -n 3 all
