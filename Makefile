# Everything a contributor types. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
CODEX_VERSION := 0.169.0
OLDER_CODEX_VERSIONS := 0.42.0 0.58.0 0.80.0 0.100.0 0.125.0 0.150.0
OLDER_OPENAI := 1.109.1 2.54.0
SDK_VENVS := $(patsubst %,.cache/sdk-venvs/%/stamp,$(OLDER_OPENAI))
CODEX_BINARIES := $(patsubst %,.cache/codex/%/node_modules/.bin/codex,$(CODEX_VERSION) $(OLDER_CODEX_VERSIONS))
BROWSER := .cache/chromium/stamp
NODE_SDKS := $(patsubst tests/sdks/packages/%/package.json,.cache/sdks/%/node_modules/.package-lock.json,$(wildcard tests/sdks/packages/*/package.json))

.DEFAULT_GOAL := help
.PHONY: help demo test lint fix bench lock clean codex sdks openai browser

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: .venv/run.stamp ## show the main job: a Codex turn on a Chat Completions provider, offline
	@$(BIN)/anyturn demo

test: .venv/dev.stamp codex sdks openai browser ## run the whole suite, the real Codex CLI and SDKs included
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

lock: ## pin the dependencies anew (needs uv and npm)
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml --group build -o requirements/run.txt
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-header -q pyproject.toml --extra redis --group dev --group browser -o requirements/dev.txt
	@for version in $(OLDER_OPENAI); do \
	  printf 'openai==%s\nopenai-agents\n' $$version | uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate -q pyproject.toml - --extra redis --group dev -o requirements/openai-$${version%%.*}.txt; \
	done
	@for package in tests/sdks/packages/*/ tests/inspector/browser/; do \
	  (cd $$package && npm install --silent --no-audit --no-fund --package-lock-only --omit-lockfile-registry-resolved); \
	done

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

# Programs still have these OpenAI SDKs. Without a package index the suite says what it left out.
openai:
	@$(MAKE) --no-print-directory --keep-going $(SDK_VENVS) || \
	  echo "An older OpenAI SDK could not be installed: its tests will be left out."

.cache/sdk-venvs/%/stamp: requirements/openai-1.txt requirements/openai-2.txt
	@echo "Installing the OpenAI SDK $* into .cache ..."
	@rm -rf .cache/sdk-venvs/$*
	@$(PYTHON) -m venv .cache/sdk-venvs/$*
	@.cache/sdk-venvs/$*/bin/pip install -q --disable-pip-version-check --require-hashes \
	  -r requirements/openai-$(firstword $(subst ., ,$*)).txt || { rm -rf .cache/sdk-venvs/$*; exit 1; }
	@touch $@

# The real Codex CLI judges every tool call, and the versions that users still have judge the main job.
# Without npm the suite still runs and says what it left out.
ifneq ($(shell command -v npm 2>/dev/null),)
codex: $(CODEX_BINARIES)
	@:
sdks: $(NODE_SDKS)
	@:
# The package holds a browser for Linux on x64. Elsewhere the one that is installed is used.
ifeq ($(shell uname -sm),Linux x86_64)
browser: $(BROWSER)
	@:
else
browser:
	@:
endif
else
browser:
	@[ -e $(BROWSER) ] || \
	  echo "npm is not here: the tests of the inspector's page need an installed Chromium, or are left out."
sdks:
	@[ -z "$(filter-out $(wildcard $(NODE_SDKS)),$(NODE_SDKS))" ] || \
	  echo "npm is not here: the tests that drive SDKs for Node.js will be left out where they are not installed."
codex:
	@[ -z "$(filter-out $(wildcard $(CODEX_BINARIES)),$(CODEX_BINARIES))" ] || \
	  echo "npm is not here: the tests that drive the real Codex CLI will be left out where it is not installed."
endif

# Up to 0.80.0 the package holds the binaries of all platforms: only ours stays.
.cache/codex/%/node_modules/.bin/codex:
	@echo "Installing the Codex CLI $* into .cache ..."
	@mkdir -p .cache/codex/$*
	@npm install --silent --no-audit --no-fund --no-package-lock --no-save --prefix .cache/codex/$* @openai/codex@$*
	@ours=$$(node -p '({x64: "x86_64", arm64: "aarch64"})[process.arch] + "-" + ({linux: "unknown-linux-musl", darwin: "apple-darwin"})[process.platform]'); \
	binaries=.cache/codex/$*/node_modules/@openai/codex/vendor; \
	if [ -d "$$binaries/$$ours" ]; then \
	  find "$$binaries" -mindepth 1 -maxdepth 1 ! -name "$$ours" -exec rm -rf {} +; \
	fi
	@du -sh .cache/codex/$* | awk '{ print "  takes " $$1 " there" }'

# The exact versions and the hashes of everything below them stand in the lock files. The newest
# packages ask for Node.js 22, and what the tests use of them runs on 20.
.cache/sdks/%/node_modules/.package-lock.json: tests/sdks/packages/%/package-lock.json
	@echo "Installing the SDKs of tests/sdks/packages/$* into .cache ..."
	@mkdir -p .cache/sdks/$*
	@cp tests/sdks/packages/$*/package.json $< .cache/sdks/$*
	@cd .cache/sdks/$* && npm ci --silent --no-audit --no-fund --no-engine-strict
	@touch $@
	@du -sh .cache/sdks/$* | awk '{ print "  takes " $$1 " there" }'

# The browser in which the inspector's page is tested. With the name of a Lambda in the environment
# the package unpacks the libraries and the fonts as well that a bare machine has not.
$(BROWSER): tests/inspector/browser/package-lock.json
	@echo "Installing a headless Chromium into .cache ..."
	@rm -rf .cache/chromium && mkdir -p .cache/chromium/unpacked
	@cp tests/inspector/browser/package.json tests/inspector/browser/unpack.mjs $< .cache/chromium
	@cd .cache/chromium && npm ci --silent --no-audit --no-fund && \
	  TMPDIR=$$PWD/unpacked AWS_EXECUTION_ENV=AWS_Lambda_nodejs22.x node unpack.mjs >/dev/null
	@rm -rf .cache/chromium/node_modules
	@touch $@
	@du -sh .cache/chromium | awk '{ print "  takes " $$1 " there" }'
