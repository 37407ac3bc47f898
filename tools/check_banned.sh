#!/usr/bin/env bash
# Looks at what -O0 objects refer to, so that neither a macro nor the order of headers can hide a
# banned call, and at what they define, so that no mutable global slips in.
#
#   tools/check_banned.sh BUILD-FOLDER     (built without optimisation)
set -euo pipefail

build=${1:?usage: tools/check_banned.sh BUILD-FOLDER}
here=$(cd "$(dirname "$0")" && pwd)
rules=$here/banned.txt
# Written once at start or by a signal handler, and nowhere else.
globals_allowed='^(libs/base/log\.c|services/[a-z]+/main\.c|services/cli/signal[a-z_]*\.c)$'

source_of() {
    local path=${1#"$build"/}
    path=$(sed -E 's,CMakeFiles/[^/]+\.dir/,,; s,\.o$,,' <<<"$path")
    printf '%s\n' "$path"
}

check_calls() {
    local object=$1 source=$2 used symbols allowed
    used=$(nm -u "$object" | awk '{print $2}' | sed -E 's/^__(.*)_chk$/\1/; s/@.*//' | sort -u)
    while read -r symbols allowed; do
        case $symbols in '#'* | '') continue ;; esac
        if [ "$allowed" != - ] && grep -qE "$allowed" <<<"$source"; then
            continue
        fi
        grep -xE "$symbols" <<<"$used" | sed "s,^,$source: calls ," || true
    done <"$rules"
}

check_globals() {
    local object=$1 source=$2
    if grep -qE "$globals_allowed" <<<"$source"; then
        return
    fi
    # A symbol in .data or .bss; constant tables with pointers are in .data.rel.ro.
    objdump -t "$object" |
        awk '$0 ~ /[ \t]O[ \t]/ && ($4 == ".data" || $4 == ".bss" || $3 == ".data" || $3 == ".bss" ||
             $0 ~ /\*COM\*/) {print $NF}' |
        sed "s,^,$source: mutable global ," || true
}

found=$(mktemp)
trap 'rm -f "$found"' EXIT
count=0
while read -r -d '' object; do
    source=$(source_of "$object")
    check_calls "$object" "$source" >>"$found"
    check_globals "$object" "$source" >>"$found"
    count=$((count + 1))
done < <(find "$build/libs" "$build/services" -name '*.c.o' -print0 2>/dev/null)
if [ "$count" -eq 0 ]; then
    echo "banned calls: no object below $build"
    exit 1
fi
if [ -s "$found" ]; then
    sort -u "$found"
    echo "banned calls: $(sort -u "$found" | wc -l) problems in $count objects"
    exit 1
fi
