#!/usr/bin/env bash
# make check: the checks that take seconds, side by side; only what fails speaks.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
logs=build/logs/check
mkdir -p "$logs"

files() { git ls-files -z --cached --others --exclude-standard -- "$@" | while read -r -d '' f; do
    if [ -f "$f" ]; then printf '%s\0' "$f"; fi; done; }
scripts() {
    files '*.sh' .ci/run
    files 'tools/*' | while read -r -d '' f; do
        case $f in *.sh | *.py) continue ;; esac
        if head -c 40 "$f" | head -n 1 | grep -aqE '^#!.*\b(ba)?sh'; then printf '%s\0' "$f"; fi
    done
}

check_format() { files '*.c' '*.h' | xargs -0 -r clang-format-14 --dry-run -Werror; }
check_layers() { /usr/bin/python3 tools/check_layers.py; }
check_sizes() { /usr/bin/python3 tools/check_sizes.py; }
check_layout() { /usr/bin/python3 tools/check_layout.py; }
check_headers() { tools/check_headers.sh; }
check_protos() { tools/check_protos.sh; }
check_shell() { scripts | xargs -0 -r shellcheck -S warning; }
check_python() { files '*.py' | xargs -0 -r /usr/bin/python3 tools/check_python.py; }
check_yaml() { files '*.yaml' '*.yml' | xargs -0 -r yamllint -s -c .yamllint; }

names='format layers sizes layout headers protos shell python yaml'
pids=()
for name in $names; do
    "check_$name" >"$logs/$name.log" 2>&1 &
    pids+=($!)
done
failed=0
i=0
for name in $names; do
    if wait "${pids[$i]}"; then
        printf 'check %-8s ok\n' "$name"
    else
        failed=$((failed + 1))
        printf 'check %-8s FAILED (%s)\n' "$name" "$logs/$name.log"
        head -n 40 "$logs/$name.log" | sed 's/^/    /'
    fi
    i=$((i + 1))
done
[ "$failed" -eq 0 ]
