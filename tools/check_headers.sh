#!/usr/bin/env bash
# Every header of ours compiles alone, as C11, with the generated message headers at hand.
set -euo pipefail

cd "$(dirname "$0")/.."
# Headers that the build writes: messages and SQL constants. The latter by their bare commands,
# because as targets they would wait for every library of their folder.
log=build/logs/headers.log
mkdir -p build/logs
build() {
    if ! tools/build.sh release "$@" >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
}
build build.ninja
build hf_proto
mapfile -t generated < <(ninja -C build -t targets all |
    sed -nE 's,^([^/ ][^ ]*/sql/[^ ]+\.h): .*,\1,p')
if [ ${#generated[@]} -gt 0 ]; then
    ninja -C build -t commands "${generated[@]}" | grep -F gen_sql.py | sort -u | sh
fi
flags=$(pkg-config --cflags libpq libprotobuf-c jansson yaml-0.1 libzstd)
flags+=$(find build/libs build/services -name '*.dir' -prune -o -type d -name sql -printf ' -I %p')
export flags
check_one() {
    # shellcheck disable=SC2086 # the flags of several packages
    gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only -x c \
        -I libs -I services -I . -isystem build/gen $flags "$1" 2>&1 |
        grep -v '#pragma once in main file' | head -n 5
    return "${PIPESTATUS[0]}"
}
export -f check_one
git ls-files -z --cached --others --exclude-standard -- '*.h' |
    xargs -0 -P "$(nproc)" -I {} bash -c '[ ! -f "{}" ] || check_one "{}"'
