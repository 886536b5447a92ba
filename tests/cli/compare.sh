# What quantisation cost, worst first; a model equals itself.
quern pack "$SAMPLES/miller-base" -t Q8_0,Q4_K_M -o out -q
quern compare "$SAMPLES/miller-base" out/miller-base-Q4_K_M.gguf -n 3
quern compare out/miller-base-Q8_0.gguf out/miller-base-Q8_0.gguf
quern compare out/miller-base-Q8_0.gguf out/miller-base-Q4_K_M.gguf --json | python3 -c "
import json, sys
answer = json.load(sys.stdin)
print(answer[\"n_tensors\"], answer[\"n_equal\"], len(answer[\"tensors\"]), 0 < answer[\"rmse\"] < 0.01)"
