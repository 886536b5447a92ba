unset COLUMNS
quern merge --help
