#!/usr/bin/env bash
# Runs every libFuzzer target for a while: tools/fuzz.sh BUILD-FOLDER SECONDS
#
# New inputs go to BUILD-FOLDER/new/TARGET, so that the kept corpus changes only by hand; a finding
# is left in BUILD-FOLDER/findings. To keep one, copy it to tests/fuzz/corpus/TARGET.
set -euo pipefail

cd "$(dirname "$0")/.."
build=${1:?usage: tools/fuzz.sh BUILD-FOLDER SECONDS}
seconds=${2:?usage: tools/fuzz.sh BUILD-FOLDER SECONDS}

fuzz_one() {
    local program=$1 name=${1##*/fuzz_}
    mkdir -p "$build/new/$name" "$build/findings"
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/findings/$name-" "$build/new/$name" "tests/fuzz/corpus/$name" \
        >"$build/$name.log" 2>&1; then
        printf 'fuzz %-14s ok, %s runs\n' "$name" \
            "$(awk '/number_of_executed_units/ {print $2}' "$build/$name.log")"
    else
        printf 'fuzz %-14s FAILED (%s)\n' "$name" "$build/$name.log"
        grep -E 'ERROR|SUMMARY|Test unit written' "$build/$name.log" | sed 's/^/    /'
        return 1
    fi
}
export -f fuzz_one
export build seconds
find "$build/tests" -name 'fuzz_*' -type f -executable -print0 | sort -z |
    xargs -0 -r -P "$(nproc)" -I {} bash -c 'fuzz_one "{}"'
