unset COLUMNS
quern help pack >a && quern pack --help >b && cmp a b && quern help pak
