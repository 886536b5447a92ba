unset COLUMNS
quern --help
