quern runs "$SAMPLES/miller-sft" --json | python3 -c "
import json, sys
run = json.load(sys.stdin)
print(run[\"state\"], run[\"kind\"], run[\"base\"], run[\"best_step\"])
for c in run[\"checkpoints\"]:
    print(c[\"name\"], c[\"step\"], c[\"is_best\"], c[\"is_last\"], c[\"is_complete\"])"
