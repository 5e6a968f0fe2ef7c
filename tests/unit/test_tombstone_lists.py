"""Which tombstones of a division are read, and which of them counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.client.call import Call
from exact_source.engine import tombstones
from exact_source.engine.call_accounting import Selection
from exact_source.engine.cursors import OVERLAP_MAX, Cursor
from exact_source.engine.deletes import DeletedKeys, DeletedRows
from exact_source.engine.records import replace
from exact_source.engine.shape import Shape
from exact_source.engine.tombstones import TombstoneLists, Tombstones, latest, with_applied
from exact_source.options import Options
from exact_source.source import make_options

DIVISION, OTHER = 7, 8
AT = datetime.fromisoformat("2026-03-10T12:00:00")
DAY_S = 86_400.0


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


def test_an_empty_list_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 0 is how a cursor says that no tombstone was ever applied."""

    async def read_nothing(*_: Any, **__: Any) -> list[pa.Table]:
        return []

    monkeypatch.setattr(tombstones, "read_list", read_nothing)
    asker: Any = None
    call = Call(DIVISION, "sync/Deleted", "deleted")
    found = asyncio.run(tombstones.read_tombstones(asker, 5.0, call, None, whole=False))

    assert (found.top, found.error, found.table.num_rows) == (0, None, 0)


def test_the_newest_tombstone_of_a_row_counts() -> None:
    table = pa.table(
        {
            "entity_key": ["a", "a", "a", None, "b"],
            "timestamp": pa.array([5, 9, 7, 8, None], pa.int64()),
            "deleted_date": [AT, AT, AT, AT, AT],
        }
    )
    assert {key: one.timestamp for key, one in latest(table).items()} == {"a": 9}


def code_of(name: str) -> int:
    code = load_catalogue().entities[name].deleted_code
    assert code is not None
    return code


def rows_of(name: str, destination: Any = None, options: Options | None = None) -> DeletedRows:
    entity = load_catalogue().entities[name]
    shape = Shape.of(entity, plan_feeds(entity))
    return DeletedRows(shape, DIVISION, destination, options or make_options())


def test_a_pass_over_all_rows_notes_earlier_tombstones_as_applied() -> None:
    table = pa.table({"entity_type": [code_of("accounts"), 0], "timestamp": [9_000, 9_500]})
    found, cursor = Tombstones(table, 10_000, 5.0), Cursor(column="Timestamp")
    for all_read_anew, kept in ((True, (9_000,)), (False, ())):
        after = rows_of("accounts").with_tombstones(
            cursor, found, DeletedKeys(()), all_read_anew=all_read_anew
        )
        assert (after.tombstones, after.tombstones_at) == (10_000, 5.0)
        assert after.applied_tombstones == kept


class Stored:
    """Stored rows without row versions, by key: when each was changed; all were read at one time."""

    def __init__(
        self, modified: Mapping[str, datetime], read_at: datetime = AT - timedelta(days=1)
    ) -> None:
        self._modified = modified
        self._read_at = read_at

    def has_column(self, _table: str, column: str) -> bool:
        return column == "modified"

    def versions(
        self,
        _table: str,
        _division: int,
        _key: str,
        keys: Sequence[str],
        version: str,
        **_: Any,
    ) -> dict[str, datetime]:
        return {
            key: self._modified[key] if version == "modified" else self._read_at for key in keys
        }


def judge(deleted_at: str, modified: str, *read_at: datetime, **options: Any) -> str:
    """What becomes of a row with these times of its deletion and its last change."""
    stored = Stored({"a": datetime.fromisoformat(modified)}, *read_at)
    table = pa.table(
        {
            "entity_type": [code_of("transaction_lines")],
            "entity_key": ["a"],
            "timestamp": pa.array([9_000], pa.int64()),
            "deleted_date": [datetime.fromisoformat(deleted_at)],
        }
    )
    found = rows_of("transaction_lines", stored, make_options(**options)).tombstoned(
        Tombstones(table, 9_000, 5.0), Cursor(column="Modified")
    )
    assert not (found.keys and found.is_uncertain)
    return "goes" if found.keys else "is compared" if found.is_uncertain else "stays"


