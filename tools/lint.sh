#!/usr/bin/env bash
# make lint: gcc with -fanalyzer and clang, both with every warning an error; banned calls by the
# symbols of -O0 objects; clang-tidy. Goes on after a failure, so that one run shows everything.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
logs=build/logs/lint
mkdir -p "$logs"
failed=0

step() {
    local name=$1 began=$SECONDS
    shift
    if "$@" >"$logs/$name.log" 2>&1; then
        printf 'lint %-10s ok      %4d s\n' "$name" $((SECONDS - began))
    else
        failed=$((failed + 1))
        printf 'lint %-10s FAILED  %4d s (%s)\n' "$name" $((SECONDS - began)) "$logs/$name.log"
        grep -E 'error|warning|FAILED|calls|mutable|problems' "$logs/$name.log" |
            sort -u | head -n 40 | sed 's/^/    /'
    fi
}

build() { tools/build.sh "$1" -- -k 0; }
# Files that the build knows, ours only.
tidy() {
    /usr/bin/python3 - build/lint-clang/compile_commands.json <<'END' |
import json, os, sys
for entry in json.load(open(sys.argv[1])):
    path = os.path.relpath(entry["file"])
    if path.startswith(("libs/", "services/")):
        print(path, end="\0")
END
        xargs -0 -P "$(nproc)" -n 4 clang-tidy-14 --quiet -p build/lint-clang
}

step gcc build lint-gcc
step banned tools/check_banned.sh build/lint-gcc
step clang build lint-clang
step tidy tidy
[ "$failed" -eq 0 ]
