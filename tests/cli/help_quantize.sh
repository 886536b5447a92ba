unset COLUMNS
quern quantize --help
