# PYTHON is the interpreter (3.11 or later) from which .venv is created.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
STAMP := .venv/.installed
PEERS := .venv-peers
JAX := .venv-jax
STORED := .benchmarks/ratios
RATIOS = $(BIN)/python -m pytest -q -m benchmark tests/benchmarks/test_ratios.py --benchmark-only \
	--benchmark-storage=$(STORED) --benchmark-columns=min,median,rounds --benchmark-time-unit=s
KERNELS := $(BIN)/python -m algorithms.kernels.build

.PHONY: help setup demo report format lint test slurm-test browser-test bench gpu-check \
	bench-baseline bench-compare bench-peers

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '%-14s %s\n' "$$target" "$$text"; \
	done

setup: $(STAMP)  ## create .venv with everything needed

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "floorbench needs Python 3.11 or later; try: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot create virtual environments; install its venv package (python3-venv on Debian)" >&2; exit 1; }
	@echo "installing pinned packages into .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install torch==2.13.0
	@$(PIP) install -c requirements.lock -e '.[dev,ogbench,video]'
	@$(KERNELS) || echo "runs need --set algorithm.kernel=torch" >&2
	@touch $@

# Without a C++ compiler the torch kernel is used. Exit code 1 means that a run failed; the report counts it.
demo: setup  ## four arms through the switch to fine-tuning, with a report (minutes)
	@kernel=fused; $(KERNELS) || kernel=torch; \
		$(BIN)/floorbench run demo --root runs/demo --set algorithm.kernel=$$kernel || [ $$? -eq 1 ]
	@$(BIN)/floorbench report --root runs/demo --out runs/demo/report

# From the committed numbers, without training: the tables of README, FINDINGS.md and one report per grid.
report: setup  ## reports about the published results
	@$(BIN)/python -m results.publishing.readme
	@$(BIN)/python -m results.publishing.findings
	@$(BIN)/python -m results.publishing.published_runs
	@set -e; for grid in $$($(BIN)/python -c 'from results.publishing.published_runs import GRIDS; print(*GRIDS)'); do \
		$(BIN)/floorbench report $$grid --from results/published --out runs/reference/$$grid; \
	done

test: setup  ## the default tests
	@$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile --no-loadscope-reorder

# The installation prints a reason and exits with code 2 if it is impossible here.
slurm-test: setup  ## tests on a SLURM cluster that they start themselves
	@$(BIN)/python -m tests.support.testcluster install; case $$? in \
		0) $(BIN)/python -m pytest -q -rs -m 'slurm and not slow' ;; \
		2) echo "slurm-test: SKIPPED, no tests were run on a SLURM cluster; see the reason above" ;; \
		*) exit 1 ;; \
	esac

browser-test: setup  ## tests of the pages in a headless browser
	@$(BIN)/python -m tests.browser.chromium; case $$? in \
		0) $(BIN)/python -m pytest -q -rs -n 0 -m browser tests/browser ;; \
		2) echo "browser-test: SKIPPED, no page was opened in a browser; see the reason above" ;; \
		*) exit 1 ;; \
	esac

format: setup  ## format the code
	@$(BIN)/ruff check --fix --exit-zero --quiet
	@$(BIN)/ruff format

lint: setup  ## check style, types and known vulnerabilities of packages
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@.ci/audit

# Faster but less precise: make bench BENCH=--benchmark-max-time=0.01. Plot the results with floorbench report bench.
bench: setup  ## speed of an update and its parts
	@$(BIN)/python -m pytest -m benchmark tests/benchmarks --ignore=tests/benchmarks/test_ratios.py \
		--benchmark-only --benchmark-autosave -q $(BENCH)

# Exit code 2 says why there is no GPU. TINY=--tiny tries the check itself, on the CPU if there is none.
gpu-check: setup  ## what a GPU is, whether updates are right on it, and how fast (eight minutes)
	@$(BIN)/python -m tests.benchmarks.gpu_check $(TINY)

# Ratios to the core's multiply-add peak, which is measured in the same run; never absolute times.
bench-baseline: setup  ## store the speed that bench-compare compares with
	@$(RATIOS) --benchmark-save=baseline

bench-compare: setup  ## fail if updates are slower than in the last bench-baseline
	@ls $(STORED)/*/*.json >/dev/null 2>&1 || { echo "bench-compare: nothing to compare with; run make bench-baseline" >&2; exit 2; }
	@$(RATIOS) --benchmark-compare --benchmark-compare-fail=min:20%

# The last line is JSON: updates per second and core of floorbench, a plain PyTorch baseline, JAX and d3rlpy, and shares
# of the core's multiply-add peak.
bench-peers: setup $(PEERS)/.installed $(JAX)/.installed  ## speed compared with other implementations
	@$(BIN)/python -m tests.benchmarks.peers.compare --d3rlpy $(PEERS)/bin/python --jax $(JAX)/bin/python

$(PEERS)/.installed: tests/benchmarks/peers/requirements.txt
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@

$(JAX)/.installed: tests/benchmarks/peers/requirements-jax.txt
	@$(PYTHON) -m venv $(JAX)
	@$(JAX)/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@
