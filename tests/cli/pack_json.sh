# One object a line; the plan first, done last; the log has the same lines.
quern pack "$SAMPLES/miller-base" --run "$SAMPLES/miller-sft" -t Q8_0 -o out --json --log log >events
cmp events log && python3 -c "
import json
events = [json.loads(line) for line in open(\"events\")]
kinds = [event[\"event\"] for event in events]
print(kinds[0], kinds[-1], sorted(set(kinds)))
print([event[\"stage\"] for event in events if event[\"event\"] == \"stage\"])
print([(event[\"path\"], event[\"type\"], event[\"bytes_done\"]) for event in events if event[\"event\"] == \"output\"])"
