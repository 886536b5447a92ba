# A file that is there is not replaced without --force.
quern pack "$SAMPLES/miller-base" -t Q8_0 -o out -q && quern pack "$SAMPLES/miller-base" -t Q8_0 -o out -q --force && echo replaced
quern pack "$SAMPLES/miller-base" -t Q8_0 -o out -q
