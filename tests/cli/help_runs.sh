unset COLUMNS
quern runs --help
