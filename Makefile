# `make` alone tells what there is.
.DEFAULT_GOAL := help
.PHONY: help up test check lint format bench chaos lock clean setup-run setup-dev

BIN := .venv/bin
# Tests start more than a hundred processes of ours, and each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
# The long forms of tests run in `make chaos`.
# Two workers, each with servers of its own; a broker that was given from outside is emptied between tests, so one.
WORKERS ?= $(if $(HEADWATER_TEST_AMQP_URL),0,2)
PYTEST := $(BIN)/pytest -m 'not long' -n $(WORKERS) --dist worksteal

help: ## Tell what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Where the database and keys are kept, unless the variable says otherwise.
up: export HEADWATER_DATA_DIR ?= $(CURDIR)/.headwater
up: setup-run ## Start everything with a demo: database, bus, all services (Ctrl-C ends it)
	@exec $(BIN)/headwater up --demo

test: setup-dev ## Run every test, with real PostgreSQL and RabbitMQ
	@exec tools/rabbitmq.sh $(PYTEST)

check: lint ## Format, lint, types, layers, contracts and unit tests; before each commit
	$(PYTEST) -q tests/contract tests/unit

lint: setup-dev ## Format, lint, types and layers: what can be said without running anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## Put the code into form
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: setup-dev ## Measure ratios against the bare libraries, kept as JSON
	@exec tools/rabbitmq.sh $(BIN)/python -m tests.bench

chaos: setup-dev ## Run the long forms of the fault tests, with a ledger
	@exec tools/rabbitmq.sh $(BIN)/python -m tests.chaos

lock: setup-dev ## Write the lock files anew from pyproject.toml (UPGRADE=1: newest versions)
	tools/lock.sh

clean: ## Remove the environment and caches (data in .headwater stays)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find services tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

setup-run:
	@tools/setup.sh run

setup-dev:
	@tools/setup.sh dev
