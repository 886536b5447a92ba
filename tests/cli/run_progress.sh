# How far a long prompt has been read is told on a terminal, from two seconds on, and gone before the answer; the bar of
# `quern bench` moves within a prompt.
export TERM=xterm
cat >slowly.py <<'PYTHON'
"""slowly.py INPUT WANTED COMMAND…: runs COMMAND before a terminal, and holds it most of the time until that shows WANTED,
so that every machine is slow enough; prints what the terminal got, a line for each time that a line was drawn."""
import os, pty, re, select, signal, subprocess, sys, time
screen, started = "", time.time()
master, slave = pty.openpty()
child = subprocess.Popen(sys.argv[3:], stdin=open(sys.argv[1]), stdout=slave, stderr=slave)
os.close(slave)
while True:
    is_held = not re.search(sys.argv[2], screen) and time.time() < started + 20
    if is_held:
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        child.send_signal(signal.SIGCONT)
    if select.select([master], [], [], 0.01 if is_held else 0.1)[0]:
        try:
            screen += os.read(master, 4096).decode()
        except OSError:
            break
print(screen.replace("\r\x1b[K", "\r(erased)").replace("\x1b[K", "").replace("\r\n", "\n").replace("\r", "\n"), end="")
sys.exit(child.wait())
PYTHON
python3 - <<'PYTHON'
import array, struct
dim, ff, layers, heads, kv, vocab, ctx = 64, 128, 4, 4, 2, 262, 4096
texts = ["<unk>", "\n<s>\n", "\n</s>\n"] + [f"<0x{i:02X}>" for i in range(256)] + [" ", "a", " a"]
n = vocab * dim + layers * (2 * dim + 2 * dim * dim + dim * dim + 3 * dim * ff) + dim + ctx * dim // heads
open("m.bin", "wb").write(struct.pack("<7i", dim, ff, layers, heads, kv, vocab, ctx) + array.array("f", [0.01] * n).tobytes())
pieces = b"".join(struct.pack("<fI", -i, len(t)) + t.encode() for i, t in enumerate(texts))
open("tok262.bin", "wb").write(struct.pack("<I", 7) + pieces)
open("long", "w").write("a a" * 2000)
open("short", "w").write("a a")
PYTHON
run=(quern run m.bin --raw -n 2 --temp 0 --threads 1 --grammar 'root ::= "aa"')
echo "# a long prompt"
python3 slowly.py long 'Prompt.*left' "${run[@]}" >screen
grep -oE 'Prompt +[0-9]+%.* t/s .* left' screen | sed -E 's/ +[0-9].*//' | uniq
sed -n '/Prompt/,$p' screen | grep -v Prompt | sed -E '/aa|prompt/!d; s/(tokens),.*/\1/'
echo "# none that is told of is a short one, or in a file"
python3 slowly.py short . "${run[@]}" | grep -c Prompt
"${run[@]}" <long 2>&1 | grep -c Prompt
echo "# within one prompt"
python3 slowly.py short 'Bench +([1-9]|[1-4][0-9])%' quern bench m.bin -p 4096 -n 0 -r 1 >screen
grep -oE 'Bench +([1-9]|[1-4][0-9])%.*t/s.*pp4096' screen | sed -E 's/ +.*//' | uniq
