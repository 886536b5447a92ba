unset COLUMNS
quern imatrix --help
