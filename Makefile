# On a machine with Python >= 3.11 and make; everything else is installed into .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := pyproject.toml constraints.txt README.md LICENSE $(shell find molvae -type f -not -name '*.py[co]')

.DEFAULT_GOAL := help
.PHONY: help campaign test test-more lint smoke docs clean

help:
	@echo "make campaign   300 calls of 5*qed-sas with rank, and of generated molecules to compare: runs/"
	@echo "make test       format, lint, types, tests: a few minutes"
	@echo "make test-more  the slow tests, and every session of README and documentation"
	@echo "make lint       format, lint, types"
	@echo "make smoke      data, model, measures, campaign, report, benchmark, in small: runs/smoke"
	@echo "make docs       the documentation site, from docs/: site/index.html"
	@echo "make clean      remove .venv and caches; records and models stay"
	@echo "Another Python: make PYTHON=python3.12 ..."

campaign: $(VENV)/installed
	@mkdir -p runs
	$(BIN)/molvae optimize --config pipelines/qed-sas.toml
	@echo
	@echo "The same campaign with molecules sampled from the prior:"
	$(BIN)/molvae optimize runs/qed-sas-random.db --config pipelines/qed-sas.toml \
	    --strategy random --report runs/qed-sas-random.html

test: lint
	$(BIN)/python -m pytest --numprocesses logical --dist worksteal

test-more: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "docs or slow" --numprocesses logical --dist worksteal

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

smoke: $(VENV)/installed
	rm -rf runs/smoke
	$(BIN)/python pipelines/smoke.py
	$(BIN)/python -m benchmarks property-table --quick

docs: $(VENV)/installed-dev
	$(BIN)/python -m tests.clidoc
	$(BIN)/zensical build --strict --clean

clean:
	rm -rf $(VENV) dist build site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find molvae tests benchmarks pipelines -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "molvae needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# constraints.txt pins torch as well: without it pip may take a build of several gigabytes.
$(VENV)/installed: $(VENV)/made $(SOURCES)
	$(INSTALL) .
	@touch $@

$(VENV)/installed-dev: $(VENV)/made $(SOURCES)
	$(INSTALL) '.[dev]'
	@touch $(VENV)/installed $@
