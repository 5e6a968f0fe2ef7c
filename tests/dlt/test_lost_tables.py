"""A table that was dropped, truncated or restored from a backup is noticed and read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dlt
import pytest

from tests.support.tiers import variants
from tests.support.world import World, feed_path

TABLE = "exact_online.accounts"


@pytest.fixture(params=variants(["duckdb", "postgres"], "duckdb"))
def loaded(request: pytest.FixtureRequest, world: World) -> World:
    """Two syncs, because the first load of a table is not merged."""
    if request.param == "postgres":
        world.destination = dlt.destinations.postgres(request.getfixturevalue("postgres"))
        world.pipeline = world.new_pipeline()
    for _ in range(2):
        assert world.sync("accounts", "journals").exit_code == 0
    return world


def drop(world: World) -> None:
    world.sql(f"DROP TABLE {TABLE}")


def truncate(world: World) -> None:
    world.sql(f"DELETE FROM {TABLE}")


def restore(world: World) -> None:
    """The backup is from before two rows."""
    path = feed_path("accounts")
    with restored(world):
        for name in ("one", "two"):
            world.box.insert(path, world.division, {"Name": name, "Code": name})


def restore_as_many(world: World) -> None:
    """The backup is from before a change of one row."""
    path = feed_path("accounts")
    with restored(world):
        world.box.update(path, world.division, world.keys(path)[0], {"Name": "later"})


@contextmanager
def restored(world: World) -> Iterator[None]:
    """Load the changes of the block, and restore the table from before."""
    world.sql(f"CREATE TABLE exact_online.backup AS SELECT * FROM {TABLE}")
    yield
    assert world.sync("accounts", "journals").exit_code == 0
    world.sql(f"DELETE FROM {TABLE}")
    world.sql(f"INSERT INTO {TABLE} SELECT * FROM exact_online.backup")
    world.sql("DROP TABLE exact_online.backup")


@pytest.mark.nightly
def test_a_table_that_was_dropped_after_a_merge_is_created_again(loaded: World) -> None:
    """The schema is that of the last merge, and dlt creates tables only if the schema has changed."""
    key = loaded.keys(feed_path("accounts"))[0]
    loaded.box.update(feed_path("accounts"), loaded.division, key, {"Name": "later"})
    assert loaded.sync("accounts", "journals").exit_code == 0
    drop(loaded)

    assert loaded.sync("accounts", "journals").exit_code == 0

    loaded.assert_equal("accounts")
    loaded.assert_equal("journals")
    assert {r.rows for r in loaded.sync("accounts", "journals").results} == {0}


@pytest.mark.parametrize(
    "lose",
    [
        drop,
        restore_as_many,
        *(pytest.param(f, marks=pytest.mark.nightly) for f in (truncate, restore)),
    ],
)
def test_a_table_that_lost_rows_is_read_again(loaded: World, lose: Callable[[World], None]) -> None:
    lose(loaded)
    outcome = loaded.sync("accounts", "journals")

    assert outcome.exit_code == 0
    assert {r.rows for r in outcome.results if r.entity == "journals"} == {0}
    assert any(r.notes for r in outcome.results if r.entity == "accounts")
    loaded.assert_equal("accounts")
    assert {r.rows for r in loaded.sync("accounts", "journals").results} == {0}
