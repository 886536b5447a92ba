quern inspect "$TESTDATA/gguf/gguf_v3_le.gguf" --json | python3 -c "
import json, sys
answer = json.load(sys.stdin)
print(answer[\"kind\"], answer[\"n_tensors\"], len(answer[\"metadata\"]), sorted(answer))"
