# SIGTERM while the plan is on its way to a reader that has not read it: cancelled, exit code 130, nothing under a
# final name; the same command goes on.
types=F32,F16,BF16,Q8_0,Q4_0,Q4_1,Q5_0,Q5_1,Q2_K,Q3_K_S,Q3_K_M,Q3_K_L,Q4_K_S,Q4_K_M,Q5_K_S,Q5_K_M,Q6_K
mkfifo events
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t $types -o out --json >events &
exec 3<events
head -c 1 <&3 >/dev/null
kill -TERM $!
sleep 0.2
tail -n 1 <&3 | cut -c 1-41
wait $!
echo "exit $?"
find . -name "*.gguf"
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t $types -o out -q && ls out | wc -l
