unset COLUMNS
quern join --help
