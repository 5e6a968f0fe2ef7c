"""The pipelines that people copy, run as they are against a sandbox and real databases."""

from __future__ import annotations

import os
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dlt
import duckdb
import psycopg2
import pytest

from tests.support.bigquery import ENVIRONMENT
from tests.support.destinations import drop
from tests.support.environments import environment
from tests.support.pipelines import COUNT, LINES, truth
from tests.support.world import World

ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "pipelines"


def run_script(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PIPELINES / name), run_name="__main__")
    assert ended.value.code == 0


def test_the_duckdb_pipeline_loads_every_company(settings: World, tmp_path: Path) -> None:
    run_script("duckdb_pipeline.py")

    with duckdb.connect(str(tmp_path / "project" / "exact.duckdb")) as database:
        assert dict(database.execute(COUNT).fetchall()) == truth(settings)


def test_the_notebook_runs_without_a_browser(settings: World, tmp_path: Path) -> None:
    python = environment("notebook", ROOT / "tests" / "support" / "notebook_requirements.txt")
    done = subprocess.run(
        [python, ROOT / "examples" / "notebook.py"],
        cwd=tmp_path / "project",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(tmp_path / "project" / "exact.duckdb")) as database:
        assert dict(database.execute(COUNT).fetchall()) == truth(settings)


def test_the_postgres_pipeline_loads_every_company_from_parquet(
    settings: World,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres)

    run_script("postgres_pipeline.py")

    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute(COUNT)
        assert dict(cursor.fetchall()) == truth(settings)
    assert_parquet("transaction_lines")


@pytest.mark.parametrize("name", ["duckdb", "postgres", "bigquery"])
def test_a_pipeline_says_in_one_line_which_setting_is_missing(
    settings: World,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("SOURCES__EXACT_ONLINE__CLIENT_SECRET")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PIPELINES / f"{name}_pipeline.py"), run_name="__main__")

    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith("error: ")
    assert "client_secret" in line
    assert settings.box.requests == []


def assert_parquet(table: str) -> None:
    packages = Path(os.environ["DLT_DATA_DIR"]) / "pipelines" / "exact_online" / "load"
    jobs = [p.name for p in packages.rglob(f"completed_jobs/{table}.*")]
    assert jobs, f"no load job of {table} was kept"
    assert {name.rpartition(".")[2] for name in jobs} <= {"parquet", "sql"}
    assert not [name for name in jobs if "insert_values" in name]
    assert [name for name in jobs if name.endswith(".parquet")]


@pytest.fixture(params=["emulator", pytest.param("real project", marks=pytest.mark.real_bigquery)])
def dataset(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where BigQuery's tables go; in a real project a dataset of its own, which is dropped."""
    if request.param == "emulator":
        request.getfixturevalue("bigquery")
        yield "pipelines"  # others load into the emulator, too
        return
    if not os.environ.get(ENVIRONMENT):
        pytest.skip(f"{ENVIRONMENT} is not set: no project to load into")
    yield f"exact_test_{uuid4().hex[:8]}"
    with dlt.attach("exact_online").sql_client() as client:
        drop(client)
        with client.with_staging_dataset():
            drop(client)


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("bigquery")
def test_the_bigquery_pipeline_loads_every_company_and_then_what_changed(
    settings: World, dataset: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Two of the core set: the emulator takes a second for each table.
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__ENTITIES", "transaction_lines,accounts")
    text = (PIPELINES / "bigquery_pipeline.py").read_text()
    assert text.count('dataset_name="exact_online"') == 1
    script = str(tmp_path / "bigquery_pipeline.py")
    Path(script).write_text(
        text.replace('dataset_name="exact_online"', f'dataset_name="{dataset}"')
    )
    run_script(script)
    assert_parquet("transaction_lines")
    assert_made_as_told(dataset)
    key, gone, marked, *_ = settings.keys(LINES)
    settings.box.update(LINES, settings.division, key, {"Notes": "new"})
    settings.box.delete(LINES, settings.division, gone)
    run_script(script)

    assert dict(ask(COUNT.replace("exact_online.", ""))) == truth(settings)
    assert ask("SELECT id FROM transaction_lines WHERE notes = 'new'") == [(key,)]
    first, second = loads("transaction_lines")
    assert first == (sum(truth(settings).values()) + 1, 0)
    assert second[1] == 1
    assert 1 <= second[0] < first[0]

    settings.box.delete(LINES, settings.division, marked)
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__DELETES", "soft")
    run_script(script)
    assert ask("SELECT id FROM transaction_lines WHERE _deleted_at IS NOT NULL") == [(marked,)]


def ask(sql: str) -> list[tuple[Any, ...]]:
    with dlt.attach("exact_online").sql_client() as client:
        return [tuple(row) for row in client.execute_sql(sql) or ()]


def loads(entity: str) -> list[tuple[int, int]]:
    """Rows and deletions of each load; both companies begin before either ends."""
    rows = ask(
        f"SELECT rows, deleted FROM _exact_syncs WHERE entity = '{entity}' ORDER BY started_at"
    )
    return [(a[0] + b[0], a[1] + b[1]) for a, b in zip(rows[::2], rows[1::2], strict=True)]


def assert_made_as_told(dataset: str) -> None:
    """What BigQuery itself says of the tables."""
    with dlt.attach("exact_online").sql_client() as client:
        google: Any = client.native_connection
        lines, accounts = (
            google.get_table(f"{dataset}.{name}") for name in ("transaction_lines", "accounts")
        )
    assert (lines.time_partitioning.type_, lines.time_partitioning.field) == ("MONTH", "date")
    assert accounts.time_partitioning is None
    assert lines.clustering_fields == accounts.clustering_fields == ["division", "id"]
    assert accounts.description.startswith("Relations: customers, suppliers")
    columns = {field.name: field for field in accounts.schema}
    assert columns["status"].description == "C customer, P prospect, S suspect, A none of these."
    assert (columns["division"].mode, columns["id"].mode) == ("REQUIRED", "REQUIRED")
