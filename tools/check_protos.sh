#!/usr/bin/env bash
# buf lint over proto/holdfast in a temporary workspace whose imports come from Debian's packages.
set -euo pipefail

cd "$(dirname "$0")/.."
buf=$(tests/parts/get.sh buf)/buf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

googleapis=/usr/share/gocode/src/github.com/grpc-ecosystem/grpc-gateway/third_party/googleapis
mkdir -p "$work/own" "$work/foreign/google" "$work/foreign/protobuf-c"
cp -r proto/holdfast "$work/own/"
cp -r "$googleapis/google/api" "$googleapis/google/rpc" "$work/foreign/google/"
cp /usr/include/protobuf-c/protobuf-c.proto "$work/foreign/protobuf-c/"
{
    printf 'modules:\n  - path: own\n  - path: foreign\n    lint:\n      use: [MINIMAL]\n'
    printf '      ignore: [foreign]\n'
    cat proto/buf.yaml
} >"$work/buf.yaml"
(cd "$work" && "$buf" lint --error-format text) | sed 's,^own/,proto/,'
