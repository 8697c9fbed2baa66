# Everyday commands. `make` alone lists them.
#
#   PYTHON=python3.12     the interpreter of a new .venv; found when left out
#   INSTALLER=uv          install with uv instead of pip
#   TOWPATH_HOME=folder   where artifacts and runs go; ./work when left out

BIN := .venv/bin
RUN_TESTS := $(BIN)/python -m pytest
# A file's tests stay together, in one of two processes of one thread each.
SHARED_OUT := -n 2 --dist loadfile

export PYTHON INSTALLER TOWPATH_HOME
# After the installation nothing uses the network.
export HF_HUB_OFFLINE := 1
export TRANSFORMERS_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1
export DAFT_ANALYTICS_ENABLED := 0
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-slow test-all check lint types imports references fmt bench bench-data bench-train clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv with everything for development
	@.ci/environment dev

demo: ## from raw text to a chat with a model trained here, in minutes
	@.ci/environment samples
	@$(BIN)/towpath run tiny

test: setup ## the fast tests
	@OMP_NUM_THREADS=1 $(RUN_TESTS) $(SHARED_OUT)

test-slow: setup ## the slow tests alone: kills, browser, installation, the whole path
	@OMP_NUM_THREADS=1 $(RUN_TESTS) $(SHARED_OUT) -m slow --timeout=900 -p no:cacheprovider -rs

test-all: test test-slow ## every test

check: lint types imports references ## style, types, import rules, references in the documents

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: setup
	$(BIN)/basedpyright

imports: setup
	$(BIN)/lint-imports

references: setup
	$(RUN_TESTS) tests/frame/test_docs.py

fmt: setup ## put the code in form
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: setup ## the benchmarks, and the lines of each room
	@for room in src/towpath/*/; do \
		printf '%7d lines  %s\n' "$$(find "$$room" -name '*.py' -exec cat {} + | wc -l)" "$$room"; \
	done
	@for script in benchmarks/*.py; do \
		[ ! -e "$$script" ] || { echo "== $$script"; $(BIN)/python "$$script" || exit 1; }; \
	done

bench-data: setup ## speed of the data room beside its peers, one JSON line a row at the end
	@$(BIN)/python setup.py -q build_ext --inplace
	@$(BIN)/python benchmarks/data/all_rows.py

bench-train: setup ## speed of training beside its peers, one JSON line a row at the end
	@$(BIN)/python benchmarks/train/all_rows.py

clean: ## remove caches; .venv and the work folder stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
