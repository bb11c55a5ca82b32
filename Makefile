# Everything happens in .venv; nothing is installed outside it. `make` alone lists the targets.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
RUNTIME := .venv/runtime-stamp
DEV := .venv/dev-stamp
SET_UP := tools/set_up.py pyproject.toml requirements-uv.lock

.DEFAULT_GOAL := help
.PHONY: hostile help setup demo test serve check bench chaos screenshots lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(DEV) ## build .venv from the lock files

demo: $(RUNTIME) ## do the main job once on embedded parts and show it
	@$(BIN)/callreel demo

test: $(DEV) ## run the whole test suite
	@$(BIN)/python -m pytest -n auto --dist loadgroup

serve: $(RUNTIME) ## keep the service up and print the sign-in
	@exec $(BIN)/callreel serve --first-account

check: $(DEV) ## format, lint, types, import contract, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docs.py
	$(BIN)/python tools/check_scopes.py

bench: $(DEV) ## measure against peers on this machine
	$(BIN)/python -m benchmarks

chaos: $(DEV) ## kill it, lie to it, break its disk; RECORDINGS=10000 SEED=7
	@$(BIN)/python -m tests.chaos $(addprefix --recordings ,$(RECORDINGS)) $(addprefix --seed ,$(SEED)) \
		$(addprefix --only ,$(ONLY))

screenshots: $(DEV) ## take a picture of every page of the Console, light, dark and narrow
	PYTHONPATH=src $(BIN)/python -m tests.console.screenshots

hostile: $(DEV) ## hostile requests and 20,000 mutated media files (up to forty minutes)
	$(BIN)/python -m tests.doors.mutations 20000
	HOSTILE_UPLOADS=20000 HOSTILE_REQUESTS=30 $(BIN)/python -m pytest -q -s tests/doors/test_hostile_inputs.py

lock: $(DEV) ## renew the lock files within pyproject.toml's bounds
	$(BIN)/python tools/lock.py

clean: ## remove .venv and what tools have cached
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements.lock $(SET_UP)
	@$(or $(PYTHON),$(error callreel needs Python 3.11 or newer)) tools/set_up.py requirements.lock
	@touch $@

$(DEV): requirements-dev.lock requirements.lock $(SET_UP)
	@$(or $(PYTHON),$(error callreel needs Python 3.11 or newer)) tools/set_up.py requirements-dev.lock
	@touch $@ $(RUNTIME)
