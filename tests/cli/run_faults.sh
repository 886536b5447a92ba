# Files that lie and requests that cannot be met: each is told what is wrong and where, with its exit code; none crashes.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q4_K_M -o . --name m -q
good=m-Q4_K_M.gguf
# try FILE [options]: the first line of what is said, without what changes with machine and version
try() {
    timeout 60 quern run "$@" --temp 0 -n 4 -q </dev/null 2>&1 | head -n 1 |
        sed -E 's/and [0-9.]+ GB of memory are free: at most [0-9]+ tokens/and N GB of memory are free: at most N tokens/; s/these can: .*/these can: …/'
    echo "exit ${PIPESTATUS[0]}"
}
# with KEY=TYPE:VALUE [options]: the model with another value in its metadata
with() {
    quern quantize "$good" -t COPY -o . --name x --force --no-sync -q --override-kv "$1" || return
    shift
    try x-COPY.gguf -p hi "$@"
}
# patched 'PYTHON' : the model after PYTHON has changed its bytes b; put(key, value) sets an integer of the metadata
patched() {
    python3 - "$good" "$1" <<'PYTHON'
import struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
def place(name):  # behind a name in the header
    text = struct.pack("<Q", len(name)) + name.encode()
    return b.index(text) + len(text)
def tensor(name, skip):  # behind the number of dimensions of a tensor
    return place(name) + 4 + skip
exec(sys.argv[2])
open("x.gguf", "wb").write(b)
PYTHON
    try x.gguf -p hi
}

echo "# sizes"
patched 'del b[-100000:]'
patched 'del b[5000:]'
patched 'del b[10:]'
patched 'b.clear()'
patched 'struct.pack_into("<Q", b, 8, 1 << 62)'
patched 'struct.pack_into("<Q", b, 16, 1 << 40)'
patched 'struct.pack_into("<Q", b, tensor("blk.0.attn_q.weight", 20), 1 << 50)'
patched 'struct.pack_into("<Q", b, tensor("blk.1.ffn_down.weight", 8), 1 << 61)'
patched 'struct.pack_into("<Q", b, tensor("blk.1.ffn_down.weight", 8), 0)'
patched 'struct.pack_into("<I", b, tensor("blk.1.ffn_down.weight", 16), 99)'
patched 'b[place("blk.1.ffn_down.weight") - 1] = ord("x")'

echo "# hyper-parameters"
with llama.attention.head_count=int:0
with llama.attention.head_count=int:3
with llama.attention.head_count_kv=int:0
with llama.block_count=int:5
with llama.block_count=int:1000000
with llama.embedding_length=int:512
with llama.embedding_length=int:0
with llama.feed_forward_length=int:7
with llama.context_length=int:0
with llama.rope.dimension_count=int:9999
with llama.rope.freq_base=float:-1
patched 'b[place("general.architecture") + 12] = ord("x")'

echo "# vocabulary"
with tokenizer.ggml.model=str:none
patched 'b[place("tokenizer.ggml.model") - 1] = ord("x")'
patched 'b[place("tokenizer.ggml.tokens") - 1] = ord("x")'
patched 'struct.pack_into("<I", b, place("tokenizer.ggml.tokens"), 8)'

echo "# templates"
with "tokenizer.chat_template=str:{% for"
with "tokenizer.chat_template=str:{{ messages[0].content"
with "tokenizer.chat_template=str:{% for i in range(9000) %}{% for j in range(9000) %}{% for k in range(9000) %}{% endfor %}{% endfor %}{% endfor %}"
with "tokenizer.chat_template=str:{% for i in range(90000) %}{% for j in range(90000) %}{{ 'xxxxxxxx' * 999 }}{% endfor %}{% endfor %}"
with "tokenizer.chat_template=str:{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}"
with "tokenizer.chat_template=str:{{ raise_exception('only Latin is spoken here') }}"
with "tokenizer.chat_template=str:{{ nothing.there }}"

echo "# context"
try "$good" -p "$(printf 'word %.0s' {1..300})"
try "$good" -p hi --ctx 193
with llama.context_length=int:268435456 --ctx 268435456
