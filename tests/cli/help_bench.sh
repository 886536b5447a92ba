unset COLUMNS
quern bench --help
