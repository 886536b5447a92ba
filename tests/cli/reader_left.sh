# A reader that leaves early is told nothing.
set -o pipefail
{ sleep 0.2; quern pack --help; echo "exit $?" >&2; } | true
