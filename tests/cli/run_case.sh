#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run_case.sh CASE.sh: runs one case and compares what it says with CASE.expected, its exit code with CASE.exit (0).
#
# A case is a shell script that calls `quern`; it runs in an empty folder, with $SAMPLES naming the bundled samples.
# CASE.expected holds a section "== stdout" and a section "== stderr", either left out when empty. Times, rates and
# folders are replaced before comparing; lines of progress, which only slow machines see, are dropped. UPDATE=1 writes
# CASE.expected instead: read the difference before committing.
set -euo pipefail

case_file=$(realpath "$1")
root=$(realpath "$(dirname "$0")/../..")
expected=${case_file%.sh}.expected
exit_file=${case_file%.sh}.exit
program=$(realpath "${QUERN_BIN:-$root/build/quern}")
if [ ! -x "$program" ]; then
    echo "$program is not there: build it first" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/here"
ln -s "$program" "$work/bin/quern"

normalise() {
    sed -E \
        -e 's/.*\r//' \
        -e '/^[A-Z][A-Za-z ]*: [0-9]+%, .* left/d' \
        -e "s|$work/here|HERE|g" \
        -e "s|$root|ROOT|g" \
        -e 's/ *[0-9][0-9.,]* ?[kKMG]i?B\/s/ RATE/g' \
        -e 's/ *\b[0-9][0-9.,]* ?(s|ms|min)\b/ TIME/g' \
        -e 's/"(time_s|seconds|rate|eta_s|disk_free_bytes)": ?-?[0-9.e+]+/"\1": N/g' \
        -e 's/[ \t]+$//'
}

status=0
(
    cd "$work/here"
    PATH="$work/bin:$PATH" SAMPLES="$root/samples" TESTDATA="$root/tests/data" LC_ALL=C.UTF-8 HF_HOME=/nonexistent NO_COLOR=1 \
        bash "$case_file" >"$work/stdout" 2>"$work/stderr" </dev/null
) || status=$?

{
    for stream in stdout stderr; do
        normalise <"$work/$stream" >"$work/text"
        if [ -s "$work/text" ]; then
            echo "== $stream"
            cat "$work/text"
        fi
    done
} >"$work/found"

if [ "${UPDATE:-0}" = 1 ]; then
    cp "$work/found" "$expected"
    rm -f "$exit_file"
    [ "$status" -eq 0 ] || echo "$status" >"$exit_file"
    exit 0
fi

wanted_status=0
[ -f "$exit_file" ] && wanted_status=$(tr -d '[:space:]' <"$exit_file")
failed=0
if ! diff -u "$expected" "$work/found"; then
    failed=1
fi
if [ "$status" -ne "$wanted_status" ]; then
    echo "exit code $status, expected $wanted_status"
    failed=1
fi
exit "$failed"
