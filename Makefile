# make setup | demo | report | test | slurm-test | browser-test | lint | bench | bench-peers.
# PYTHON names the interpreter (3.11 or later) of .venv.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
STAMP := .venv/.installed
PEERS := .venv-peers
KERNELS := $(BIN)/python -m algorithms.kernels.build

.PHONY: setup demo report test slurm-test browser-test lint bench bench-peers

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "floorbench needs Python 3.11 or later: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: install its venv package (python3-venv on Debian)" >&2; exit 1; }
	@echo "installing pinned packages into .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install torch==2.13.0
	@$(PIP) install -c requirements.lock -e '.[dev,ogbench]'
	@$(KERNELS) || echo "runs need --set algorithm.kernel=torch" >&2
	@touch $@

# Without a compiler torch computes. Exit code 1 is a failed run, which the report counts; anything else ends the demo.
demo: setup
	@kernel=fused; $(KERNELS) || kernel=torch; \
		$(BIN)/floorbench run floors --scale demo --root runs/demo --set algorithm.kernel=$$kernel || [ $$? -eq 1 ]
	@$(BIN)/floorbench report exact --root runs/demo --out runs/demo/report

# From the numbers of the project's own runs, without training: what the repository says of them, and a page per grid.
report: setup
	@$(BIN)/python -m results.readme
	@$(BIN)/python -m results.findings
	@$(BIN)/python -m results.own_verdicts
	@set -e; for grid in study truncation implementation floors; do \
		$(BIN)/floorbench report $$grid --from results/reference --out runs/reference/$$grid; \
	done

test: setup
	@$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile --no-loadscope-reorder

# Exit code 2 of the installation: it is not possible here, for the reason it gives.
slurm-test: setup
	@$(BIN)/python -m tests.support.testcluster install; case $$? in \
		0) $(BIN)/python -m pytest -q -rs -m 'slurm and not slow' ;; \
		2) echo "slurm-test: SKIPPED, no test on a SLURM cluster has run: see the reason above" ;; \
		*) exit 1 ;; \
	esac

# Exit code 2 as above.
browser-test: setup
	@$(BIN)/python -m tests.browser.chromium; case $$? in \
		0) $(BIN)/python -m pytest -q -rs -n 0 -m browser tests/browser ;; \
		2) echo "browser-test: SKIPPED, no page has been opened in a browser: see the reason above" ;; \
		*) exit 1 ;; \
	esac

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# Faster and less exact: make bench BENCH=--benchmark-max-time=0.01. Drawn by floorbench report bench.
bench: setup
	@$(BIN)/python -m pytest -m benchmark tests/benchmarks --benchmark-only --benchmark-autosave -q $(BENCH)

# Ends with one line of JSON: updates per second and core of this project, a plain PyTorch baseline and d3rlpy.
bench-peers: setup $(PEERS)/.installed
	@$(BIN)/python -m tests.benchmarks.peers.compare --d3rlpy $(PEERS)/bin/python

$(PEERS)/.installed: tests/benchmarks/peers/requirements.txt
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@
