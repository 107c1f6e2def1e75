# Regulars: every command sets up what it needs in .venv first. Needs Python 3.11 or newer, make and a package index.

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo run dev test browser check bench faults lock migration clean
.SUFFIXES:

VENV := .venv
PYTHON_IN := $(VENV)/bin/python
# The first of these that is new enough and can make an environment; `make PYTHON=/path/to/python …` overrides it.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v "$$p" && break; done)
PIP := $(PYTHON_IN) -m pip --disable-pip-version-check --no-input
# Tests wait a good deal: three processes keep two cores busy. Each has its own PostgreSQL and Valkey.
WORKERS ?= 3
# A page waits for the program, and the test for both. Files stay whole: theirs is one shop, filled once.
BROWSERS ?= 2

help:  ## Say what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.runtime  ## Install the program into .venv (quick the second time)

setup-dev: $(VENV)/.dev  ## The same, with what tests and checks need

demo: setup  ## Show the whole story on this machine; ARGS=--once (or ONCE=1) plays it without a person
	$(VENV)/bin/regulars demo $(ARGS) $(if $(ONCE),--once)

run: setup  ## Run the program: web and worker in one process, files in ./data
	$(VENV)/bin/regulars serve $(ARGS)

dev: setup  ## What `shopify app dev` runs: the program behind the tunnel of Shopify's CLI
	HOST=127.0.0.1 PUBLIC_URL="$(APP_URL)" $(VENV)/bin/regulars serve

test: setup-dev  ## Run the tests; ARGS="tests/journeys -k refund" picks some
	$(PYTHON_IN) -m pytest -n $(WORKERS) $(or $(ARGS),--ignore=tests/browser tests)

browser: setup-dev  ## Run the tests that drive a browser (needs chromium)
	$(PYTHON_IN) -m pytest -n $(BROWSERS) --dist loadfile tests/browser $(ARGS)

check: setup-dev  ## Lint, formatting, types and architecture
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTHON_IN) -m pytest tests/architecture

bench: setup-dev  ## Measure receiver, workers, latency and a Black Friday (many minutes; nothing else should run)
	$(PYTHON_IN) -m tests.benchmarks $(ARGS)

faults: setup-dev  ## Stage faults against the running program: N=20 runs of each row of the matrix, or ROWS=1,2,7
	$(PYTHON_IN) -m tests.faults --runs $(or $(N),1) $(if $(ROWS),--rows $(ROWS)) $(ARGS)

lock: setup-dev  ## Pin every dependency anew, with hashes, for every Python and platform we support
	$(VENV)/bin/uv pip compile $(LOCKING) --extra build -o requirements.lock pyproject.toml
	$(VENV)/bin/uv pip compile $(LOCKING) --extra build --extra tracing -c requirements.lock \
		-o requirements-tracing.lock pyproject.toml
	$(VENV)/bin/uv pip compile $(LOCKING) --extra build --extra tracing --extra dev -c requirements-tracing.lock \
		-o requirements-dev.lock pyproject.toml
	cd extensions && npm install --package-lock-only --silent && $(UNFUNDED)
# Addresses of people who take donations have no place in a lock file.
UNFUNDED := node -e 'const fs = require("fs"), name = "package-lock.json", lock = JSON.parse(fs.readFileSync(name)); \
	for (const one of Object.values(lock.packages)) delete one.funding; \
	fs.writeFileSync(name, JSON.stringify(lock, null, 2) + "\n")'
LOCKING := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(UPGRADE)

migration: setup-dev  ## Write the next database revision: make migration WORDS="what changes"
	$(PYTHON_IN) -m config.migrate new "$(WORDS)"
	$(VENV)/bin/ruff format -q config/migrations/versions

clean:  ## Remove .venv and caches; data/ stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find integration handlers config tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed in which order: the pinned build tool, the pinned packages built with it, the project itself.
$(VENV)/.runtime: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Regulars needs Python 3.11 or newer with venv, and found none. Install one" \
		"(Debian, Ubuntu: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version), about a minute the first time:"
	@test -x $(PYTHON_IN) || $(PYTHON) -m venv $(VENV)
	$(call install,requirements.lock)
	@touch $@
	@echo "Ready: $(VENV)/bin/regulars --help"

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Adding what tests and checks need:"
	$(call install,requirements-dev.lock)
	@touch $@

define install
@sed -n '/^setuptools==/,/[^\\]$$/p' $(1) > $(VENV)/build.lock
@$(PIP) install --quiet --require-hashes -r $(VENV)/build.lock
@{ $(PIP) install --require-hashes --no-build-isolation --use-pep517 -r $(1); echo $$? > $(VENV)/status; } \
	| grep -v 'already satisfied'; exit $$(cat $(VENV)/status)
@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
endef
