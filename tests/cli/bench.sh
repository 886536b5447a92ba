# What `quern bench` prints: its shape, not its figures; and what it refuses.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o . --name m -q
quern bench m-Q8_0.gguf -p 16,32 -n 4 --threads 1,2 -b 8,32 -r 2 2>/dev/null | sed -E 's/ +/ /g; /pp|tg/ s/[0-9.]+ [0-9.]+( [0-9.]+ [kMG]B\/s)?$/N N/'
quern bench m-Q8_0.gguf -p 16 -n 4 -r 3 --threads 2 --json 2>/dev/null | python3 -c "
import json, sys
d = json.load(sys.stdin)
print(d['arch'], d['n_weights'], d['size_bytes'], round(d['bits_per_weight'], 2), d['bytes_a_token'])
for t in d['tests']:
    speed = t['tokens_a_second']
    mean = sum(speed['samples']) / len(speed['samples'])
    print(t['test'], t['n_prompt'], t['n_predict'], t['n_threads'], t['n_batch'], len(speed['samples']),
          abs(mean / speed['mean'] - 1) < 1e-6, speed['deviation'] >= 0, t['weights_bytes_a_second'] is not None)"
try() {
    quern bench "$@" 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
try m-Q8_0.gguf -p 100000
try m-Q8_0.gguf -p 0 -n 0
try m-Q8_0.gguf -p 1,x
try m-Q8_0.gguf --threads 0
try nowhere.gguf
try
