# SPDX-License-Identifier: MIT
# A short front for CMake, ctest and scripts/. Nothing is built here.

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600
export FUZZ_SECONDS
DEMO_OUT ?= out

.PHONY: all build demo test test-full bench lint asan tsan fuzz install clean

all: build

build:
	@test -f build/build.ninja || cmake --preset default
	@cmake --build build

# From a fresh clone on a bare Debian 12: install what is missing, build, pack the sample.
demo:
	@scripts/bootstrap
	@scripts/build default quern
	@build/quern pack samples/miller-base --run samples/miller-sft -t Q4_K_M,Q5_K_M,Q8_0 -o $(DEMO_OUT) --force

test:
	@scripts/bootstrap --tests
	@scripts/run-tests

test-full:
	@scripts/bootstrap --full
	@scripts/run-tests --full

bench:
	@scripts/bootstrap --tests
	@scripts/build ci quern bench_quantize
	@bench/quantize
	@bench/run

lint:
	@scripts/bootstrap --tests
	@scripts/build ci
	@scripts/lint

asan tsan:
	@scripts/bootstrap --tests
	@scripts/run-sanitized $@

fuzz:
	@scripts/bootstrap --tests
	@scripts/fuzz

install: build
	@cmake --install build --prefix "$(PREFIX)"

clean:
	@rm -rf build build-asan build-tsan build-fuzz build-aarch64
