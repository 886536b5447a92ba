# What cannot be printed is a failure, and said once.
[ -c /dev/full ] || { echo "quern: error: standard output could not be written" >&2; exit 1; }
quern --help >/dev/full
