# A conversation on a terminal: blocks, commands, and Ctrl-C at every moment; Ctrl-C at a single answer is exit code 130.
export XDG_STATE_HOME=$PWD/state LC_ALL=C.UTF-8 TERM=dumb
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o . --name m -q
cat >terminal.py <<'PYTHON'
"""terminal.py [WAIT KEYS]… -- COMMAND…: types KEYS each time that the screen shows WAIT anew; prints the screen."""
import os, pty, re, select, sys, time
at = sys.argv.index("--")
steps, argv = sys.argv[1:at], sys.argv[at + 1 :]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
screen = ""
def read(seconds):
    global screen
    if not select.select([fd], [], [], seconds)[0]:
        return True
    try:
        part = os.read(fd, 4096)
    except OSError:
        return False
    screen += part.decode("utf8", "replace")
    return part != b""
seen, end = 0, time.time() + 30
for wait, keys in zip(steps[::2], steps[1::2]):
    while (place := screen.find(wait, seen)) < 0 and time.time() < end and read(0.2):
        pass
    seen = place + len(wait)
    time.sleep(0.05 if keys != r"\x03" else 0)  # what is typed before the editor has begun is echoed twice
    os.write(fd, keys.encode().decode("unicode_escape").encode("latin1"))
while time.time() < end and read(0.2):
    pass
print(re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]", "", screen), end="")
print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if time.time() < end else "not in time")
PYTHON
talk() { python3 terminal.py "$@"; }
run=(quern run m-Q8_0.gguf --temp 0 -q)

echo "# a block is a message, also when it looks like a command"
talk '>>> ' '"""/bye\n' '... ' 'What is a quern?"""\n' '>>> ' '/nonsense\n' '>>> ' '/bye\n' -- "${run[@]}"
echo "# Ctrl-C drops a line, and a block"
talk '>>> ' 'half a line\x03' '>>> ' '"""one\n' '... ' 'two\x03' '>>> ' 'What is a quern?\n' '>>> ' '\x04' -- "${run[@]}"
echo "# Ctrl-C stops an answer and not the conversation"
endless=(--raw --grammar 'root ::= "la " root')
talk '>>> ' 'Sing\n' 'la la' '\x03' '>>> ' '/bye\n' -- "${run[@]}" "${endless[@]}" | sed 's/la la.*/la …/'
echo "# in the C locale too a message is UTF-8"
LC_ALL=C talk '>>> ' '\xc3\xa4\n' '>>> ' '\x04' -- "${run[@]}" --grammar 'root ::= "yes"' | tail -n 1
tail -n 1 state/quern/run.history
echo "# the history is kept"
cat state/quern/run.history | sed -n '2,$p'
echo "# a single answer"
talk 'la la' '\x03' -- "${run[@]}" "${endless[@]}" -p Sing | sed 's/la la.*/la …/'
echo "# --json answers once"
talk -- "${run[@]}" --json
echo "# grammars from answer to answer"
echo 'root ::= "grain"' >grain.gbnf
echo '{"const": 7}' >seven.json
talk '>>> ' '/grammar grain.gbnf\n' '>>> ' 'What?\n' '>>> ' '/grammar seven.json \n' '>>> ' 'What?\n' '>>> ' '/grammar nowhere\n' \
    '>>> ' '/grammar off\n' '>>> ' 'What is a quern?\n' '>>> ' '/bye\n' -- "${run[@]}"
echo "# Ctrl-C drops a line also after Ctrl-Z and fg"
printf '%s ' "${run[@]}" >m.sh
talk '$ ' '. ./m.sh\n' '>>> ' '\x1a' '$ ' 'fg\n' '>>> ' 'half a line\x03' '>>> ' '"""one\n' '... ' 'two\x03' '>>> ' \
    'What is a quern?\n' '>>> ' '/bye\n' '$ ' 'exit\n' -- env 'PS1=$ ' bash --norc --noediting -i
