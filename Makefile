BIN := .venv/bin
# Most tests wait for most of their time.
PYTEST = $(BIN)/pytest -n $$((2 * $$(getconf _NPROCESSORS_ONLN)))
# Tests start gdbleak a thousand times: Python may keep what it compiles.
unexport PYTHONDONTWRITEBYTECODE
TORTURES := children signals threads cycles death_of_the_tool any_ending freezes hostile_targets ctrl_c \
	glibc_heap_real exactness corpus_busy

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Each target installs what it lacks; again when what it needs has changed.
.venv/for-demo: extras =
.venv/for-demo: packages = demo
.venv/for-test: extras = [test]
.venv/for-check: extras = [test,check]
.venv/for-real: extras = [test]
.venv/for-real: packages = real
.venv/for-gdbs: extras = [test]
.venv/for-gdbs: packages = gdbs
.venv/for-bench: extras =
.venv/for-bench: packages = bench
.venv/for-%: packages = test
.venv/for-%: pyproject.toml .ci/setup
	.ci/setup $(packages)
	python3 -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.$(extras)'
	touch $@

venv: .venv/for-check ## Make .venv with everything a developer needs

demo: .venv/for-demo ## Trace a leaking program, then its fixed twin
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

test: .venv/for-test ## Run the tests that matter most, in five minutes on two processors
	$(PYTEST) --hypothesis-profile=quick -m 'not slow'

test-all: .venv/for-test .venv/for-real gdbs ## Run all tests there are, in fifteen minutes
	$(PYTEST) tests

test-real: .venv/for-real ## Trace servers and interpreters of the distribution
	$(PYTEST) tests/real

gdbs: .venv/for-gdbs ## Bring GDBs, C libraries and Pythons of other versions into .gdbs
	.ci/gdbs .gdbs

test-gdbs: gdbs ## Trace with each of them
	$(PYTEST) tests/gdbs

torture: .venv/for-test ## Run the long versions of the tests of safety, and measure the odds
	GDBLEAK_TORTURE=25 $(BIN)/pytest -rP $(TORTURES:%=tests/integration/test_%.py) \
		tests/unit/test_mutations.py
	$(BIN)/python benchmarks/survival.py

torture-inline: .venv/for-test ## Put the recorder in and out 10,000 times, and kill GDB and gdbleak meanwhile
	GDBLEAK_TORTURE=$${GDBLEAK_TORTURE:-25} nice $(BIN)/pytest -q \
		tests/integration/test_inline_crowds.py tests/integration/test_inline_deaths.py

bench: .venv/for-bench ## Measure what watching costs: gdbleak, its peers, and the least possible
	$(BIN)/python benchmarks/bench.py $(BENCH)

check: .venv/for-check ## Look for mistakes without running anything
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/vermin --quiet --no-tips -t=3.9- gdbleak
	$(BIN)/vermin --quiet --no-tips -t=2.7- -t=3.4- gdbscripts

OUT := gdbleak/inline
payload: ## Assemble what the inline probe writes into a target
	as --fatal-warnings -o $(OUT)/recorder.o gdbleak/inline/recorder.S
	objcopy -O binary -j .text $(OUT)/recorder.o $(OUT)/recorder.bin
	nm -n $(OUT)/recorder.o | awk '$$2 == "t" {print $$3, substr($$1, 13)}' >$(OUT)/recorder.labels
	rm $(OUT)/recorder.o

define MANUAL
from gdbleak import __version__, cli
from gdbleak.renderers.manual import make_manual
print(make_manual(cli.make_parser(), __version__), end="")
endef
export MANUAL
man: .venv/for-demo ## Make the manual page from the parser of the command line
	$(BIN)/python -c "$$MANUAL" >docs/gdbleak.1

wheel: .venv/for-demo ## Build dist/gdbleak-*.whl
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## Remove everything the other targets made
	rm -rf .venv .gdbs .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -prune -exec rm -r {} +

.PHONY: help venv demo test test-all test-real gdbs test-gdbs torture torture-inline bench check payload man wheel clean
