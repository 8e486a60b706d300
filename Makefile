# make run: from nothing to the main job. make test: from nothing to the tests. make test-all: the slow ones too.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
TESTS := TORCH_COMPILE_DISABLE=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadgroup
export HF_HUB_OFFLINE ?= 1

.PHONY: run test test-all install lint clean
run: .venv/base
	$(BIN)/matterhorn run

test: install lint
	$(TESTS) -m "not slow"

test-all: install lint
	$(TESTS)

lint: install
	$(BIN)/ruff check matterhorn tests
	$(BIN)/ruff format --check matterhorn tests
	$(BIN)/mypy
	$(BIN)/lint-imports

install: .venv/installed

.venv/base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/installed: .venv/base
	$(BIN)/matterhorn warm & $(BIN)/pip install --quiet "$(TORCH)" && \
	$(BIN)/pip install --quiet --editable ".[dev]" && wait $$!  # a minute of compiling beside minutes of fetching
	touch $@

clean:
	rm -rf .venv
