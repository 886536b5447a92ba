# Folders, runs and adapters answer as the packed file does, and write nothing; what cannot be run says why.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o . --name m -q
quern pack "$SAMPLES/miller-base" -t Q8_0 -o . --name base -q
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" --preset lora -o . -q
ask() {
    quern run "$@" -p "What is a quern?" --temp 0 -q
}
ask "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft"
ask "$SAMPLES/miller-sft" -t Q4_K_M
ask "$SAMPLES/miller-sft/checkpoint-400" -t F32
ask --adapter "$SAMPLES/miller-sft/checkpoint-400" -t BF16
ask "$SAMPLES/miller-base" --adapter checkpoint-400-lora.gguf -t F16
ask base-Q8_0.gguf --run "$SAMPLES/miller-sft" --checkpoint last
ask base-Q8_0.gguf --adapter "$SAMPLES/miller-sft/checkpoint-400"
ask base-Q8_0.gguf --adapter checkpoint-400-lora.gguf:0.5 --adapter checkpoint-400-lora.gguf:0.5
say() {
    quern run "$@" --raw -p "What news on the Rialto" --temp 0.9 --seed 5 -n 60 -q
}
test "$(say "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft")" = "$(say m-Q8_0.gguf)" && echo "the packed file's tokens"
test "$(say base-Q8_0.gguf)" = "$(say "$SAMPLES/miller-base")" && echo "the base's, too"
test "$(say base-Q8_0.gguf)" = "$(say base-Q8_0.gguf --adapter checkpoint-400-lora.gguf:0)" && echo "none of an adapter is none"
quern run base-Q8_0.gguf --adapter checkpoint-400-lora.gguf -p hi -n 2 2>&1 >/dev/null | grep adapters
memory() {
    quern run "$@" -p hi -n 2 --json | python3 -c "
import json, sys
m = json.load(sys.stdin)['memory']
print(m['weights_bytes'], m['encoded_bytes'], m['adapters_bytes'])"
}
memory base-Q8_0.gguf --adapter checkpoint-400-lora.gguf
memory "$SAMPLES/miller-sft"
ls
try() {
    quern run "$@" -p hi 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
try
try m-Q8_0.gguf -t Q4_0
try "$SAMPLES/miller-base" -t Q9
try "$SAMPLES/miller-base" -t IQ1_S
try base-Q8_0.gguf --adapter m-Q8_0.gguf
try base-Q8_0.gguf --adapter nowhere
try checkpoint-400-lora.gguf
try .
