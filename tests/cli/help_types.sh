unset COLUMNS
quern types --help
