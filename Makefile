# Two commands: `make demo` and `make test`. Both make .venv on the first run and are quick on the next.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
# A test waits half of its time, for sockets, disks and processes.
JOBS ?= $(shell $(PYTHON) -c "import os; print(min(8, 2 * (os.cpu_count() or 1)))")
export RUNTIME__DLTHUB_TELEMETRY ?= false
# Tests start hundreds of processes. Each would compile dlt again, which takes a second or two.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: sources demo test default-tests lint types coverage bench docs proofs proofs-tokens nightly packages clean

demo: $(VENV)/.demo
	$(BIN)/exact-source demo

test: lint packages
	@$(MAKE) --no-print-directory -j2 types default-tests

default-tests: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

coverage: $(VENV)/.dev packages
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage combine -q && $(BIN)/coverage report

# Measures everything that docs/speed.md says and writes that page; the largest table has three times ROWS rows.
bench: ROWS ?= 1000000
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py --rows $(ROWS) --json benchmarks/results.json
	$(BIN)/python -m benchmarks.scale --json benchmarks/scale.json
	$(BIN)/python -m benchmarks.side_by_side --rows $$(($(ROWS) / 20)) --json benchmarks/side_by_side.json
	$(BIN)/python -m benchmarks.parsers
	$(BIN)/python -m tools.docs.speed_page

docs: $(BIN)/uv
	$(BIN)/uv run --no-project --isolated --with 'zensical>=0.0.50,<0.1' zensical build --clean --strict

# Hours: each extra and the lowest and newest dependencies, the image of the Containerfile (where root has
# buildah, crun and debootstrap), two hundred companies by four workers of Airflow (with Redis, which
# root gets installed), mutants, and then the tokens.
proofs: export EXACT_TEST_EXAMPLES ?= all
proofs: export EXACT_TEST_REQUIRED ?= 1
proofs: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m proofs -n $(JOBS) --dist loadgroup --timeout=3600 --durations=40
	$(MAKE) proofs-tokens

# kill -9 at every line of a rotation, 8 processes x 200 rotations on each store, the window measured.
proofs-tokens: export EXACT_TEST_KILLS ?= 0
proofs-tokens: export EXACT_TEST_ROTATIONS ?= 200
proofs-tokens: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "" -n $(JOBS) --dist loadgroup --timeout=7200 --durations=20 \
		tests/auth/test_auth_kill.py tests/auth/test_auth_rotations.py tests/auth/test_auth_hosts.py
	$(BIN)/python -m benchmarks.rotation_window

# A browser for the tests of the report, and the library of ODBC, which the driver of SQL Server loads, and for
# the night MariaDB: Debian's, where root can install them. Elsewhere the tests that need them skip.
packages:
	@found=; wanted=; for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && found=1; done; \
	[ "$$found" ] || wanted="chromium fonts-liberation"; \
	/sbin/ldconfig -p 2>/dev/null | grep -q libodbc.so.2 || wanted="$$wanted libodbc2"; \
	[ -z "$(NIGHT)" ] || PATH="$$PATH:/usr/sbin" command -v mariadbd >/dev/null || wanted="$$wanted mariadb-server"; \
	[ "$$wanted" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
			--no-install-recommends $$wanted >/dev/null && exit 0; \
	fi; echo "not installed: $$wanted; the tests that need them are skipped"

# At most an hour: Airflow, Dagster, other clients, the emulator of BigQuery, kills, each token store, all
# examples of the properties, and twenty thousand histories, other ones each night. EXACT_CONVERGENCE_SEED
# repeats those of another night. A package, browser or server that is missing fails its tests instead of
# skipping them, unless EXACT_TEST_REQUIRED is empty.
nightly: export EXACT_CONVERGENCE_SEQUENCES ?= 20000
nightly: export EXACT_TEST_EXAMPLES ?= all
nightly: export EXACT_TEST_REQUIRED ?= 1
nightly: export EXACT_CONVERGENCE_SEED ?= $(shell date +%Y%m%d)000
nightly: NIGHT := 1
nightly: $(VENV)/.dev packages
	$(BIN)/python -m pytest -q -m "nightly or histories or hypothesis" -n $(JOBS) --dist loadgroup --durations=40

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev
	$(BIN)/mypy

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit("exact-source needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo: pyproject.toml | $(BIN)/uv
	$(UV) --editable '.[report,sandbox]'
	touch $@

# Compiled here, once and on all cores: otherwise each of the first test processes compiles dlt.
$(VENV)/.dev: pyproject.toml | $(BIN)/uv
	$(UV) --compile-bytecode --editable '.[report,sandbox,postgres,bigquery]' --group dev
	touch $@ $(VENV)/.demo

# For `dlt init exact_online duckdb --location .`, which copies from this folder.
sources: $(VENV)/.demo
	$(BIN)/python -m tools.dlt_sources

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist
