quern pack --run "$SAMPLES/miller-sft" --checkpoint 200 --preset lora -o out | sed -n "/^Next/,\$p"
ls out
