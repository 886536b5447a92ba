# A merged folder without a vocabulary: it is found in the model that its config names, or every place is told.
mkdir merged && cp "$SAMPLES/miller-base/model.safetensors" merged/
sed 's#"model_type"#"_name_or_path": "miller-base", "model_type"#' "$SAMPLES/miller-base/config.json" > merged/config.json
ln -s "$SAMPLES/miller-base" miller-base
quern pack merged -t Q8_0 -o out -q && ls out
rm miller-base
quern pack merged -t Q8_0 -o out2
