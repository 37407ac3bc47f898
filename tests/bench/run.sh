#!/usr/bin/env bash
# make bench: about 30 minutes for 5 GB and 5 runs; BENCH_ARGS="--size-gb 1 --runs 1" for a look.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec /usr/bin/python3 tests/bench/bench.py "$@"
