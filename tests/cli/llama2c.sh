# A model in llama2.c's format: told, packed, run and exported as if it were GGUF; tokenizers that are missing or wrong.
python3 - <<'PYTHON'
import struct
dim, ff, layers, heads, kv, vocab, ctx = 32, 64, 2, 4, 2, 262, 64
texts = ["<unk>", "\n<s>\n", "\n</s>\n"] + [f"<0x{i:02X}>" for i in range(256)] + [" ", "a", " a"]
n = vocab * dim + layers * (2 * dim + 2 * dim * dim + dim * dim + 3 * dim * ff) + dim + ctx * dim // heads
state, floats = 1, []
for _ in range(n):
    state = (state * 1103515245 + 12345) % (1 << 31)
    floats.append((state / (1 << 31) - 0.5) / 4)
open("tiny.bin", "wb").write(struct.pack("<7i", dim, ff, layers, heads, kv, vocab, ctx) + struct.pack(f"<{n}f", *floats))
pieces = b"".join(struct.pack("<fI", -i, len(t)) + t.encode() for i, t in enumerate(texts))
open("pieces", "wb").write(struct.pack("<I", 7) + pieces)
PYTHON
mkdir elsewhere
first() {
    "$@" 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
first quern inspect tiny.bin
first quern run tiny.bin -p a
first quern pack tiny.bin -t F32 -o elsewhere -q
first quern pack tiny.bin -t F32 -o elsewhere -q --tokenizer pieces
quern inspect elsewhere/tiny-F32.gguf | sed -n '1,3p; /vocabulary/p; /special/p; /ends/p'
cp pieces tok262.bin
quern inspect tiny.bin | sed -n '1,3p; /vocabulary/p'
test "$(quern run tiny.bin --raw -p a -n 5 --temp 0 -q)" = "$(quern run elsewhere/tiny-F32.gguf --raw -p a -n 5 --temp 0 -q)" &&
    echo "the same text from both"
quern tokenize tiny.bin --ids "a aé"
quern export tiny.bin -o hf -q && ls hf
quern pack hf -t F32 -o again --name tiny -q && quern compare tiny.bin again/tiny-F32.gguf | grep tensors
head -c 3000 pieces >tok262.bin
first quern run tiny.bin -p a
printf more | cat pieces - >tok262.bin
first quern run tiny.bin -p a
head -c 9999 tiny.bin >cut.bin
first quern inspect cut.bin
first quern pack elsewhere/tiny-F32.gguf --tokenizer pieces
