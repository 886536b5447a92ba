quern tokenize "$SAMPLES/miller-base" "Grind the corn</s>" --show-count
quern tokenize "$SAMPLES/miller-base" "Grind the corn</s>" --ids --no-bos
quern tokenize "$SAMPLES/miller-base" "</s>" --ids --no-bos --no-parse-special
printf 'two\nlines' | quern tokenize "$SAMPLES/miller-base" --ids | quern detokenize "$SAMPLES/miller-base" --no-special
quern tokenize "$SAMPLES/miller-base" "a" --json
quern detokenize "$SAMPLES/miller-base" 12 --json
quern detokenize "$SAMPLES/miller-base" 99999
quern detokenize "$SAMPLES/miller-base" 12x
quern tokenize "$SAMPLES/miller-base" text -f file
exit 0
