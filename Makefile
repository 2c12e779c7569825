# Every target that needs the environment makes it first, so that `make demo` or `make test` is all one types.
PYTHON ?= python3
PYTEST_ARGS ?=
# One thread a process and up to four processes: threads of several processes on the same cores would wait for each other.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 4
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PLUGINS := $(wildcard plugins/*/pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help install demo test slow lint format site check clean

help: ## show this list
	@echo "make TARGET [PYTHON=python3.12] [PYTEST_ARGS='-k name']"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make the environment .venv, or bring it up to date

# The stamp is touched last: an installation that broke off is taken up again by the next make.
$(STAMP): pyproject.toml constraints.txt $(PLUGINS) $(wildcard plugins/*/*/*.py)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "seqlab needs Python 3.11 or newer, and $(PYTHON) is $$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo missing). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing seqlab and its tools into $(VENV): a few minutes the first time."
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --constraint constraints.txt $(PLUGINS:%/pyproject.toml=./%)
	@touch $@

demo: $(STAMP) ## train the translation recipe into runs/demo and evaluate it
	$(BIN)/seqlab fit --recipe translation --run runs/demo --overwrite
	$(BIN)/seqlab evaluate runs/demo

test: $(STAMP) ## run the tests but the slow ones
	$(PYTEST) $(PYTEST_ARGS)

slow: $(STAMP) ## run the slow tests: whole trainings
	$(PYTEST) -m slow $(PYTEST_ARGS)

lint: $(STAMP) ## check style, types, imports and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

format: $(STAMP) ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# From nothing each time: what an older build has read would be warned of no more.
site: $(STAMP) ## build the documentation into build/site; a warning is an error
	rm -rf build/site build/doctrees
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/site
	@echo "build/site/index.html"

check: lint test site slow ## all of lint, test, site and slow

clean: ## remove .venv, caches and build leftovers, but no runs
	rm -rf $(VENV) build dist docs/api *.egg-info plugins/*/build plugins/*/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
