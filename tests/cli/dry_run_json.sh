# The plan as one document, and nothing beside it.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q4_K_M,F16 -o out --dry-run --json | python3 -c "
import json, sys
plan = json.load(sys.stdin)
print(plan[\"model\"][\"arch\"], plan[\"model\"][\"n_weights\"], plan[\"model\"][\"checkpoint\"][\"step\"], plan[\"preset\"])
for output in plan[\"outputs\"]:
    sizes = sum(tensor[\"size_bytes\"] for tensor in output[\"tensors\"])
    print(output[\"path\"], output[\"type\"], output[\"size_bytes\"], len(output[\"tensors\"]), sizes)"
