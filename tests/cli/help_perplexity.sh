unset COLUMNS
quern perplexity --help
