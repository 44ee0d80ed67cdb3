# Every way to run, test and measure Banyan; the README, CI and the workflow call these targets.
# `make` lists them.

PYTHON ?= python3
BIN    := .venv/bin
DATA   ?= ../shared/data
HOME_FOR_TESTS := .models
JOBS   ?= 2
SLICE  ?= 1/1

# Two test workers share the cores; two threads each would wait for one another.
test test-long: export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help run install test test-long check fix docs check-models wheel clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: .venv/installed-run ## install, pull the embedded models, start the server and console
	@$(BIN)/banyan models pull --embedded
	@$(BIN)/banyan up

install: .venv/installed-dev ## install Banyan and what its tests need into .venv

test: .venv/installed-dev $(HOME_FOR_TESTS)/ready ## the tests, under 8 minutes on two cores
	@BANYAN_TEST_HOME=$(HOME_FOR_TESTS) $(BIN)/pytest -n $(JOBS) --dist worksteal -m "not long"

test-long: .venv/installed-dev $(HOME_FOR_TESTS)/ready ## the slow tests; SLICE=2/5 runs a fifth of them
	@BANYAN_TEST_HOME=$(HOME_FOR_TESTS) $(BIN)/pytest -n $(JOBS) --dist worksteal -m long --slice $(SLICE)

check: .venv/installed-dev ## format, lint, types, import contracts, sizes, documentation
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports >/dev/null || $(BIN)/lint-imports
	@$(BIN)/pytest -q tests/project -m "not long"

fix: .venv/installed-dev ## format and mend what the linter can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

docs: .venv/installed-dev ## write docs/reference anew from the code
	@$(BIN)/python tools/reference.py

check-models: .venv/installed-dev ## pull every model of the catalogue and verify it
	@$(BIN)/python tools/check_models.py

wheel: .venv/installed-dev ## build dist/*.whl
	@$(BIN)/python -m build --no-isolation --wheel --outdir dist . >/dev/null && ls dist

# Each bench and each evaluation prints a table and writes results/NAME.json. DATA is the folder of
# public evaluation sets; FULL=1 runs the whole grid.
bench-%: .venv/installed-dev $(HOME_FOR_TESTS)/ready
	@mkdir -p results && $(BIN)/python bench/$(subst -,_,$*).py --home $(HOME_FOR_TESTS) --data $(DATA) $(if $(FULL),--full)

eval-%: .venv/installed-dev $(HOME_FOR_TESTS)/ready
	@mkdir -p results && PYTHONPATH=bench $(BIN)/python evals/$(subst -,_,$*).py --home $(HOME_FOR_TESTS) --data $(DATA) $(if $(FULL),--full)

clean: ## remove what the targets made, the environment included
	rm -rf .venv .models build dist results .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/installed-run: pyproject.toml constraints.txt tools/install.py
	@$(PYTHON) tools/install.py engine
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt tools/install.py
	@$(PYTHON) tools/install.py dev
	@touch $@ .venv/installed-run

$(HOME_FOR_TESTS)/ready: .venv/installed-dev src/banyan/models/catalogue.toml
	@BANYAN_HOME=$(HOME_FOR_TESTS) $(BIN)/banyan models pull --embedded
	@touch $@
