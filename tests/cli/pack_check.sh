# Outputs are run and compared before they get their names: figures in the table and the events; a limit keeps a file
# from its name, and what was encoded is not encoded again; what contradicts itself is refused.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0,Q4_K_M,Q2_K -o out --json >events
python3 -c "
import json
found = {e[\"type\"]: e[\"check\"] for e in map(json.loads, open(\"events\")) if e[\"event\"] == \"output\"}
low = {\"Q8_0\": 0.0002, \"Q4_K_M\": 0.01, \"Q2_K\": 0.08}
for kind, check in found.items():
    assert check[\"n_compared\"] == 252 and 0 < check[\"kld_error\"] < check[\"kld\"] / 4, check
    print(kind, low[kind] < check[\"kld\"] < 3 * low[kind], 0.75 < check[\"same_top\"] < 1, check[\"answer_ended\"])"
echo "- the same as quern kld"
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t F32,Q2_K -o same --check-text "$SAMPLES/miller-sft-questions.json" --json >events
quern kld same/miller-sft-F32.gguf same/miller-sft-Q2_K.gguf --text "$SAMPLES/miller-sft-questions.json" \
    --ctx 128 --chunks 4 --json >kld 2>/dev/null
python3 -c "
import json
check = [json.loads(line) for line in open(\"events\") if \"Q2_K.gguf\\\",\\\"type\" in line][-1][\"check\"]
kld = json.load(open(\"kld\"))
print(kld[\"n_compared\"] == check[\"n_compared\"], abs(kld[\"kld\"][\"mean\"][\"value\"] - check[\"kld\"]) < 1e-5,
      abs(kld[\"kld\"][\"mean\"][\"error\"] - check[\"kld_error\"]) < 1e-5)"
echo "- a limit"
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0,Q2_K -o gate --check-max-kld 0.05 2>&1 |
    sed -E "/^ +FILE .*KLD/,\$!d; s/0[.][0-9]{5,}/N/g; s/[0-9.]+% .*/.../; s/ +/ /g"
echo "exit ${PIPESTATUS[0]}"
ls gate
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0,Q2_K -o gate --check-max-kld 0.5 2>&1 | grep going
ls -A gate
echo "- none"
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o none --no-check | grep -c -e KLD -e "check  "
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o none --no-check --check-max-kld 1
echo "exit $?"
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" --preset lora -o none --check
echo "exit $?"
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o none --check-max-kld little
echo "exit $?"
echo "- what is not run"
quern pack "$SAMPLES/miller-base" -t F16 -o . --name plain -q
odd() {
    quern quantize plain-F16.gguf -t Q8_0 -o odd --force "$@" 2>&1 | grep -e "^quern" -e "^Q8_0" -e "KLD" | sed -E "s/ +/ /g"
    echo "exit ${PIPESTATUS[0]}"
}
odd --override-kv llama.rope.scaling.type=str:unheard
odd --override-kv llama.rope.scaling.type=str:unheard --check
odd --override-kv "tokenizer.chat_template=str:{{ nope( }}" --no-check
odd --override-kv "tokenizer.chat_template=str:{{ nope( }}"
odd --override-kv "tokenizer.chat_template=str:{{ nope( }}" --check
