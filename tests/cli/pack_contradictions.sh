try() {
    quern pack "$@" -o out --dry-run 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
base=$SAMPLES/miller-base run=$SAMPLES/miller-sft
try --run "$run" --preset lora -t Q4_K_M
try "$base" --preset lora
try "$base" --run "$run" --preset quantize
try "$base" --run "$run" --preset merge -t Q4_K_M
try "$base" --preset mergequant
try "$base" -t Q4_K_X
try "$base" --outtype f64
try "$base" --run "$run" --checkpoint 250
try "$base" --checkpoint best
