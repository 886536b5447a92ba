unset COLUMNS
quern export --help
