# make setup | demo | test | lint | bench. PYTHON names the interpreter (3.11 or later) that .venv is made from.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
STAMP := .venv/.installed

.PHONY: setup demo test lint bench

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "floorbench needs Python 3.11 or later: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: install its venv package (python3-venv on Debian)" >&2; exit 1; }
	@echo "installing pinned packages into .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install torch==2.13.0
	@$(PIP) install -c requirements.lock -e '.[dev]'
	@touch $@

# Exit code 1 is a failed run, which the report counts; anything else ends the demo.
demo: setup
	@$(BIN)/floorbench run floors --scale demo --root runs/demo || [ $$? -eq 1 ]
	@$(BIN)/floorbench report --root runs/demo --out runs/demo/report

test: setup
	@$(BIN)/python -m pytest -q

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

bench: setup
	@$(BIN)/python -m pytest -m benchmark tests/benchmarks --benchmark-only
