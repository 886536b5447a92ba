# A GGUF file in other types beside it, its name without the old type; the plan and the results as a person sees them.
quern pack "$SAMPLES/miller-base" -t F16 -o . --name miller -q
quern quantize miller-F16.gguf -t Q4_K_M,IQ4_XS
ls
quern quantize miller-F16.gguf -t COPY -o copy -q
cmp miller-F16.gguf copy/miller-COPY.gguf
