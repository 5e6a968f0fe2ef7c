"""Destinations that cannot merge by delete-insert: refused before the first call, or loaded another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source.cli.connect import known_destinations, need_extra, parse_destination
from exact_source.errors import ConfigurationError
from exact_source.loading.session import Session
from exact_source.source import run_source
from tests.support.world import World

ACCOUNTS = "sync/CRM/Accounts"


def on_files(world: World) -> None:
    world.pipeline = world.new_pipeline(
        "files", destination=dlt.destinations.filesystem(str(world.folder / "lake"))
    )


def states(world: World) -> list[dict[str, Any]]:
    return world.table("accounts")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "change_log=True"),
        ({"table_format": "iceberg"}, 'deletes="soft"'),
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


def test_every_destination_of_dlt_is_known_and_its_driver_named() -> None:
    for name in known_destinations():
        assert parse_destination(name) == (name, "")
    assert {"snowflake", "mssql", "fabric", "clickhouse", "filesystem"} <= set(known_destinations())
    assert parse_destination("filesystem:s3://books") == ("filesystem", "s3://books")
    with pytest.raises(ConfigurationError, match=r"dlt\[snowflake\]"):
        need_extra("snowflake")
