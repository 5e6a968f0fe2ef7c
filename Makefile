# Two commands: `make demo` and `make test`. Both make .venv on the first run and are quick on the next.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
JOBS ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count() or 1)")
export RUNTIME__DLTHUB_TELEMETRY ?= false

.PHONY: demo test lint types coverage bench docs proofs clean

demo: $(VENV)/.demo
	$(BIN)/exact-source demo

test: lint types
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

coverage: $(VENV)/.dev
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage combine -q && $(BIN)/coverage report

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py --json benchmarks/results.json

docs: $(BIN)/uv
	$(BIN)/uv run --no-project --isolated --with 'zensical>=0.0.50,<0.1' zensical build --clean

# What takes minutes and is not part of every run of the tests; every extra, lowest and newest dependencies.
proofs: $(VENV)/.dev
	EXACT_TEST_PROOFS=1 $(BIN)/python -m pytest -q tests/flow/test_packaging.py tests/flow/test_cli_demo.py
	EXACT_TEST_PROOFS=1 $(BIN)/python -m pytest -q tests/flow/test_dagster.py -k daemon

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit("exact-source needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo: pyproject.toml | $(BIN)/uv
	$(UV) --editable '.[sandbox]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/uv
	$(UV) --editable '.[sandbox,postgres,bigquery]' --group dev
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist
