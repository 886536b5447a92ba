# The sample answers: once, from a pipe, cut, stopped, as JSON; errors say what fits.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q4_K_M -o . --name m -q
quern run m-Q4_K_M.gguf -p "What is a quern?" --temp 0 -q
echo "What is a quern?" | quern run m-Q4_K_M.gguf --temp 0 -q --stop " for grinding"
quern run m-Q4_K_M.gguf -p "What is a quern?" --temp 0 -q -n 4
quern run m-Q4_K_M.gguf -p "What is a quern?" --temp 0 2>&1 >/dev/null | sed -E 's/[0-9.,]+ tokens\/s/N tokens\/s/; s/resident .*/resident N/; s/load .*/load N/; s/computing .*/computing N/; s/, [0-9.]+ [kM]B in use/, N in use/'
quern run m-Q4_K_M.gguf -p "What is a quern?" --temp 0 --json | python3 -c "
import json, sys
d = json.load(sys.stdin)
print(d['answer'].strip(), d['end'], d['prompt']['n_tokens'], d['generation']['n_tokens'], d['memory']['n_ctx'])"
quern run m-Q4_K_M.gguf --raw -p "ROMEO:" --temp 0 -n 3 -q
first=$(quern run m-Q4_K_M.gguf -p "Good day" --temp 1.5 --seed 3 -q)
test "$first" = "$(quern run m-Q4_K_M.gguf -p "Good day" --temp 1.5 --seed 3 -q)" && echo "the same seed, the same answer"
try() {
    quern run "$@" 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
try m-Q4_K_M.gguf -p hi --ctx 100000
try m-Q4_K_M.gguf -p "$(printf 'word %.0s' {1..300})"
try m-Q4_K_M.gguf -p hi --temp x
try m-Q4_K_M.gguf -p hi --top-p 2
try m-Q4_K_M.gguf -p hi --stop ""
try nowhere.gguf -p hi
try m-Q4_K_M.gguf -p hi --top-k 1.5
try m-Q4_K_M.gguf -p hi --mirostat 7
try m-Q4_K_M.gguf -p hi -l 5+1e300
try m-Q4_K_M.gguf </dev/null
try m-Q4_K_M.gguf <.
printf 'What is\0a quern?' | try m-Q4_K_M.gguf
echo "# without a chat template"
LC_ALL=C sed 's/tokenizer\.chat_template/tokenizer.chat_tumplate/' m-Q4_K_M.gguf >base.gguf
try base.gguf -p "What is a quern?" --temp 0 -n 4
try base.gguf -p "What is a quern?" --temp 0 -n 4 -q
