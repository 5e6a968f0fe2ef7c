"""Which tombstones of a division are read, and which of them counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.engine import tombstones
from exact_source.engine.call_accounting import Selection
from exact_source.engine.cursors import Cursor
from exact_source.engine.deletes import DeletedKeys, DeletedRows
from exact_source.engine.shape import Shape
from exact_source.engine.tombstones import TombstoneLists, Tombstones, latest
from exact_source.source import make_options

DIVISION, OTHER = 7, 8
AT = datetime.fromisoformat("2026-03-10T12:00:00")


class Connection:
    """Fetches each reply, unless it was fetched before."""

    def __init__(self) -> None:
        self.answers: dict[object, Any] = {}

    async def once(self, key: object, fetch: Callable[[], Awaitable[Any]]) -> Any:
        if key not in self.answers:
            self.answers[key] = await fetch()
        return self.answers[key]

    def forget(self, key: object) -> None:
        self.answers.pop(key, None)


class Divisions:
    """Divisions that have moved once, or of which that is not known."""

    def __init__(self, moved: int | None) -> None:
        self._moved = moved

    def moved(self, _code: int) -> int | None:
        return self._moved


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The starts of all reads."""
    found: list[int | None] = []

    async def read(*arguments: Any, **_: Any) -> Tombstones:
        found.append(arguments[3])
        return Tombstones(pa.table({}), 0, 0.0)

    monkeypatch.setattr(tombstones, "read_tombstones", read)
    return found


def make_lists(moved: int | None) -> TombstoneLists:
    arguments: Any = Selection(), Connection(), Divisions(moved), lambda: 0.0
    lists = TombstoneLists(*arguments, before_call=lambda _call: None)
    lists.recall({(DIVISION, 1): 500, (DIVISION, 5): 900, (OTHER, 5): 800})
    return lists


def read(lists: TombstoneLists, *divisions: int) -> None:
    for division in divisions:
        asyncio.run(lists.of(division))


@pytest.mark.parametrize(("moved", "since"), [(1, 500), (5, 900), (None, 900), (6, None)])
def test_a_read_starts_where_the_database_of_the_division_was_left(
    asked: list[int | None], moved: int | None, since: int | None
) -> None:
    read(make_lists(moved), DIVISION, DIVISION)
    assert asked == [since]


def test_a_division_that_was_never_read_has_not_moved() -> None:
    assert make_lists(None).last_move(9, None) == 0


def test_after_a_move_all_tombstones_of_the_division_are_read_again(
    asked: list[int | None],
) -> None:
    lists = make_lists(5)
    lists.note_version(DIVISION, 1_000)
    lists.note_version(OTHER, 2_000)
    read(lists, DIVISION, OTHER)
    lists.forget_versions(DIVISION)
    read(lists, DIVISION, OTHER)

    assert asked == [900, 800, 0]
    assert lists.highest_version(DIVISION) is None
    assert lists.highest_version(OTHER) == 2_000

    lists.forget_versions(DIVISION)  # nothing is known of it by now
    read(lists, DIVISION)
    assert len(asked) == 3


def test_the_newest_tombstone_of_a_row_counts() -> None:
    table = pa.table(
        {
            "entity_key": ["a", "a", "a", None, "b"],
            "timestamp": pa.array([5, 9, 7, 8, None], pa.int64()),
            "deleted_date": [AT, AT, AT, AT, AT],
        }
    )
    assert {key: one.timestamp for key, one in latest(table).items()} == {"a": 9}


@pytest.mark.parametrize(("all_read_anew", "kept"), [(False, ()), (True, (9_000,))])
def test_a_pass_over_all_rows_notes_earlier_tombstones_as_applied(
    all_read_anew: bool, kept: tuple[int, ...]
) -> None:
    entity = load_catalogue().entities["accounts"]
    destination: Any = None
    rows = DeletedRows(Shape.of(entity, plan_feeds(entity)), DIVISION, destination, make_options())
    table = pa.table({"entity_type": [entity.deleted_code, 0], "timestamp": [9_000, 9_500]})
    found, cursor = Tombstones(table, 10_000, 5.0), Cursor(column="Timestamp")
    after = rows.with_tombstones(cursor, found, DeletedKeys(()), all_read_anew=all_read_anew)
    assert (after.tombstones, after.tombstones_at, after.applied_tombstones) == (10_000, 5.0, kept)
