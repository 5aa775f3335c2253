# Everything a person or a CI machine runs. `make help` lists it.
#
# One virtual environment, .venv, holds the locked dependencies and the package itself; its stamp makes a second `make setup`
# instant. Outside this directory and /tmp only the servers that tests need are installed, once for each machine or user.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready
ONCE ?=
JOBS ?= 2
PYTEST_ARGS ?=
RECORDS ?=
ON_RECORDS = $(if $(RECORDS),--records=$(RECORDS))
CHINOOK ?=
FUZZ_S ?= 300
SOAK_S ?= 600
ROLLBACKS ?= 100
HUGE_ROWS ?= 1000000
MACHINES ?= some
ORACLE_N ?= 10000
ORACLE_STEPS ?= 10000
ORACLE_SEED ?= 20261127
PY_CODE := src tools bench tests

.PHONY: help
help: ## show this list
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## make .venv with every locked dependency and reflexdb itself

$(STAMP): requirements-dev.lock pyproject.toml tools/setup.sh
	@tools/setup.sh $(VENV)

.PHONY: compiler
compiler:
	@tools/need-compiler.sh

.PHONY: demo
demo: compiler $(STAMP) ## from nothing to answered queries on a sample blog; ONCE=1 runs it through, checks every answer and ends
	@exec $(PY) -m reflexdb.cli.main demo --data .demo $(if $(filter-out 0,$(ONCE)),--once)

.PHONY: test
test: compiler $(STAMP) ## run every test; RECORDS=sqlite, postgresql or both says where control planes keep their records
	@tools/install-test-servers.sh
	@$(PY) -m pytest -n $(JOBS) $(ON_RECORDS) $(PYTEST_ARGS)

.PHONY: test-matrix
test-matrix: compiler $(STAMP) ## read and follow every supported version of each database server
	@tools/install-test-servers.sh all
	@$(PY) -m pytest -n $(JOBS) --servers=all tests/sources tests/following $(PYTEST_ARGS)

.PHONY: test-machines
test-machines: $(STAMP) ## the two commands of the README on fresh Debian 12, 13 and unstable (as root): MACHINES=whole runs every test there
	@command -v debootstrap >/dev/null || tools/apt-install.sh debootstrap
	@REFLEXDB_MACHINES="$(MACHINES)" $(PY) -m pytest tests/machines -s -vv $(PYTEST_ARGS)

.PHONY: acceptance
acceptance: compiler $(STAMP) ## the Chinook sample from every kind of source, rolled back under load: make acceptance CHINOOK=DIR (needs wrk)
	@test -n "$(CHINOOK)" || { echo "acceptance: say where the sample's SQL scripts are: make acceptance CHINOOK=DIR" >&2; exit 2; }
	@tools/install-test-servers.sh
	@REFLEXDB_CHINOOK="$(abspath $(CHINOOK))" $(PY) -m pytest tests/acceptance $(ON_RECORDS) $(PYTEST_ARGS)

.PHONY: rollback
rollback: compiler $(STAMP) ## redeploy to and fro under full load and count failed requests: make rollback ROLLBACKS=100 (needs wrk)
	@REFLEXDB_ROLLBACKS="$(ROLLBACKS)" $(PY) -m pytest tests/acceptance/test_rollback.py $(PYTEST_ARGS)

.PHONY: fuzz-api
fuzz-api: compiler $(STAMP) ## ask a live control plane what schemathesis makes up: make fuzz-api FUZZ_S=600
	@REFLEXDB_FUZZ_S="$(FUZZ_S)" $(PY) -m pytest tests/contract/test_fuzz.py $(ON_RECORDS) $(PYTEST_ARGS)

.PHONY: soak
soak: compiler $(STAMP) ## follow made-up writers through made-up faults and kills, SOAK_S seconds each source and test, and compare every value: make soak SOAK_S=600
	@tools/install-test-servers.sh
	@REFLEXDB_SOAK_S="$(SOAK_S)" $(PY) -m pytest tests/following/test_made_up.py tests/consistency/test_consistency.py -s $(PYTEST_ARGS)

.PHONY: source-oracle
source-oracle: compiler $(STAMP) ## change definitions and rights of followed databases and compare every value: make source-oracle ORACLE_STEPS=10000
	@tools/install-test-servers.sh
	@REFLEXDB_DEFINITION_STEPS="$(ORACLE_STEPS)" $(PY) -m pytest tests/following/test_made_up_definitions.py -s $(PYTEST_ARGS)

.PHONY: huge
huge: compiler $(STAMP) ## follow transactions of a million rows, and say how much memory that takes: make huge HUGE_ROWS=1000000
	@tools/install-test-servers.sh
	@REFLEXDB_HUGE_ROWS="$(HUGE_ROWS)" $(PY) -m pytest tests/following/test_huge.py -s --timeout 3600 $(PYTEST_ARGS)