def test_a_row_that_is_newer_by_an_hour_is_compared_where_a_clock_may_repeat_it() -> None:
    """A comparison of all keys takes calls, so other times are no reason for one."""
    assert {
        "the hour in Europe": judge("2026-10-25T02:10", "2026-10-25T02:50"),
        "the hour in America": judge("2026-11-01T01:10", "2026-11-01T01:50"),
        "an older row": judge("2026-10-25T02:50", "2026-10-25T02:10"),
        "a row newer by more": judge("2026-10-25T02:10", "2026-10-25T03:50"),
        "another hour": judge("2026-10-25T04:10", "2026-10-25T04:50"),
        "another day": judge("2026-10-26T02:10", "2026-10-26T02:50"),
        "a Sunday in June": judge("2026-06-07T02:10", "2026-06-07T02:50"),
        "a Sunday in December": judge("2026-12-06T02:10", "2026-12-06T02:50"),
    } == {
        "the hour in Europe": "is compared",
        "the hour in America": "is compared",
        "an older row": "goes",
        "a row newer by more": "stays",
        "another hour": "stays",
        "another day": "stays",
        "a Sunday in June": "stays",
        "a Sunday in December": "stays",
    }


def test_an_older_row_that_was_read_after_its_deletion_is_compared() -> None:
    """Only Exact's dates count if keys are never compared, or if its clock may be hours behind."""
    times = ("2026-03-10T12:00", "2026-03-10T11:59")
    before, after = (datetime(2026, 3, 10, hour, 30, tzinfo=UTC) for hour in (10, 11))

    assert judge(*times, before) == "goes"
    assert judge(*times, after) == "is compared"
    assert judge(*times, after, reconcile_days=None) == "goes"
    assert judge(*times, after, zone_slack_s=3600) == "goes"
    assert (
        judge(*times, after, reconcile_days=None, reconcile=["transaction_lines"]) == "is compared"
    )


def test_a_tombstone_that_may_have_been_applied_is_not_applied_again() -> None:
    """Its row may have been created again since; a cursor remembers only so many as applied."""
    versions = {"forgotten": 15_500, "far below": 15_000, "remembered": 16_000, "new": 19_000}
    table = pa.table(
        {
            "entity_type": [code_of("transaction_lines")] * len(versions),
            "entity_key": list(versions),
            "timestamp": pa.array(list(versions.values()), pa.int64()),
            "deleted_date": [AT] * len(versions),
        }
    )
    applied = tuple(range(16_000, 16_000 + OVERLAP_MAX))
    cursor = Cursor(column="Modified", tombstones=20_000, applied_tombstones=applied)
    rows = rows_of("transaction_lines", Stored(dict.fromkeys(versions, AT)))
    found = rows.tombstoned(Tombstones(table, 20_000, 5.0), cursor)

    assert (found.keys, found.versions) == ([("new",)], [19_000])
    assert found.is_uncertain


def test_keys_are_compared_as_long_as_a_deletion_may_have_been_missed() -> None:
    """The list was empty on the fifth day; on the hundredth it has the deletions of two months."""
    code = code_of("accounts")
    table = pa.table({"entity_type": [code], "timestamp": [9_000]})
    found = Tombstones(table, 9_000, 100 * DAY_S)

    def unlisted_day(compared: int, unlisted: int = 5) -> float:
        cursor = Cursor(
            column="Timestamp", unlisted_at=unlisted * DAY_S, reconciled_at=compared * DAY_S
        )
        return with_applied(cursor, found, code, has_versions=True).unlisted_at / DAY_S

    assert unlisted_day(compared=0) == 5  # not yet
    assert unlisted_day(compared=10) == 5  # too long ago
    assert unlisted_day(compared=90) == 0
    assert unlisted_day(compared=10, unlisted=90) == 0
    empty = replace(found, table=table.slice(0, 0))
    cursor = Cursor(column="Timestamp", reconciled_at=90 * DAY_S)
    assert with_applied(cursor, empty, code, has_versions=True).unlisted_at == 100 * DAY_S
