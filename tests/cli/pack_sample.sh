# Plan, results and what to type next; the files are there and no part of one is.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q4_K_M,Q8_0 -o "my out" --threads 2 |
    sed -E "s/of [0-9.]+ .B free/of N GB free/; s/about [0-9.]+ .B,/about N MB,/" |
    sed -E "s/[0-9.]+ ±[0-9.]+ +[0-9.]+%/KLD TOP/; s/([0-9.]+) +[0-9.]+ +[0-9.]+$/\1 N N/; s/ +/ /g"
ls "my out"
