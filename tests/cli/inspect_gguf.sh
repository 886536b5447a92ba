quern pack "$SAMPLES/miller-base" -t Q4_K_M -o out -q
quern inspect out/miller-base-Q4_K_M.gguf --ctx 128
