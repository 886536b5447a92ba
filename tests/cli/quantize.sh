# A GGUF file in other types beside it, its name without the old type; types chosen by size; COPY.
quern pack "$SAMPLES/miller-base" -t F16 -o . --name miller -q
quern quantize miller-F16.gguf -t Q4_K_M,IQ4_XS -q
ls
quern quantize miller-F16.gguf -t Q4_K_M --force --dry-run | grep -e attn_v -e bpw
echo "- chosen by size"
quern quantize miller-F16.gguf --target-bpw 4.6 --effort fast | sed -n '/^  chosen/,/^$/p'
quern quantize miller-F16.gguf --target-size 1.9M --effort fast -q
test "$(stat -c %s miller-1.9MB.gguf)" -le 1900000 && echo "within the size"
quern quantize miller-F16.gguf --target-bpw 4.6 --effort fast --force --dry-run --keep-tensor-types types.txt -q >plan
head -n 3 types.txt
quern quantize miller-F16.gguf -t Q4_K_M --effort fast --tensor-type-file types.txt -o kept -q
quern compare miller-4.6bpw.gguf kept/miller-Q4_K_M.gguf | tail -n 1
echo "- COPY"
quern quantize miller-F16.gguf -t COPY -o copy -q
cmp miller-F16.gguf copy/miller-COPY.gguf
