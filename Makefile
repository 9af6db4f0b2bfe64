# Everything lives in .venv and web_viewer/node_modules; a stamp in .make/ says what is up to date.
PYTHON ?= python3
PORT ?= 8000
SCENE ?= scenes/packaging_line/scene.usda
PY := .venv/bin/python
CLIENT := twin/server/static/index.html
WEB_SOURCES := $(shell find web_viewer -type f -not -path '*/node_modules/*' -not -path '*/test-results/*' 2>/dev/null)

.PHONY: serve test check bench build format warm types clean help
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.make/venv: requirements.lock pyproject.toml
	@mkdir -p .make
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	TWIN_SKIP_WEB=1 $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.make/node: web_viewer/package-lock.json
	@mkdir -p .make
	@node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || { echo "Node 20 or newer is needed to build the web client" >&2; exit 2; }
	cd web_viewer && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(CLIENT): .make/node $(WEB_SOURCES)
	cd web_viewer && npm run --silent build
	@touch $@

build: .make/venv $(CLIENT) ## environment and web client

serve: build ## the hero scene, live, on http://127.0.0.1:PORT
	$(PY) -m twin.cli.open $(SCENE) --port $(PORT) --emulate

warm: .make/venv ## compile the Warp kernels into the cache
	$(PY) -m twin.cli.warm

test: build ## every test, browser tests included
	@sh .ci/system-packages.sh
	$(PY) -m twin.cli.warm
	cd web_viewer && npm test --silent
	cd tests/connectors/peers && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	$(PY) -m pytest -q

check: build ## lint, types, architecture contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	cd web_viewer && npm run --silent check

format: .make/venv ## format and mend what can be mended
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: build ## benchmarks against peers
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	$(PY) -m bench

types: .make/venv ## TypeScript types of the wire messages
	$(PY) -m twin.protocol.typescript > web_viewer/src/protocol/messages.gen.ts

clean: ## remove what was built, keep projects
	rm -rf .make .venv build dist web_viewer/node_modules twin/server/static
