"""Empty databases of every supported kind."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.destinations.sql_client import SqlClientBase

from tests.support.bigquery import ENVIRONMENT, bigquery_settings
from tests.support.postgres import fresh_database
from tests.support.world import Row, World, as_digits, make_box

FROM, TO = "_dlt_valid_from", "_dlt_valid_to"

# A group runs in one process, so that each emulator and each story starts only once.
KINDS = (
    pytest.param("duckdb", marks=pytest.mark.xdist_group("story on duckdb")),
    pytest.param("postgres", marks=pytest.mark.xdist_group("story on postgres")),
    pytest.param("bigquery", marks=pytest.mark.xdist_group("bigquery")),
    pytest.param(
        "real-bigquery", marks=[pytest.mark.real_bigquery, pytest.mark.xdist_group("bigquery")]
    ),
)


@contextmanager
def world_in(kind: str, folder: Path, **box: Any) -> Iterator[World]:
    """A sandbox, and a pipeline into an empty dataset of this kind, which is dropped at the end."""
    with ExitStack() as stack:
        settings = {"DLT_DATA_DIR": str(folder / ".dlt"), "DLT_PROJECT_DIR": str(folder)}
        _set(stack, settings | dict(_settings(kind)))
        sandbox = make_box(**box)
        world = World(
            sandbox,
            stack.enter_context(sandbox.serve()),
            folder,
            stack.enter_context(_destination(kind, folder)),
            f"exact_test_{uuid.uuid4().hex[:8]}",
        )
        yield world
        with world.pipeline.sql_client() as client:
            drop(client)
            with client.with_staging_dataset():
                drop(client)


def drop(client: SqlClientBase[Any]) -> None:
    """Remove the open dataset, if any."""
    if client.has_dataset():
        client.drop_dataset()


def _settings(kind: str) -> Mapping[str, str]:
    if kind == "bigquery":
        return bigquery_settings()
    if kind == "real-bigquery" and not os.environ.get(ENVIRONMENT):
        pytest.skip(f"{ENVIRONMENT} is not set: no project to load into")
    return {}


def _set(stack: ExitStack, settings: Mapping[str, str]) -> None:
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    for name, value in settings.items():
        patch.setenv(name, value)


@contextmanager
def _destination(kind: str, folder: Path) -> Iterator[Any]:
    if kind == "duckdb":
        yield dlt.destinations.duckdb(str(folder / "exact.duckdb"))
    elif kind == "postgres":
        with fresh_database() as dsn:
            yield dlt.destinations.postgres(dsn)
    else:
        yield dlt.destinations.bigquery(location="EU")


def states(world: World, entity: str, key: str | None = None) -> list[Row]:
    """Rows of an entity's history table by key, in the order of time."""
    with world.pipeline.sql_client() as client:
        table = client.make_qualified_table_name(f"{entity}_history")
        with client.execute_query(f"SELECT * FROM {table}") as cursor:
            names = [column[0] for column in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    mine = [
        {name: as_digits(name, value) for name, value in row.items()}
        for row in found
        if key is None or row["id"] == key
    ]
    return sorted(mine, key=lambda row: (row["_key"], row[FROM]))
