# A base that is not found: what to do about it is what the command that was called can do.
TEXT=$TESTDATA/text/mill.txt
mkdir run
cp -r "$SAMPLES"/miller-sft/checkpoint-400 run/
sed -i -E 's/("base_model_name_or_path": )"[^"]*"/\1"acme\/other"/' run/checkpoint-400/adapter_config.json
says() {
    echo "- $*"
    quern "$@" 2>&1 >/dev/null | sed -n '1p; $p' | sed 's/^.*error: //'
    echo "exit ${PIPESTATUS[0]}"
}
says pack nowhere
says pack ""
says run nowhere -p hi
says perplexity nowhere --text "$TEXT"
says pack run/checkpoint-400
says pack --run run
says merge --adapter run/checkpoint-400
says run run -p hi
says run run/checkpoint-400 -p hi
says perplexity run --text "$TEXT"
sed -i '/base_model_name_or_path/d' run/checkpoint-400/adapter_config.json
says run run/checkpoint-400 -p hi
