# Exit code 3: a model or type that quern does not support.
mkdir model && echo '{"architectures": ["NotYetForCausalLM"], "model_type": "not_yet"}' >model/config.json
quern pack model -o out --dry-run 2>message
echo "exit $?"
head -n 1 message | cut -d . -f 1-2
quern pack "$SAMPLES/miller-base" -t IQ2_XS -o out --dry-run
