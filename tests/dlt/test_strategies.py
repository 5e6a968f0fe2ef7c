"""Destinations that cannot merge by delete-insert: refused before the first call, or loaded another way."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, cast

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source.cli.connect import known_destinations, need_extra, parse_destination
from exact_source.errors import ConfigurationError
from exact_source.loading.entity_resource import EntityResource
from exact_source.loading.session import Session
from exact_source.loading.strategy import choose_strategy
from exact_source.loading.tables import DELETE_INSERT
from exact_source.source import run_source
from tests.support.lakes import with_packages, without_extensions
from tests.support.world import World

ACCOUNTS = "sync/CRM/Accounts"
METHODS = Path(__file__).parents[2] / "tools" / "docs" / "methods.json"


def on_files(world: World) -> None:
    world.pipeline = world.new_pipeline(
        "files", destination=dlt.destinations.filesystem(str(world.folder / "lake"))
    )


def states(world: World) -> list[dict[str, Any]]:
    return world.table("accounts")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "change_log to true"),
        ({"table_format": "iceberg"}, "deletes to soft"),
        ({"change_log": True, "history": "accounts"}, "scd2"),
    ],
)
def test_what_would_be_wrong_is_refused_before_any_call(
    world: World, options: dict[str, Any], words: str
) -> None:
    on_files(world)
    with world.watch() as calls:
        outcome = world.sync("accounts", **options)
    assert outcome.exit_code == 2
    assert words in str(outcome)
    assert not len(calls)


def test_an_upsert_of_the_users_is_refused(world: World) -> None:
    source = run_source(Session(world.make_run()), ["accounts"])
    source.accounts.apply_hints(write_disposition={"disposition": "merge", "strategy": "upsert"})
    with world.watch() as calls, pytest.raises(PipelineStepFailed, match="unknown rows"):
        world.pipeline.run(source)
    assert not len(calls)


def test_the_query_of_the_page_finds_the_rows_of_a_change_log(world: World) -> None:
    options: dict[str, Any] = {"change_log": True}
    assert world.sync("accounts", **options).exit_code == 0
    keys = world.keys(ACCOUNTS)
    world.box.update(ACCOUNTS, world.division, keys[0], {"Name": "Renamed"})
    world.box.delete(ACCOUNTS, world.division, keys[1])
    outcome = world.sync("accounts", **options)
    assert outcome.exit_code == 0
    assert [r.deleted for r in outcome.results if r.division == world.division] == [1]

    assert len([row for row in states(world) if row["id"] == keys[0]]) == 2
    page = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text()
    query = page.split("```sql\n")[1].split("```")[0]
    now = world.sql(f"SELECT id, name FROM ({query}) AS current_rows")
    wanted = {
        (str(row["ID"]), row["Name"])
        for division in world.box.divisions
        for row in world.box.rows(ACCOUNTS, division)
    }
    assert set(now) == wanted

    idle = world.sync("accounts", **options)
    assert not [r for r in idle.results if r.rows or r.deleted]


@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_plain_files_are_refused_in_every_format(
    world: World, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    monkeypatch.setenv("DESTINATION__FILESYSTEM__LOADER_FILE_FORMAT", file_format)
    on_files(world)
    with world.watch() as calls:
        outcome = world.sync("accounts")
    assert outcome.exit_code == 2
    assert "change_log to true" in str(outcome)
    assert not len(calls)


def test_a_destination_that_merges_nothing_is_refused_before_any_call(world: World) -> None:
    sink = dlt.destinations.destination(lambda items, table: None, name="sink")
    world.pipeline = world.new_pipeline("sink", destination=sink)
    with world.watch() as calls:
        outcome = world.sync("accounts")
    assert outcome.exit_code == 2
    assert "cannot merge rows there" in str(outcome)
    assert not len(calls)


@pytest.mark.parametrize(
    ("table_format", "package"), [("delta", "deltalake"), ("iceberg", "pyiceberg")]
)
def test_a_missing_package_of_a_table_format_is_named_before_any_call(
    world: World, monkeypatch: pytest.MonkeyPatch, table_format: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    on_files(world)
    with world.watch() as calls:
        outcome = world.sync("accounts", table_format=table_format, deletes="soft")
    assert outcome.exit_code == 2
    assert f"dlt[{package}]" in str(outcome)
    assert not len(calls)


@pytest.mark.parametrize(
    ("table_format", "extension"), [("delta", "delta"), ("iceberg", "avro; INSTALL iceberg")]
)
def test_a_missing_extension_of_duckdb_is_named_before_any_call(
    world: World, monkeypatch: pytest.MonkeyPatch, table_format: str, extension: str
) -> None:
    without_extensions(monkeypatch, world.folder)
    on_files(world)
    with world.watch() as calls:
        outcome = world.sync("accounts", table_format=table_format, deletes="soft")
    assert outcome.exit_code == 2
    assert f"duckdb.sql('INSTALL {extension}')" in str(outcome)
    assert not len(calls)


def method(name: str, table_format: str) -> str:
    """How rows reach a destination, as the page says it; no server and no driver is needed."""
    kind: Any = getattr(dlt.destinations, name)
    pipeline = dlt.pipeline(f"to_{name}", destination=kind(), dataset_name="books")
    resource: Any = dlt.resource([], name="accounts", _impl_cls=EntityResource)
    resource.apply_hints(
        write_disposition=DELETE_INSERT, table_format=cast("Any", table_format or None)
    )
    for deletes in ("hard", "soft"):
        try:
            chosen = choose_strategy(pipeline, resource, deletes=deletes, change_log=False)
        except ConfigurationError as error:
            refusal = str(error)
            continue
        return chosen.kind if deletes == "hard" else f'{chosen.kind}, with `deletes="soft"`'
    return "refused" if "change_log" in refusal else refusal


def test_each_destination_of_dlt_gets_a_method_that_it_supports_or_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_packages(monkeypatch)
    monkeypatch.setattr("exact_source.loading.strategy.missing_extensions", lambda _names: [])
    found: dict[str, str] = {}
    for name in known_destinations():
        plain = found[name] = method(name, "")
        for table_format in ("delta", "iceberg"):
            if (other := method(name, table_format)) != plain:
                found[f"{name} with {table_format}"] = other
    assert found["postgres"] == "delete-insert"
    assert found["filesystem with delta"] == "upsert"
    if os.environ.get("EXACT_RECORD"):
        METHODS.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(METHODS.read_text()), "run python -m tools.docs.dlt_pages --run"


# Not duckdb and pyarrow, which this package needs itself.
DRIVERS = (
    "adbc_driver_postgresql", "clickhouse_connect", "clickhouse_driver", "databricks",
    "google.cloud.bigquery", "lance", "lancedb", "psycopg2", "psycopg2cffi",
    "pyathena", "pyodbc", "qdrant_client", "snowflake", "sqlalchemy", "weaviate",
)  # fmt: skip
WITHOUT_DRIVER = {"dremio", "duckdb", "ducklake", "filesystem", "motherduck"}


def test_a_missing_driver_of_any_destination_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set(known_destinations())
    of_kinds = tuple(f"dlt.destinations.impl.{kind}." for kind in kinds - WITHOUT_DRIVER)
    for name in list(sys.modules):
        if name.startswith(of_kinds) and not name.endswith((".factory", ".configuration")):
            monkeypatch.delitem(sys.modules, name)
    for driver in DRIVERS:
        for name in [driver, *(name for name in sys.modules if name.startswith(f"{driver}."))]:
            monkeypatch.setitem(sys.modules, name, None)

    extras = {
        package: set(metadata(package).get_all("Provides-Extra") or ())
        for package in ("dlt", "exact-source")
    }
    refused = set()
    for kind in kinds:
        try:
            need_extra(kind)
        except ConfigurationError as error:
            refused.add(kind)
            named, extra = re.findall(r'pip install .*"(.+)\[([a-z]+)\].*"', str(error))[0]
            package = "dlt" if named == "dlt" else "exact-source"  # or the folder of a clone
            assert extra == kind
            assert extra in extras[package]
    assert refused == kinds - WITHOUT_DRIVER


def test_every_destination_of_dlt_is_known() -> None:
    for name in known_destinations():
        assert parse_destination(name) == (name, "")
    assert {"snowflake", "mssql", "fabric", "clickhouse", "filesystem"} <= set(known_destinations())
    assert parse_destination("filesystem:s3://books") == ("filesystem", "s3://books")
