"""Rows of a first load are appended, all others merged; whatever happens no row is there twice."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from exact_source.engine import rows
from exact_source.loading.first_load import FirstLoad
from exact_source.loading.warehouse import Warehouse
from exact_source.sandbox import SandboxClock
from tests.support.destinations import world_in
from tests.support.fixtures import MakeWorld
from tests.support.tiers import variants
from tests.support.world import World, feed_path

LINES = feed_path("transaction_lines")
ACCOUNTS = feed_path("accounts")


def merges(world: World) -> set[str]:
    """Tables that the last load of a sync merged; an append has no job of SQL."""
    trace = world.pipeline.last_trace
    assert trace is not None
    assert trace.last_load_info is not None
    (package,) = trace.last_load_info.load_packages
    jobs = package.jobs["completed_jobs"]
    return {j.job_file_info.table_name for j in jobs if j.job_file_info.file_format == "sql"}


def test_the_first_load_is_appended_and_the_next_one_merged(world: World) -> None:
    world.sync("accounts", "journals")
    assert merges(world) == set()
    world.assert_equal("accounts")

    key = world.keys(ACCOUNTS)[0]
    world.box.update(ACCOUNTS, world.division, key, {"Name": "later"})
    world.sync("accounts", "journals")
    assert merges(world) == {"accounts"}
    world.assert_equal("accounts")
    world.assert_equal("journals")


def test_changes_of_a_company_are_merged_without_a_query_for_its_rows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query reads the whole table, which takes seconds, or money in BigQuery."""
    world.sync("accounts")
    asked: list[str] = []
    monkeypatch.setattr(Warehouse, "divisions", lambda _self, table, **_: asked.append(table))
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": "later"})

    assert world.sync("accounts").exit_code == 0
    assert (merges(world), asked) == ({"accounts"}, [])
    world.assert_equal("accounts")


def test_rounds_of_a_first_load_are_appended(world: World) -> None:
    outcome = world.sync("transaction_lines", max_pages=1)
    assert outcome.rounds > 2
    assert merges(world) == set()
    world.assert_equal("transaction_lines")


def test_a_row_that_comes_twice_on_a_page_is_loaded_once(world: World) -> None:
    world.box.fault("duplicate-row", path=LINES, division=world.division)
    outcome = world.sync("transaction_lines")
    assert outcome.exit_code == 0
    assert merges(world) == set()
    world.assert_equal("transaction_lines")


def test_a_row_that_comes_again_in_a_later_round_makes_that_a_merge(world: World) -> None:
    run = world.make_run(max_pages=2, divisions=[world.division])
    keys = world.keys(LINES)

    def touch(result: Any) -> None:
        if run.rounds.number == 2:  # it lies behind the scan, and the catch-up meets it again
            world.box.update(LINES, world.division, keys[0], {"Notes": "touched"})

    run.log.on_progress = touch
    world.sync_with(run, "transaction_lines")
    assert world.sync("transaction_lines").exit_code == 0
    world.assert_equal("transaction_lines")


def test_a_company_that_is_new_is_appended_to_the_table_of_the_others(world: World) -> None:
    world.sync("transaction_lines", divisions=[world.division])
    world.sync("transaction_lines", divisions=[world.other])
    assert merges(world) == set()
    world.assert_equal("transaction_lines")


def test_rows_that_are_there_without_a_cursor_are_merged_with(world: World) -> None:
    world.sync("transaction_lines")
    world.pipeline = world.new_pipeline("elsewhere")
    world.sql("DELETE FROM _dlt_pipeline_state")
    outcome = world.sync("transaction_lines")

    assert outcome.exit_code == 0
    assert merges(world) == {"transaction_lines"}
    world.assert_equal("transaction_lines")


@pytest.mark.parametrize("destination", variants(["duckdb", "postgres"], "duckdb"))
def test_a_load_that_dlt_repeated_is_mended_by_the_next(destination: str, tmp_path: Path) -> None:
    with world_in(destination, tmp_path) as world:
        world.sync("accounts", "journals")
        for name in ("accounts", "journals"):  # as a repeated load of the file would leave it
            world.sql(f"INSERT INTO {name} SELECT * FROM {name} WHERE division = {world.other}")
        outcome = world.sync("accounts", "journals")

        assert outcome.exit_code == 0
        assert {r.rows for r in outcome.results} == {0}  # repaired without reading them again
        world.assert_equal("accounts")
        world.assert_equal("journals")


