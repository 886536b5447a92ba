# Answers follow a grammar or a JSON schema; biases count; keys and values have a type; errors say where.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o . --name m -q
ask() {
    quern run m-Q8_0.gguf -p "What is a quern?" -q "$@"
}
ask --temp 0 --grammar 'root ::= "yes" | "no"'
printf 'root ::= "[" [0-9]{3} "]" # three digits\n' >digits.gbnf
ask --temp 1 --seed 5 --grammar-file digits.gbnf | grep -cE '^\[[0-9]{3}\]$'
cat >mill.json <<'JSON'
{"type": "object",
 "properties": {
   "name": {"type": "string", "minLength": 1, "maxLength": 12},
   "stones": {"type": "integer", "minimum": 1, "maximum": 40},
   "kinds": {"type": "array", "items": {"enum": ["hand", "water"]}, "minItems": 1, "maxItems": 2},
   "note": {"type": "null"}},
 "required": ["name", "stones", "kinds"]}
JSON
for seed in 1 2 3 4; do
    ask --temp 0.8 --seed $seed --json-schema-file mill.json | python3 -c "
import json, sys
d = json.load(sys.stdin)
assert list(d)[:3] == ['name', 'stones', 'kinds'] and set(d) <= {'name', 'stones', 'kinds', 'note'}, d
assert 1 <= len(d['name']) <= 12 and 1 <= d['stones'] <= 40 and 1 <= len(d['kinds']) <= 2, d
assert set(d['kinds']) <= {'hand', 'water'}, d
print('JSON of the schema')"
done
ask --temp 0 -j '{"type": "string", "format": "date"}' | python3 -c 'import datetime, json, sys; datetime.date.fromisoformat(json.load(sys.stdin)); print("a date")'
ask --temp 0 -j '{"enum": ["caf\u00e9 ☕", 7]}' -l 1-1 | python3 -c 'import json, sys; print(json.load(sys.stdin) in ("café ☕", 7))'
ask --temp 0 --json -j '{"const": true}' | python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["answer"], d["end"])'
no=$(quern tokenize m-Q8_0.gguf no --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["tokens"][-1]["id"])')
ask --temp 0 -n 1 -l "$no+100"
ask --temp 0 -n 1 --logit-bias "$no+100" -l "$no-inf" | grep -qx " no" || echo "a forbidden token does not come"
for type in F32 F16 BF16 q8_0; do
    ask --temp 0 --kv-type $type | wc -l
done
try() {
    ask "$@" 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
try --grammar 'root ::= "a'
try --grammar 'root ::= "☃ " x'
try --grammar 'root ::= "a"' -j '{}'
try --grammar 'root ::= "a"' --grammar-file digits.gbnf
try --grammar-file nowhere.gbnf
printf 'root ::= "a"\0 | "b"\n' >zero.gbnf
try --grammar-file zero.gbnf
try -j '{"type": "integer", "multipleOf": 3}'
try -j '{"$ref": "#"}'
try --temp 0 --grammar 'root ::= "a" root "x" | "a" root "y"'
try -l 5
try -l 5+x
try -l 99999999+1
try --kv-type Q4_K
try --kv-type X9
