#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `make install` puts into DESTDIR is whole: the program runs, and a stranger's program builds with pkg-config.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${QUERN_BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/dest/opt/quern

DESTDIR=$work/dest cmake --install "$build" --prefix /opt/quern >"$work/log" || {
    cat "$work/log"
    exit 1
}
# Moved once more: nothing may remember where it was installed.
mv "$prefix" "$work/moved"
prefix=$work/moved

for file in bin/quern lib/libquern.a lib/libquern.so lib/pkgconfig/quern.pc share/man/man1/quern.1 \
    share/man/man1/quern-pack.1 share/bash-completion/completions/quern include/quern/pack.h; do
    if [ ! -e "$prefix/$file" ]; then
        echo "$file was not installed"
        exit 1
    fi
done
for header in include/quern/*.h; do
    cmp "$header" "$prefix/$header"
done

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
[ "$("$prefix/bin/quern" --version)" = "quern $(pkg-config --modversion quern)" ] || {
    echo "quern --version says '$("$prefix/bin/quern" --version)', quern.pc '$(pkg-config --modversion quern)'"
    exit 1
}

cat >"$work/user.c" <<'CODE'
#include <quern/quern.h>
#include <stdio.h>
#include <string.h>
int main(void) {
    puts(qn_version());
    return strcmp(qn_status_name(QN_E_FORMAT), "FORMAT") != 0;
}
CODE
# shellcheck disable=SC2046
cc -o "$work/shared" "$work/user.c" $(pkg-config --cflags --libs quern)
LD_LIBRARY_PATH=$prefix/lib "$work/shared"
rm "$prefix"/lib/libquern.so*
# shellcheck disable=SC2046
cc -o "$work/static" "$work/user.c" $(pkg-config --cflags --libs --static quern)
"$work/static"
# C++ programs read the same headers.
if command -v c++ >/dev/null; then
    for header in include/quern/*.h; do echo "#include \"quern/$(basename "$header")\""; done >"$work/all.cpp"
    c++ -std=c++17 -Wall -Wextra -Werror -I "$prefix/include" -fsyntax-only "$work/all.cpp"
fi
