# The plan with every tensor; nothing is written. What depends on the machine is taken out.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q4_K_M,Q8_0 -o out --dry-run --threads 2 |
    sed -E "s/of [0-9.]+ .B free/of N GB free/; s/about [0-9.]+ .B,/about N MB,/"
[ ! -e out ] && echo "nothing there"
