head -c 300 "$TESTDATA/gguf/gguf_v3_le.gguf" >cut.gguf
quern inspect cut.gguf
echo "exit $?"
quern inspect /nonexistent.gguf
echo "exit $?"
echo hello >text.txt
quern inspect text.txt
