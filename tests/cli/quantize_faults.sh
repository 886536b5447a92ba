# Each one clear error, nothing written.
try() {
    quern quantize "$@" 2>&1 | grep -vE '^quern: note|^[A-Z][a-z]+: [0-9]+%' | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
quern pack "$SAMPLES/miller-base" -t Q8_0,F16 -o . --name miller -q
ls >before
echo "- types"
try miller-F16.gguf
try miller-F16.gguf -t Q4_KM
try miller-F16.gguf -t Q4_K_M --tensor-type 'ffn_down=Q6K'
try miller-F16.gguf -t Q4_K_M --tensor-type 'ffn_down'
try miller-F16.gguf -t Q4_K_M --tensor-type 'ffn_(down=Q6_K'
try miller-F16.gguf -t Q4_K_M --output-tensor-type Q6K
try miller-F16.gguf -t Q4_K_M --token-embedding-type banana
try miller-F16.gguf -t Q4_K_M --effort more
echo "- requantising"
try miller-Q8_0.gguf -t Q4_K_M
echo "- importance"
try miller-F16.gguf -t IQ2_XS
try miller-F16.gguf -t Q4_K_M --imatrix nowhere.gguf
try miller-F16.gguf -t Q4_K_M --imatrix miller-Q8_0.gguf
try miller-F16.gguf -t Q4_K_M --imatrix "$TESTDATA/gguf/imatrix.gguf"
try miller-F16.gguf -t Q4_K_M --include-weights attn
echo "- layers and keys"
try miller-F16.gguf -t Q4_K_M --prune-layers 4
try miller-F16.gguf -t Q4_K_M --prune-layers 0-3
try miller-F16.gguf -t Q4_K_M --prune-layers 2,x
try miller-F16.gguf -t Q4_K_M --override-kv llama.context_length=int
try miller-F16.gguf -t Q4_K_M --override-kv llama.context_length=int:many
echo "- sizes"
try miller-F16.gguf --target-size 10K
try miller-F16.gguf --target-bpw 0.5
try miller-F16.gguf --target-bpw x
try miller-F16.gguf --target-bpw 4 --target-size 2M
echo "- names"
try miller-F16.gguf -t F16 --force
try nowhere.gguf -t Q4_K_M
try before -t Q4_K_M
ls | grep -v before | diff - <(grep -v before before)
