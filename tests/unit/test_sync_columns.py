"""All that reads ``_exact_syncs`` knows its columns and its statuses: the commands and the dbt package."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import duckdb
import pytest
import yaml

from exact_source.cli._output.stored_syncs import SyncRow
from exact_source.engine.result import PROBLEMS, Status, StreamResult
from exact_source.loading.sync_columns import SYNC_COLUMNS
from exact_source.report.models import Models, models_folder

SQL_TYPES = {"int32": "integer", "int64": "bigint", "string": "varchar", "instant": "timestamptz"}
STATUSES: tuple[Status, ...] = get_args(Status)


@pytest.fixture
def log() -> duckdb.DuckDBPyConnection:
    """A database with an empty log of syncs."""
    columns = ", ".join(f'"{name}" {SQL_TYPES[kind]}' for name, kind in SYNC_COLUMNS.items())
    database = duckdb.connect()
    database.execute(f"create table logged ({columns})")
    return database


def test_the_commands_read_columns_of_the_log() -> None:
    assert {f.name for f in fields(SyncRow)} <= SYNC_COLUMNS.keys()


def test_the_dbt_package_reads_the_log(log: duckdb.DuckDBPyConnection) -> None:
    models = Models(models_folder(), "duckdb", lambda _table: "logged")
    assert (
        log.execute(models.render("select * from {{ ref('stg_exact_online__syncs') }}")).fetchall()
        == []
    )


def test_the_dbt_package_accepts_all_statuses() -> None:
    text = (models_folder() / "models" / "staging" / "_staging.yml").read_text("utf-8")
    (model,) = (m for m in yaml.safe_load(text)["models"] if m["name"] == "stg_exact_online__syncs")
    (status,) = (c for c in model["columns"] if c["name"] == "status")
    accepted = status["data_tests"][0]["accepted_values"]["arguments"]["values"]
    assert sorted(accepted) == sorted(STATUSES)


@pytest.mark.parametrize("status", STATUSES)
def test_the_dbt_package_counts_the_streams_that_failed(
    log: duckdb.DuckDBPyConnection, status: Status
) -> None:
    log.execute("insert into logged (division, entity, status) values (1, 'a', $1)", [status])
    models = Models(models_folder(), "duckdb", lambda _table: "logged")
    sql = models.render("select failed_streams from {{ ref('exact_online__sync_runs') }}")
    failed = StreamResult(1, "a", "", 0.0, status=status).has_failed
    assert log.execute(sql).fetchall() == [(int(failed),)]


def test_each_final_status_but_complete_is_a_problem() -> None:
    assert {*PROBLEMS} == {*STATUSES} - {"running", "complete"}