def test_a_process_that_dies_between_the_commit_and_the_note_of_it_doubles_nothing(
    make_world: MakeWorld,
) -> None:
    world = make_world(clock=SandboxClock(), minute_limit=100_000)
    die_in_the_load(world)
    world.pipeline = world.new_pipeline()
    ((before,),) = world.sql("SELECT count(*) FROM transaction_lines")
    assert before == sum(len(world.keys(LINES, d)) for d in world.box.divisions)

    assert world.sync("accounts", "transaction_lines").exit_code == 0
    world.assert_equal("accounts")
    world.assert_equal("transaction_lines")


def test_a_package_that_dlt_gave_up_is_no_success(make_world: MakeWorld) -> None:
    world = make_world(clock=SandboxClock(), minute_limit=100_000)
    world.pipeline  # noqa: B018 (older than the load that dies, so this process does not see it)
    die_in_the_load(world)
    outcome = world.sync("accounts", "transaction_lines")
    assert outcome.exit_code == 1
    assert "was not loaded" in str(outcome.error)

    world.pipeline = world.new_pipeline()
    assert world.sync("accounts", "transaction_lines").exit_code == 0
    world.assert_equal("accounts")
    world.assert_equal("transaction_lines")


def die_in_the_load(world: World) -> None:
    """Let another process load, up to the commit of the lines."""
    order = {
        "folder": str(world.folder),
        "settings": asdict(world.settings),
        "options": {},
        "entities": ["accounts", "transaction_lines"],
        "die": {"committed": "transaction_lines"},
    }
    killed = subprocess.run(
        [sys.executable, "-m", "tests.support.sync_worker", json.dumps(order)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr


# -- the rule, without a destination ---------------------------------------------------------------


def batch(division: int, *keys: str, deleted: bool = False) -> pa.Table:
    plain = pa.table({"division": pa.array([division] * len(keys), pa.int32()), "id": list(keys)})
    if deleted:
        schema = pa.schema([*plain.schema, rows.SYNCED_AT, rows.DELETED_AT])
        return rows.deletions(schema, plain.to_pydict(), at=0)
    return rows.stamp(plain, 0)


def first_load(*, read: set[int] | None = None, held: set[int] | None = None) -> FirstLoad:
    return FirstLoad(["division", "id"], lambda: read or set(), lambda: held or set())


@pytest.mark.parametrize(
    ("load", "batches"),
    [
        (first_load(), [batch(1, "a", "b", "a")]),
        (first_load(), [batch(1, "a"), batch(1, "b", "a")]),
        (first_load(), [batch(1, "a"), batch(1, "a", deleted=True)]),
        (first_load(read={1}), [batch(1, "a")]),
        (first_load(held={1}), [batch(1, "a")]),
    ],
    ids=["twice", "again", "deletion", "read before", "stored"],
)
def test_what_is_not_new_ends_it_for_good(load: FirstLoad, batches: list[pa.Table]) -> None:
    for table in [*batches, batch(2, "z")]:
        load.take(table)
    assert load.is_over


def test_keys_of_several_companies_do_not_meet() -> None:
    load = first_load(read={3}, held={4})
    for table in (batch(1, "a", "b"), batch(2, "a"), batch(1, "c")):
        load.take(table)
    assert not load.is_over
    assert load.rows == 4


def test_a_table_that_is_missing_keeps_nothing_in_memory(make_world: MakeWorld) -> None:
    world = make_world()
    world.sync("journals")
    with closing(Warehouse(world.pipeline)) as stored:
        assert stored.count("journals")
        gc.disable()
        try:
            held = [ask(stored)(), ask(stored)()]
        finally:
            gc.enable()
    assert held == [None, None]


def ask(stored: Warehouse) -> weakref.ref[set[int]]:
    class Batch(set[int]):
        pass

    batch = Batch()
    assert not stored.count("accounts")
    assert stored.marked("accounts", 1, ["id"]) is None
    return weakref.ref(batch)
