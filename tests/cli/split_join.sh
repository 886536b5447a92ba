# Shards and back: the same bytes; shards that are missing, mixed up or misnamed are told.
quern pack "$SAMPLES/miller-base" -t Q8_0 -o . --name miller -q
quern split miller-Q8_0.gguf --max-size 1M -q
ls
quern join miller-Q8_0-00002-of-00005.gguf -o joined -q
cmp miller-Q8_0.gguf joined/miller-Q8_0.gguf
quern split miller-Q8_0.gguf --max-tensors 20 -o two -q
ls two
try() {
    "$@" 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
try quern join miller-Q8_0-00001-of-00005.gguf
mv miller-Q8_0-00003-of-00005.gguf hidden
try quern join miller-Q8_0-00001-of-00005.gguf -o other
cp miller-Q8_0-00002-of-00005.gguf miller-Q8_0-00003-of-00005.gguf
try quern join miller-Q8_0-00001-of-00005.gguf -o other
mv hidden x.gguf
try quern join x.gguf -o other
try quern split miller-Q8_0.gguf --max-size 0x
ls other 2>&1
