#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# LABEL: full
# test_levels.sh: the unit tests of everything that has variants for AVX-512 and VNNI, on processors that have them.
# The tests try every level that the processor offers: one without VNNI, one with it. A machine that has them itself
# has no need of this. Takes half an hour.
set -euo pipefail
cd "${QUERN_SOURCE:-$(dirname "$0")/../..}"
build=${QUERN_BUILD:-$PWD/build}
if grep -qw avx512_vnni /proc/cpuinfo; then
    echo "SKIPPED: emulated: this processor has VNNI: the unit tests have been there" >&2
    exit 77
fi
if [ "$(uname -m)" != x86_64 ]; then
    echo "SKIPPED: emulated: the build is not one for x86-64" >&2
    exit 77
fi
tests=("$build"/tests/unit/{dtype/test_*,engine/test_{engine,lora},recipe/test_recipe})
# Where Linux leaves the registers off, the tests pass at lower levels: so it is asked first.
for model in "corei7_skylake_x avx512bw" "corei7_icelake_u avx512_vnni"; do
    tests/emulated/run "${model% *}" "$(command -v grep) -qw ${model#* } /proc/cpuinfo" "${tests[@]}"
done