.PHONY: oracle
oracle: compiler $(STAMP) ## ask made-up queries of ReflexDB and of the databases it was loaded from: make oracle ORACLE_N=100000
	@tools/install-test-servers.sh
	@ORACLE_N="$(ORACLE_N)" ORACLE_SEED="$(ORACLE_SEED)" $(PY) -m pytest tests/oracle -s $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: $(STAMP) ## look for inputs that harm the engine, FUZZ_S seconds for each target (needs clang++ with libFuzzer): make fuzz FUZZ_S=3600
	@$(PY) -m tests.fuzz.run $(FUZZ_S)

.PHONY: cross
cross: compiler $(STAMP) ## compile the whole engine for arm64 and ask it, emulated (installs ziglang; needs Debian's qemu-user-static)
	@$(PY) -m pip --disable-pip-version-check --no-input --quiet install ziglang==0.17.1
	@REFLEXDB_CROSS=whole $(PY) -m pytest tests/build/test_cross.py tests/build/test_cross_whole.py $(PYTEST_ARGS)

.PHONY: crash
crash: compiler $(STAMP) ## kill the control plane before every single step of every action and look at what the next one makes of it
	@REFLEXDB_CRASH=all $(PY) -m pytest tests/crash -n $(JOBS) $(ON_RECORDS) $(PYTEST_ARGS)

.PHONY: check
check: lint types layers format-check docs-check tidy compilers ## lint, types, import layers, format, printed pages, tidiness, every installed compiler

.PHONY: lint types layers format-check docs-check tidy compilers
lint: $(STAMP)
	@$(PY) -m ruff check $(PY_CODE)
types: $(STAMP)
	@$(PY) -m mypy --strict src tools bench
layers: $(STAMP)
	@PYTHONPATH=src $(PY) -c 'import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())'
format-check: $(STAMP)
	@$(PY) -m ruff format --check $(PY_CODE)
	@tools/format-cxx.sh $(PY) --dry-run -Werror
docs-check: $(STAMP)
	@$(PY) tools/docs.py --check
tidy: $(STAMP)
	@$(PY) tools/tidy.py
compilers: $(STAMP)
	@nice $(PY) tools/compilers.py

.PHONY: format
format: $(STAMP) ## put Python and C++ into the project's format and print the printed pages again
	@$(PY) -m ruff check --fix --exit-zero --quiet $(PY_CODE)
	@$(PY) -m ruff format $(PY_CODE)
	@tools/format-cxx.sh $(PY) -i
	@$(PY) tools/docs.py

.PHONY: bench
bench: compiler $(STAMP) ## ReflexDB beside nginx, Redis, FastAPI, PostGraphile, ROAPI, DuckDB and SQLite, in one run: BENCH_ARGS='--size full'
	@$(PY) -m bench.run $(BENCH_ARGS)

.PHONY: bench-setup
bench-setup: $(STAMP) ## install what ReflexDB is compared with: asyncpg, DuckDB and ROAPI into .venv, PostGraphile beside its module
	@$(PY) -m pip --disable-pip-version-check --no-input --quiet install --require-hashes --only-binary :all: -r requirements-bench.lock
	@if command -v npm >/dev/null; then cd bench/contenders/postgraphile && npm ci --no-audit --no-fund --silent; \
	else echo "bench-setup: without npm PostGraphile is left out (Debian: apt-get install nodejs npm)" >&2; fi

.PHONY: bench-engine
bench-engine: compiler $(STAMP) ## what queries cost in the engine alone: CPU time without a network
	@$(PY) -m bench.engine $(BENCH_ARGS)

.PHONY: bench-control
bench-control: compiler $(STAMP) ## the control plane's answers among a thousand databases
	@$(PY) -m bench.control_plane $(BENCH_ARGS)

.PHONY: bench-following
bench-following: compiler $(STAMP) ## from a commit at MariaDB and PostgreSQL until it is answered, and how much can be followed
	@tools/install-test-servers.sh
	@$(PY) -m bench.following $(BENCH_ARGS)

.PHONY: bench-verify
bench-verify: compiler $(STAMP) ## what the safety net costs over MariaDB and PostgreSQL
	@tools/install-test-servers.sh
	@$(PY) -m bench.verifying $(BENCH_ARGS)

.PHONY: bench-rereads
bench-rereads: compiler $(STAMP) ## what it costs to read single rows of a million again: where, generated columns, cascades
	@tools/install-test-servers.sh
	@$(PY) -m bench.rereads $(BENCH_ARGS)

.PHONY: bench-rollback
bench-rollback: compiler $(STAMP) ## how long a redeploy takes, with a checkpoint and without: make bench-rollback BENCH_ARGS='--mb 100'
	@tools/install-test-servers.sh
	@$(PY) -m bench.rollback $(BENCH_ARGS)

.PHONY: clean
clean: ## remove .venv, caches and everything the targets above made
	@rm -rf $(VENV) .demo bench/out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +
