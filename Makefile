# make        build/release/regroup
# make demo   the whole job on a small model made here: base, two conversions, uptraining, report
# make test   build with warnings as errors and run every test
JOBS ?= 2
# Compiled files are found again in another clone, whatever its path.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
CTEST_FLAGS ?=

.PHONY: all demo test bench format clean

all:
	scripts/setup
	cmake --preset release
	cmake --build --preset release --parallel $(JOBS)
	scripts/build_cuda_module build/release

demo: all
	scripts/demo

test:
	scripts/setup --tests
	cmake --preset dev
	cmake --build --preset dev --parallel $(JOBS)
	ctest --test-dir build/dev --output-on-failure --parallel 2 $(CTEST_FLAGS)

bench: all
	bench/run

format:
	git ls-files '*.cpp' '*.h' | xargs clang-format -i

clean:
	rm -rf build
