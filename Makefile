# Two commands do everything on a bare machine (python3.11, python3-venv, make, git): `make digest` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WHAT ?= .

.PHONY: install digest test check lint typecheck imports bench chaos clean

install: $(STAMP)

# The environment is made anew only when what goes into it has changed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip --constraint constraints.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $(STAMP)

## Summarise this repository (or another: make digest WHAT=path) through real Ray actors; no key, no network.
digest: install
	$(BIN)/understudy digest $(WHAT)

## All tests.
test: install
	$(BIN)/python -m pytest

## Style, types, and the one-way rule of imports.
check: lint typecheck imports

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy wants packages under their import name whatever this folder is called: a link gives it that name.
typecheck: install
	mkdir -p .typecheck
	ln -sfn "$(CURDIR)" .typecheck/understudy
	ln -sfn "$(CURDIR)/benchmarks" .typecheck/benchmarks
	ln -sfn "$(CURDIR)/chaos" .typecheck/chaos
	cd .typecheck && MYPYPATH="$(CURDIR)/.typecheck" ../$(BIN)/mypy --config-file ../pyproject.toml \
	  -p understudy.protocols -p understudy.actors -p understudy.supervisors -p understudy.cluster -p benchmarks -p chaos
	cd .typecheck && MYPYPATH="$(CURDIR)/.typecheck:$(CURDIR)/tests" ../$(BIN)/mypy --config-file ../pyproject.toml \
	  --explicit-package-bases ../tests
	cd .typecheck && MYPYPATH="$(CURDIR)/.typecheck:$(CURDIR)/examples" ../$(BIN)/mypy --config-file ../pyproject.toml \
	  --explicit-package-bases ../examples

imports: install
	$(BIN)/lint-imports

## All benchmarks, one after the other; each ends with one JSON line.
bench: install
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.quota
	$(BIN)/python -m benchmarks.coldstart
	$(BIN)/python -m benchmarks.routing
	$(BIN)/python -m benchmarks.availability
	$(BIN)/python -m benchmarks.hedging
	$(BIN)/python -m benchmarks.billing
	$(BIN)/python -m benchmarks.fanout
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.packing
	$(BIN)/python -m benchmarks.economy
	$(BIN)/python -m benchmarks.journal
	$(BIN)/python -m benchmarks.resume
	$(BIN)/python -m benchmarks.incremental
	$(BIN)/python -m benchmarks.jobqueue

## A digest of 10,000 items while a seeded monkey kills our processes, ten minutes and more; with SECONDS=90, as .ci/run
## has it, 1,500 items in less than three.
SECONDS ?= 600
SEED ?= 1
chaos: install
	$(BIN)/python -m chaos --seconds $(SECONDS) --seed $(SEED)

clean:
	rm -rf $(VENV) .venv-bench .typecheck .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
