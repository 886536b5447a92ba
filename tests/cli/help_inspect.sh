unset COLUMNS
quern inspect --help
