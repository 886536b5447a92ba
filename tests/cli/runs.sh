quern runs "$SAMPLES/miller-sft"
