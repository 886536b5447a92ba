quern types | grep -E "^  (FILE|Q4_K_M|IQ3_XS|IQ3_M|TENSOR|F32|F16|BF16|Q8_0|Q4_K|Q6_K|Q2_K) "
quern types --json | python3 -c "
import json, sys
types = json.load(sys.stdin)
tensors = {t[\"name\"]: t for t in types[\"tensors\"]}
print(tensors[\"Q4_K\"])
json.dump([t[\"name\"] for t in types[\"files\"]], open(\"names.json\", \"w\"))"
# --help and completion have words of their own for -t: none may be missing.
quern quantize --help | python3 -c "
import json, sys
words = sys.stdin.read().split()
print(\"missing in --help:\", [n for n in json.load(open(\"names.json\")) if n not in words])"
