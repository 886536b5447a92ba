unset COLUMNS
quern pack --help
