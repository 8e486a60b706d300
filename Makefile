# make run: from nothing to the main job. make test: from nothing to all tests.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: run test install lint clean
run: install
	$(BIN)/matterhorn run

test: install lint
	TORCH_COMPILE_DISABLE=1 OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

lint: install
	$(BIN)/ruff check matterhorn tests
	$(BIN)/mypy

install: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[dev]"
	$(BIN)/matterhorn warm
	touch $@

clean:
	rm -rf .venv
