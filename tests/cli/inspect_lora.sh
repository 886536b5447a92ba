quern pack --run "$SAMPLES/miller-sft" --preset lora -o out -q
quern inspect out/checkpoint-400-lora.gguf
