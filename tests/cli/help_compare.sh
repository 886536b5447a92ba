unset COLUMNS
quern compare --help
