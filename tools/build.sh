#!/usr/bin/env bash
# Configures a preset when it is new and builds it: tools/build.sh PRESET [target… | -- NINJA-OPTION…]
set -euo pipefail

cd "$(dirname "$0")/.."
preset=${1:?usage: tools/build.sh PRESET [target…]}
shift
folder=build/$preset
if [ "$preset" = release ]; then
    folder=build
fi
log=build/logs/configure-$preset.log
mkdir -p build/logs
if [ ! -f "$folder/build.ninja" ]; then
    if ! cmake --preset "$preset" >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
fi
if [ "$preset" = release ]; then
    ln -sfn build/compile_commands.json compile_commands.json
fi
options=()
if [ "${1:-}" = -- ]; then
    options=("$@")
elif [ $# -gt 0 ]; then
    options=(--target "$@")
fi
exec cmake --build "$folder" ${options[@]+"${options[@]}"}
