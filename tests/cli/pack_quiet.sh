quern pack "$SAMPLES/miller-base" -t Q8_0 -o out -q
ls out
