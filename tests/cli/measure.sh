# Perplexity, divergence and importance of the sample on a short text; what is wrong with an input is told.
TEXT=$TESTDATA/text/mill.txt
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t F32,Q4_0 --outtype f32 -o . --name m -q
speed() { sed -E 's/[0-9]+ tokens\/s/N tokens\/s/; s/([0-9]+\.[0-9])[0-9]+/\1/g'; }
try() {
    "$@" 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
echo "- perplexity"
quern perplexity m-F32.gguf --text "$TEXT" --ctx 64 -q | speed
quern perplexity m-F32.gguf --text "$TEXT" --ctx 64 -q --json | python3 -c "
import json, sys
d = json.load(sys.stdin)
print(d['model'], d['text']['n_tokens'], d['text']['n_chunks'], d['n_counted'], sorted(d['perplexity']))"
quern perplexity m-F32.gguf --text "$TEXT" -q --chunks 1 --batch 32 | sed -n 's/.*\(1 chunk of.*\)/\1/p'
echo "- divergence"
quern kld m-F32.gguf m-Q4_0.gguf --text "$TEXT" --ctx 64 -q | awk '{print $1}' | tr '\n' ' '
echo
quern kld m-F32.gguf m-Q4_0.gguf --text "$TEXT" --ctx 64 -q --json | python3 -c "
import json, sys
d = json.load(sys.stdin)
k, p = d['kld'], d['perplexity']
print(d['base'], d['model'], d['n_compared'], sorted(d))
print('mean', 0.005 < k['mean']['value'] < 0.05, 'error', 0 < k['mean']['error'] < 0.01)
print('ordered', sorted(k['percentiles'].values(), reverse=True) == list(k['percentiles'].values()))
print('same top', 0.8 < d['same_top']['value'] < 1, 'ratio', abs(p['ratio']['value'] - p['model']['value'] / p['base']['value']) < 1e-6)"
quern kld m-F32.gguf m-F32.gguf --text "$TEXT" --ctx 64 -q | sed -n '/mean KLD/p;/same top/p;/  ratio/p'
echo "- folders"
kld() { quern kld "$@" --text "$TEXT" --ctx 64 -q --json | python3 -c "import json, sys; print(json.load(sys.stdin)['kld'])"; }
test "$(kld m-F32.gguf m-Q4_0.gguf)" = "$(kld "$SAMPLES/miller-sft" "$SAMPLES/miller-sft" -t Q4_0)" && echo "nothing written, the same figures"
quern perplexity "$SAMPLES/miller-sft" --text "$TEXT" --ctx 64 -q | speed | grep perplexity
try quern kld "$SAMPLES/miller-sft" m-Q4_0.gguf -t Q4_0 --text "$TEXT"
try quern perplexity "$SAMPLES/miller-sft" -t Q4 --text "$TEXT"
echo "- importance"
quern imatrix m-F32.gguf --text "$TEXT" --ctx 64 -o m.dat -q | speed | sed 's/ROOT/./'
cp "$TEXT" text.txt
quern imatrix m-F32.gguf --text text.txt --ctx 64 -o m.gguf -q --json | python3 -c "
import json, sys
d = json.load(sys.stdin)
print(d['path'], d['n_entries'], d['n_chunks'], d['chunk_size'], d['n_unseen'], d['n_resumed'])"
quern imatrix --in-file m.gguf --in-file m.dat --ctx 64 -o sum.gguf
quern imatrix m-F32.gguf --text text.txt --ctx 64 --in-file m.gguf --chunks 4 -o more.gguf -q | grep -v text | speed
quern inspect sum.gguf | grep -i imatrix
quern quantize m-F32.gguf -t IQ2_XS --imatrix sum.gguf -o . --name q -q && ls q-IQ2_XS.gguf
echo "- refusals"
echo "Good morrow." >short.txt
try quern perplexity m-F32.gguf --text short.txt
try quern perplexity m-F32.gguf
try quern perplexity m-F32.gguf --text nowhere.txt
try quern perplexity m-F32.gguf --text text.txt --ctx 4
try quern perplexity m-F32.gguf --text text.txt --ctx 100000
try quern perplexity text.txt --text text.txt
try quern kld m-F32.gguf --text text.txt
LC_ALL=C sed 's/tokenizer\.ggml\.model/tokenizer.ggml.nodel/' m-Q4_0.gguf >unspoken.gguf
try quern perplexity unspoken.gguf --text text.txt
LC_ALL=C sed 's/shall/shell/' m-Q4_0.gguf >other.gguf
try quern kld m-F32.gguf other.gguf --text text.txt
try quern imatrix m-F32.gguf --text text.txt --ctx 64 -o m.gguf
try quern imatrix m-F32.gguf --text text.txt --ctx 64 -o nowhere/m.gguf
try quern imatrix m-F32.gguf --text text.txt --ctx 64 -o m-F32.gguf --force
try quern imatrix m-F32.gguf --text text.txt --ctx 64 -o ./text.txt --force
mkdir folder
try quern imatrix m-F32.gguf --text text.txt --ctx 64 -o folder --force
try quern imatrix m-F32.gguf -o new.gguf
try quern imatrix -o new.gguf
try quern imatrix m-F32.gguf --text text.txt
try quern imatrix --in-file m-F32.gguf -o new.gguf
try quern imatrix --in-file text.txt -o new.gguf
try quern imatrix m-F32.gguf --text text.txt --ctx 64 --in-file "$TESTDATA/gguf/imatrix.gguf" -o new.gguf
LC_ALL=C sed 's/blk\.3\./blk.9./g' m.gguf >layer.gguf
try quern imatrix m-F32.gguf --text text.txt --ctx 64 --in-file layer.gguf -o new.gguf
LC_ALL=C sed 's/imatrix\.chunk_size/imatrix.chunk_sise/' m.gguf >keyless.gguf
try quern imatrix --in-file keyless.gguf -o new.gguf
ls | grep -c "new\|part" || true
