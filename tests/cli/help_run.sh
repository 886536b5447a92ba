unset COLUMNS
quern run --help
