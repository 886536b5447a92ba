# Every page has its sections, and groff (where it is installed) finds nothing to complain about.
for command in "" pack inspect compare runs types; do
    quern man $command >page
    echo "$command: $(grep -c "^\.SH" page) sections"
    if command -v groff >/dev/null; then
        groff -man -ww -Tascii page 2>&1 >/dev/null
    fi
done
quern man pack | grep -A 1 '^.fB.*dry'
