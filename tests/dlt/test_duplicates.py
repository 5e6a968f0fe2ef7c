"""Keys that are in a table more than once are repaired by the next sync, or it does not end with 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest

from exact_source.loading.duplicates import repeated_keys
from tests.support.postgres import fresh_database
from tests.support.tiers import variants
from tests.support.world import World

ACCOUNTS = "crm/Accounts"


@pytest.fixture(params=variants(["duckdb", "postgres"], "duckdb"))
def loaded(request: pytest.FixtureRequest, world: World) -> Iterator[World]:
    """A world that was loaded once."""
    if request.param == "duckdb":
        assert world.sync("accounts", "items").exit_code == 0
        yield world
        return
    with fresh_database() as dsn:
        world.destination = dlt.destinations.postgres(dsn)
        world.pipeline = world.new_pipeline()
        assert world.sync("accounts", "items").exit_code == 0
        yield world


def double(world: World, where: str = "TRUE", change: str = "") -> None:
    """Rows of ``accounts`` a second time; of those the ones that are there now get another name."""
    world.sql("CREATE TABLE exact_online.copies AS SELECT * FROM exact_online.accounts")
    if change:
        world.sql(f"UPDATE exact_online.accounts SET {change} WHERE {where}")
    world.sql(f"INSERT INTO exact_online.accounts SELECT * FROM exact_online.copies WHERE {where}")
    world.sql("DROP TABLE exact_online.copies")


def rows_of(outcome: Any) -> int:
    return sum(result.rows for result in outcome.results)


def test_rows_that_are_there_twice_are_repaired_though_nothing_changed(loaded: World) -> None:
    double(loaded)
    outcome = loaded.sync("accounts", "items")
    assert (outcome.exit_code, rows_of(outcome)) == (0, 0)
    assert [note.split(":")[0] for note in outcome.notes] == ["accounts"]
    loaded.assert_equal("accounts")
    assert loaded.sync("accounts", "items").notes == ()


def test_of_two_different_rows_the_newest_is_kept(loaded: World) -> None:
    double(
        loaded,
        change="name = 'older', \"timestamp\" = 1, _synced_at = _synced_at - INTERVAL '1 day'",
    )
    assert loaded.sync("accounts").exit_code == 0
    loaded.assert_equal("accounts")


def test_damage_from_before_is_found_in_a_new_working_folder(loaded: World) -> None:
    double(loaded, f"division = {loaded.other}")
    loaded.pipeline = loaded.new_pipeline("another")
    assert loaded.sync("accounts", "items").exit_code == 0
    loaded.assert_equal("accounts")


def test_a_load_that_leaves_a_key_twice_is_repaired_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another loader, which knows no lock, copies rows while the sync loads."""
    world.sync("accounts")
    world.box.touch(ACCOUNTS, world.division)
    load = world.pipeline.load
    loads: list[int] = []

    def load_and_double(*args: Any, **more: Any) -> Any:
        info = load(*args, **more)
        loads.append(1)
        if len(loads) == 1:
            double(world, f"division = {world.division}")
        return info

    monkeypatch.setattr(world.pipeline, "load", load_and_double)
    outcome = world.sync("accounts")
    assert outcome.exit_code == 0
    assert len(loads) == 2
    assert len(outcome.notes) == 1
    world.assert_equal("accounts")


def test_damage_that_cannot_be_repaired_is_an_error_with_a_remedy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sync("accounts")
    double(world)
    load = world.pipeline.load

    def load_and_double(*args: Any, **more: Any) -> Any:
        info = load(*args, **more)
        double(world)
        return info

    monkeypatch.setattr(world.pipeline, "load", load_and_double)
    outcome = world.sync("accounts")
    assert outcome.exit_code == 1
    assert "--full-refresh --entities accounts" in str(outcome.error)
    monkeypatch.undo()
    assert world.sync("accounts", full_refresh=["accounts"]).exit_code == 0
    world.assert_equal("accounts")


def test_only_divisions_that_were_loaded_are_checked(world: World) -> None:
    world.sync("accounts")
    double(world, f"division = {world.other}")
    keys = {"accounts": ["division", "id"]}

    def count(divisions: set[int] | None) -> int:
        return repeated_keys(world.pipeline, keys, {"accounts": divisions}).get("accounts", 0)

    assert count({world.division}) == 0
    assert count({world.other}) == count(None) == len(world.keys(ACCOUNTS, world.other))


def test_a_table_that_was_dropped_does_not_stop_the_check(world: World, tmp_path: Path) -> None:
    world.sync("accounts", "items")
    world.sql("DROP TABLE exact_online.items")
    double(world)
    keys = {"accounts": ["division", "id"], "items": ["division", "id"]}
    found = repeated_keys(world.pipeline, keys, dict.fromkeys(keys))
    assert list(found) == ["accounts"]
