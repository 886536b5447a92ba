# Strength behind the last colon, where it is a number; -t may be repeated; the base comes from nowhere else.
run=$SAMPLES/miller-sft
quern pack "$SAMPLES/miller-base" --adapter "$run/checkpoint-100:0.5" --adapter "$run/checkpoint-400" -t Q8_0 -t F16 -o out \
    --dry-run | grep -E "adapter|gguf"
quern pack "$SAMPLES/miller-base" --adapter "$run/checkpoint-100:half" -o out
