# The verbs of the project; `make help` lists them. CMake does the building, in build/.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
export HOLDFAST_BIN ?= $(CURDIR)/build/bin

.PHONY: all demo test attack check lint bench fuzz asan install clean help
.DEFAULT_GOAL := all

all: ## build the programs into build/bin/
	@tools/setup.sh build --check
	@tools/build.sh release

demo: ## set up, build, then protect and restore a real PostgreSQL, told step by step
	@tools/setup.sh run
	@tools/build.sh release
	@bash tests/demo.sh

test: ## set up, then every test; the last line is the count
	@tools/setup.sh test
	@tests/parts/get.sh --all >/dev/null
	@/usr/bin/python3 tools/run_tests.py $(TEST_ARGS)

attack: ## minutes: every hostile source, client, store and user (writes docs/security.md)
	@tools/setup.sh test
	@tests/parts/get.sh --all >/dev/null
	@rm -f build/attack.jsonl
	@HOLDFAST_ATTACK=long HOLDFAST_ATTACK_OUT=$(CURDIR)/build/attack.jsonl \
	    /usr/bin/python3 tools/run_tests.py --only attack,asan-attack $(ATTACK_ARGS)
	@/usr/bin/python3 tools/attack_table.py build/attack.jsonl

check: ## seconds: format, structure, protos, scripts, secrets
	@tools/setup.sh lint
	@tools/check.sh

lint: ## minutes: both compilers with warnings as errors, analyzers, clang-tidy, banned calls
	@tools/setup.sh lint
	@tools/lint.sh

bench: ## set up, then measure against the peers (writes docs/benchmarks.md)
	@tools/setup.sh bench
	@tools/build.sh release
	@bash tests/bench/run.sh $(BENCH_ARGS)

fuzz: ## every fuzz target for FUZZ_SECONDS (60) each
	@tools/setup.sh test
	@tools/build.sh fuzz
	@tools/fuzz.sh build/fuzz $(FUZZ_SECONDS)

asan: ## build with ASan and UBSan and run the unit tests and fuzz corpora
	@tools/setup.sh test
	@/usr/bin/python3 tools/run_tests.py --only asan-unit

install: all ## install the programs below DESTDIR/PREFIX (/usr/local)
	DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)"

clean: ## remove what was built
	rm -rf build compile_commands.json

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
