quern compare "$SAMPLES/miller-base" /nonexistent.gguf
