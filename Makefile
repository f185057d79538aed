# wwwserve: every daily action is one word. `make` alone lists them.
#
#   PYTHON  the interpreter that makes .venv (3.11 or newer)      make setup PYTHON=python3.12
#   ARGS    passed on to the command behind the word              make demo ARGS="--nodes 6"
#   SEED    the simulator's seed; the same seed is the same run   make sim SEED=7

PYTHON ?= python3
ARGS ?=
SEED ?= 1

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL_PINNED := $(PIP) install --quiet --require-hashes
INSTALL_CHECKOUT := $(PIP) install --quiet --no-deps --no-build-isolation --editable .

RUN_PINS := requirements/build.txt requirements/run.txt requirements/local.txt
DEV_PINS := requirements/dev.txt
CODE := src tests tools

# Whatever a second can prove. The slow marker, tests/simulation and tests/integration are for
# `make test`.
FAST_TESTS := $(wildcard $(addprefix tests/,unit property tidy conversations conformance fuzz))

# Real processes wait for each other, and for seconds that have to pass, more than they compute.
PROCESS_WORKERS = $(shell $(PYTHON) -c 'import os; print(3 * (os.cpu_count() or 2) // 2)')

##@ Run
.PHONY: demo
demo: $(VENV)/.run-installed  ## a whole network on this machine, with a real model
	@$(BIN)/wwwserve engine fetch >&2
	@$(BIN)/wwwserve demo $(ARGS)

.PHONY: sim
sim: $(VENV)/.run-installed  ## one simulated network, from SEED
	@$(BIN)/wwwserve sim run --seed $(SEED) $(ARGS)

.PHONY: bench
bench: $(VENV)/.run-installed  ## what the gateway, a link, the core and membership cost here
	@$(BIN)/wwwserve bench gateway $(ARGS)
	@$(BIN)/wwwserve bench link $(ARGS)
	@$(BIN)/wwwserve bench core $(ARGS)
	@$(BIN)/wwwserve bench ledger $(ARGS)
	@$(BIN)/wwwserve bench engine $(ARGS)
	@$(BIN)/wwwserve bench gossip $(ARGS)

.PHONY: compare
compare: $(VENV)/.run-installed  ## our gateway beside others' from the package index
	@$(BIN)/python -m tools.compare_gateways $(ARGS)

##@ Work on it
.PHONY: setup
setup: $(VENV)/.dev-installed  ## make .venv and install everything, pinned
	@echo "Ready: $(BIN)/wwwserve"

.PHONY: check
check: $(VENV)/.dev-installed  ## format, lint, types, imports, fast tests; before each commit
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "Try: make format"; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy --no-error-summary
	@report=$$($(BIN)/lint-imports --no-logo) || { echo "$$report"; exit 1; }
	@$(BIN)/pytest --quiet -n auto -m "not slow" $(FAST_TESTS)

.PHONY: test
test: $(VENV)/.dev-installed  ## everything CI runs: check, then simulation and integration
	@$(BIN)/wwwserve engine fetch
	@$(MAKE) check
	@$(BIN)/pytest --quiet -n auto -m slow $(FAST_TESTS) || [ $$? -eq 5 ]
	@$(BIN)/pytest --quiet -n auto tests/simulation
	@$(BIN)/pytest --quiet -n $(PROCESS_WORKERS) --dist loadfile -m "not alone" tests/integration
	@$(BIN)/pytest --quiet -m alone tests/integration

.PHONY: sim-day
sim-day: $(VENV)/.run-installed  ## 24 simulated hours with policies of every kind, in minutes
	@$(BIN)/wwwserve sim run day $(ARGS)

.PHONY: sim-night
sim-night: $(VENV)/.dev-installed  ## the simulation tests at full length, on more seeds
	@WWWSERVE_NIGHT=1 $(BIN)/pytest --quiet -n auto tests/simulation

.PHONY: fuzz
fuzz: $(VENV)/.dev-installed  ## search for inputs that break what reads bytes from outside
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: mutants
mutants: $(VENV)/.dev-installed  ## bugs seeded into the ledger, and which its tests miss; ARGS=holds
	@$(BIN)/python tools/mutate_ledger.py $(ARGS)

.PHONY: format
format: $(VENV)/.dev-installed  ## lay out the code and fix what lint can fix
	@$(BIN)/ruff format --quiet $(CODE)
	@$(BIN)/ruff check --quiet --fix-only $(CODE)

.PHONY: coverage
coverage: $(VENV)/.dev-installed  ## which lines and branches the fast tests never reach
	@$(BIN)/coverage run -m pytest --quiet -m "not slow" $(FAST_TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

.PHONY: pins
pins: $(VENV)/.dev-installed  ## resolve requirements/*.in; ARGS=--upgrade takes the newest
	@$(BIN)/python tools/pin_requirements.py $(ARGS)

.PHONY: clean
clean:  ## remove .venv, caches and build output
	@rm -rf $(VENV) build dist htmlcov src/*.egg-info .coverage .coverage.* .hypothesis \
	  .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help:  ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

# --- The environment --------------------------------------------------------------------------
# A stamp is newer than the pins it was installed from; touching a pin file installs again. The
# dev install contains the run install, so it leaves both stamps.

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "No '$(PYTHON)' on this machine. Install Python 3.11 or newer, or name one:" \
	    "make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) tools/check_python.py
	@echo "Making $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-installed: $(RUN_PINS) pyproject.toml | $(BIN)/python
	@echo "Installing what a node needs (pinned, with hashes)" >&2
	@$(INSTALL_PINNED) $(addprefix -r ,$(RUN_PINS))
	@$(INSTALL_CHECKOUT)
	@touch $@

$(VENV)/.dev-installed: $(DEV_PINS) pyproject.toml | $(BIN)/python
	@echo "Installing what a node and its tests need (pinned, with hashes)" >&2
	@$(INSTALL_PINNED) -r $(DEV_PINS)
	@$(INSTALL_CHECKOUT)
	@touch $(VENV)/.run-installed $@
