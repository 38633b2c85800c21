# What a person types. Each target makes .venv when it is missing or out of date; `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH_VERSION := 2.13.0
# Extra arguments for the step that installs torch, for instance the index of its CPU builds.
TORCH_PIP_ARGS ?=
ATHERIS_VERSION := 3.0.0
FUZZ_SECONDS ?= 60
# What `make bench` is told beside: `--part translation`, `--rounds 3`, `--models bundles` and the like (--help).
BENCH_ARGS ?=
API := proto/seqserve
FROZEN_API := proto/frozen/seqserve_v1.binpb
SAMPLES := $(wildcard training/recipes/sample-*.toml)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo models serve test check bench bench-layouts bench-training image-test lock proto proto-freeze fuzz clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

$(INSTALLED): requirements/dev.txt pyproject.toml
	@echo "installing into $(VENV): locked requirements first, then torch $(TORCH_VERSION) in a step of its own"
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --use-pep517 --require-hashes -r requirements/dev.txt # by itself an old pip cannot build seqeval
	$(PIP) install $(TORCH_PIP_ARGS) torch==$(TORCH_VERSION)
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Train small models for every task, serve them, ask them, draw what they looked at
	@$(BIN)/python -m demo

models: $(INSTALLED) ## Train the sample models into .build/models (those that are missing)
	@$(BIN)/python -m training train --runs .build/runs $(SAMPLES)

serve: models ## Serve .build/models on 127.0.0.1:50051
	@$(BIN)/python -m service serve --models .build/models

test: models ## Run the tests
	$(BIN)/python -m pytest

check: $(INSTALLED) ## Format, lint, types, import rules, proto lint, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against $(FROZEN_API)
	$(BIN)/python proto/generate.py --check

bench: models ## Measure the service beside its limit and its peers (71 minutes with BENCH_ARGS="--rounds 3", more with its 5); writes docs/benchmarks.md
	$(BIN)/python -m tests.bench.serving $(BENCH_ARGS)

bench-layouts: models ## Measure the engine layouts side by side; writes docs/engine-layouts.md
	$(BIN)/python -m tests.bench.layouts

bench-training: $(INSTALLED) ## Measure training beside JoeyNMT and OpenNMT-py (needs SEQSERVE_DATA); writes docs/training-speed.md
	$(BIN)/python -m tests.bench.training_speed

image-test: models ## Build the service image without Docker (buildah) and send it a request
	deploy/image-test.sh

fuzz: $(INSTALLED) ## Feed the API bytes for FUZZ_SECONDS (60), guided by coverage (Linux); see .build/fuzz
	$(PIP) install --quiet atheris==$(ATHERIS_VERSION)
	$(BIN)/python -m tests.fuzz.guided -max_total_time=$(FUZZ_SECONDS)

proto: $(INSTALLED) ## Generate seqserve/v1 and docs/api.md from proto/
	$(BIN)/python proto/generate.py

proto-freeze: $(INSTALLED) ## Promise the API as it is now: from then on `make check` refuses what would break a client
	$(BIN)/buf build proto --path $(API) --exclude-source-info --output $(FROZEN_API)

lock: ## Resolve the requirements anew (needs uv); what ships is what dev tests
	for group in dev service service-gpu training; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
			$$([ $$group = dev ] || echo --constraint requirements/dev.txt) \
			--group $$group pyproject.toml --output-file requirements/$$group.txt || exit $$?; \
	done

clean: ## Remove what was built, except .venv
	rm -rf .build dist build *.egg-info
