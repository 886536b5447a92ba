unset COLUMNS
quern split --help
