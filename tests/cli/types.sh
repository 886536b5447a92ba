quern types | grep -E "^  (TYPE|F32|F16|BF16|Q8_0|Q4_K|Q6_K|Q2_K) "
quern types --json | python3 -c "
import json, sys
types = {t[\"name\"]: t for t in json.load(sys.stdin)}
print(types[\"Q4_K\"])"
