# make        build/release/regroup
# make demo   the whole job on a small model made here: base, two conversions, uptraining, report
# make check ROOM=checkpoint   build and run the tests of one room alone
# make test   build with warnings as errors and run every test
JOBS ?= 2
CTEST_FLAGS ?=

.PHONY: all check demo test bench format clean

all:
	scripts/setup
	cmake --preset release
	cmake --build --preset release --parallel $(JOBS)
	scripts/build_cuda_module build/release

demo: all
	scripts/demo

check:
	@test -d "tests/$(ROOM)" -a -n "$(ROOM)" || { echo "make check ROOM=NAME: a folder of tests/, such as checkpoint" >&2; exit 2; }
	cmake --preset dev
	cmake --build --preset dev --parallel $(JOBS) --target check_$(ROOM)
	ctest --test-dir build/dev --output-on-failure --parallel 2 -L '^$(ROOM)$$' -LE slow $(CTEST_FLAGS)

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
