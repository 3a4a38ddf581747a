# Everything a contributor types. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
CODEX_VERSION := 0.169.0
CODEX := .cache/codex/$(CODEX_VERSION)/node_modules/.bin/codex

.DEFAULT_GOAL := help
.PHONY: help demo test lint fix bench lock clean codex

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: .venv/run.stamp ## show the main job: a Codex turn on a Chat Completions provider, offline
	@$(BIN)/anyturn demo

test: .venv/dev.stamp codex ## run the whole suite, the real Codex CLI included
	@$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

lint: .venv/dev.stamp ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fix: .venv/dev.stamp ## let ruff repair and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/dev.stamp ## CPU per event, latency and memory, beside a plain byte relay
	@$(BIN)/python benchmarks/bench.py $(ARGS)

lock: ## pin the dependencies anew (needs uv)
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml --group build -o requirements/run.txt
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml --group dev -o requirements/dev.txt

clean: ## remove what was installed or cached here
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Anyturn needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 demo")'
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv

.venv/run.stamp: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "Installing what Anyturn needs into .venv ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/run.stamp
	@echo "Installing the test tools into .venv ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# The real Codex CLI judges every tool call. Without npm the suite still runs and says what it left out.
codex:
	@if [ -x $(CODEX) ]; then :; \
	elif command -v npm >/dev/null 2>&1; then \
	  echo "Installing the Codex CLI $(CODEX_VERSION) into .cache (about 400 MB on disk) ..."; \
	  mkdir -p .cache/codex/$(CODEX_VERSION) && \
	  npm install --silent --no-audit --no-fund --no-package-lock --no-save --prefix .cache/codex/$(CODEX_VERSION) @openai/codex@$(CODEX_VERSION); \
	else echo "npm is not here: the tests that drive the real Codex CLI will be left out."; fi
