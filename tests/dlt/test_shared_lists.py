"""The list of divisions is loaded only if it differs from its table."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.world import World

LIST = "system/Divisions"
TABLE = "exact_online.divisions"
FIRST = f"(SELECT min(code) FROM {TABLE})"


def stored(world: World, column: str) -> list[tuple[int, Any]]:
    return sorted((row["code"], row[column]) for row in world.table("divisions"))


def rows_of_the_list(world: World, **options: Any) -> int:
    """Sync the list; the number of rows that were loaded."""
    outcome = world.sync("divisions", **options)
    assert outcome.exit_code == 0
    (result,) = outcome.results
    assert (result.status, result.calls) == ("complete", 1)
    return result.rows


def test_an_unchanged_list_is_not_loaded_again(world: World) -> None:
    assert rows_of_the_list(world) == len(world.box.divisions)
    before = stored(world, "_synced_at")

    assert rows_of_the_list(world) == 0

    assert stored(world, "_synced_at") == before
    assert "divisions" not in {job.table_name for job in world.last_jobs()}


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE {TABLE} SET description = 'of another pipeline' WHERE code = {FIRST}",
        f"UPDATE {TABLE} SET _deleted_at = now() WHERE code = {FIRST}",
        f"DELETE FROM {TABLE} WHERE code = {FIRST}",
        f"DROP TABLE {TABLE}",
    ],
)
def test_a_table_that_differs_from_the_list_is_loaded_again(world: World, change: str) -> None:
    rows_of_the_list(world)
    world.sql(change)

    assert rows_of_the_list(world) == len(world.box.divisions)

    names = [(row["Code"], row["Description"]) for row in world.box.rows(LIST, 0)]
    assert stored(world, "description") == sorted(names)
    assert {deleted for _, deleted in stored(world, "_deleted_at")} == {None}


def test_a_changed_list_is_loaded(world: World) -> None:
    rows_of_the_list(world)
    world.box.update(LIST, world.division, world.division, {"Description": "A new name"})

    assert rows_of_the_list(world) == len(world.box.divisions)

    assert (world.division, "A new name") in stored(world, "description")


@pytest.mark.parametrize("option", ["full_refresh", "history"])
def test_a_list_that_must_be_read_whole_is_loaded_again(world: World, option: str) -> None:
    rows_of_the_list(world)
    assert rows_of_the_list(world, **{option: ["divisions"]}) == len(world.box.divisions)


def test_a_company_marked_as_deleted_does_not_count_as_listed(world: World) -> None:
    rows_of_the_list(world, deletes="soft")
    world.box.delete(LIST, world.division, world.other)
    for _ in range(2):
        rows_of_the_list(world, deletes="soft")

    assert rows_of_the_list(world, deletes="soft") == 0
    marked = {code for code, deleted in stored(world, "_deleted_at") if deleted}
    assert marked == {world.other}
