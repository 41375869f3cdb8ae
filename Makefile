# Couponry: everything a newcomer types. `make help` lists it.
# Stamps in .couponry/stamps keep a second run from building anything again.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .couponry/stamps
CARGO_TEST := cargo test --locked --workspace --exclude couponry-core
# pyo3 builds against this interpreter, and the build finds maturin beside it.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

RUST_SOURCES := $(shell find rust lua -path rust/models -prune -o -type f \( -name '*.rs' -o -name '*.lua' -o -name Cargo.toml \) -print) Cargo.toml Cargo.lock
# Python that people write; the modules of couponry.v1 are generated.
PYTHON_CODE := python tests proto bench

.PHONY: help demo test lint models serve wheel bench proto docs clean stores build test-rust test-python

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: build ## a flash sale on a real MariaDB and Redis, to the last coupon, with a report
	exec $(BIN)/couponry demo

serve: build ## run the service with private stores until Ctrl-C
	exec $(BIN)/couponry serve --dev

test: test-rust test-python ## all tests: Rust, and Python with private stores

test-rust: build
	$(CARGO_TEST)

test-python: build
	$(BIN)/pytest

lint: build ## formats, linters, types, stubs, layers, wire contract, licences
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/mypy $(PYTHON_CODE)
	$(BIN)/python -m mypy.stubtest couponry._core --mypy-config-file pyproject.toml
	$(BIN)/lint-imports
	$(BIN)/buf lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	.ci/cargo-deny check licenses bans sources

models: ## check the models of both protocols, in the short form (about 3 minutes)
	SHORT=1 rust/models/cache/run.sh
	SECS=5 rust/models/flash_sale/verify.sh
	rust/models/flash_sale/ablate.sh

wheel: build ## build dist/couponry-*.whl
	rm -rf dist
	$(BIN)/maturin build --release --locked --out dist

bench: build bench-discount ## run the benchmarks (QUICK=1: short)
	$(BIN)/pytest bench

proto: build ## generate python/couponry/v1 from proto/
	$(BIN)/python proto/generate.py

docs: build ## generate docs/configuration.md from the settings
	$(BIN)/python -m couponry.config > $(STAMPS)/configuration.md
	mv $(STAMPS)/configuration.md docs/configuration.md

clean: ## end private stores and remove everything that is built or kept for development
	if [ -x $(BIN)/couponry ]; then $(BIN)/couponry dev down || true; fi
	rm -rf .couponry .venv dist target rust/models/target python/couponry/_core*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	find python tests proto bench -name __pycache__ -prune -exec rm -rf {} +

include bench/targets.mk bench/flash/targets.mk tests/chaos/targets.mk tests/conformance/targets.mk rust/judge/targets.mk rust/fuzz-discount/targets.mk

build: stores $(STAMPS)/extension $(STAMPS)/package

stores:
	@PYTHON=$(PYTHON) .ci/ensure-stores

$(STAMPS)/venv: requirements.lock
	mkdir -p $(STAMPS)
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	touch $@

# The command and the metadata; the build inside also makes the extension, which the next step refreshes.
$(STAMPS)/package: pyproject.toml Cargo.toml $(STAMPS)/venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# pip's own --group makes maturin's install step fail with an old pip, hence --skip-install.
$(STAMPS)/extension: $(RUST_SOURCES) $(STAMPS)/package
	$(BIN)/maturin develop --quiet --release --locked --skip-install
	touch $@
