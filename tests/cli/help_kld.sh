unset COLUMNS
quern kld --help
