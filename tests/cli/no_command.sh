unset COLUMNS
quern
