"""``sync/Deleted``: read once per division and run, for all entities (API 4.5).

It is read *before* the data. A row on a data page is therefore newer than every tombstone that was read,
so within a load the row wins. A stored row is deleted only if its version is not newer than its tombstone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..catalogue import load_catalogue
from ..client.call import Call
from ..client.withdrawn_columns import Asker, read_list
from ..clock import latest_digits
from ..errors import StreamError
from ..odata.page import PageSchema
from ..odata.query import build_filter
from . import rows
from .call_accounting import Selection
from .connection import Connection
from .cursors import OVERLAP_MAX, TIMESTAMP_OVERLAP, Cursor
from .divisions import Divisions
from .records import replace

# Exact keeps tombstones for two months (API 4.5); this leaves a margin for late runs.
RETENTION_S = 58 * 86_400
# Dates of deletions up to this much later than that of a move may be from before it: the clock of Exact's
# dates repeats an hour in October, and a date may come without a time.
MOVE_SLACK_MS = 86_400_000
# The fields that name a deleted row.
FIELDS = ("Timestamp", "DeletedDate", "EntityKey", "EntityType")
# Fields that are read if the list is not loaded: tombstones of unknown entities are kept, by ``ID``.
READ = ("ID", *FIELDS)


@dataclass(frozen=True)
class Tombstones:
    """The tombstones of one division.

    Attributes:
        table: ``sync/Deleted``, all columns or ``READ``.
        top: All tombstones up to this ``Timestamp`` were read; 0 if none is listed.
        read_at: Time of the read; seconds since the epoch, UTC.
        calls: Number of calls.
        error: Reason why it could not be read; ``None`` if it was.
    """

    table: pa.Table
    top: int
    read_at: float
    calls: int = 0
    error: StreamError | None = field(default=None)

    def are_below(self, version: int | None) -> bool:
        """Whether there are tombstones and all are below a tombstone that was listed earlier.

        Tombstones expire in the order of their versions (API 4.5), so they are from another database.
        """
        if version is None or not self.table.num_rows:
            return False
        highest = pc.max(self.table.column("timestamp")).as_py()
        return highest is not None and highest < version

    def of(self, code: int) -> pa.Table:
        """The tombstones of one entity."""
        if not self.table.num_rows:
            return self.table
        return self.table.filter(pc.equal(self.table.column("entity_type"), code))

    def of_unknown(self) -> pa.Table:
        """The tombstones of types that belong to no entity of the catalogue."""
        if not self.table.num_rows:
            return self.table
        types = self.table.column("entity_type")
        known = {entity.deleted_code for entity in load_catalogue().entities.values()}
        is_known = pc.is_in(types, value_set=pa.array(known - {None}, types.type))
        return self.table.filter(pc.and_(pc.is_valid(types), pc.invert(is_known)))


class TombstoneLists:
    """``sync/Deleted`` of each division, for all of its streams, and its highest row version.

    Args:
        selection: Whether the list is loaded itself.
        connection: Sends the calls.
        divisions: The divisions, with the dates of their moves.
        now: Seconds since the epoch, UTC.
        before_call: Called before each request; raises to cancel it.
    """

    def __init__(
        self,
        selection: Selection,
        connection: Connection,
        divisions: Divisions,
        now: Callable[[], float],
        *,
        before_call: Callable[[Call], None],
    ) -> None:
        self._since: dict[tuple[int, int], int] = {}
        self._unknown: list[pa.Table] = []
        self._reported_by: dict[int, str] = {}
        self._selection = selection
        self._connection = connection
        self._divisions = divisions
        self._now = now
        self._before_call = before_call
        self._versions: dict[int, int] = {}

    def recall(self, since: Mapping[tuple[int, int], int]) -> None:
        """Set the ``Timestamp`` up to which all entities have applied a division's tombstones.

        Args:
            since: ``(division, DivisionMoveDate)`` -> ``Timestamp``.
        """
        self._since = dict(since)

    async def of(self, division: int, *, whole: bool | None = None) -> Tombstones:
        """The tombstones of a division that at least one entity has not applied.

        ``whole``: with all columns; default: whether the list is loaded.
        """
        whole = self._selection.loads("deleted") if whole is None else whole
        moved = self._divisions.moved(division)
        since = self._since.get((division, self.last_move(division, moved)))

        async def read() -> Tombstones:
            call = Call(
                division,
                "sync/Deleted",
                "deleted",
                rank=(-1.0, 0),
                before_call=self._before_call,
                may_pause=True,
            )
            found = await read_tombstones(self._connection, self._now(), call, since, whole=whole)
            self._selection.note_overhead("deleted", division, found.calls)
            return found

        key = _key(division, whole=whole)
        return await self._connection.once(key, read)  # type: ignore[no-any-return]

    def last_move(self, division: int, moved: int | None) -> int:
        """``DivisionMoveDate``; that of earlier runs if the list of divisions was refused."""
        earlier = (at for code, at in self._since if code == division)
        return max(earlier, default=0) if moved is None else moved

    # -- tombstones of unknown entities ---------------------------------------------------------

    def is_reported_by(self, entity: str, division: int) -> bool:
        """Whether this entity is the one that reports a division's unknown tombstones."""
        return self._reported_by.setdefault(division, entity) == entity

    def keep_unknown(self, table: pa.Table, at: float) -> None:
        """Keep tombstones of unknown entities for the table ``deleted``, if the list itself is not loaded."""
        self._unknown.append(rows.stamp(table, at))

    def take_unknown(self) -> list[pa.Table]:
        """The tombstones that wait for a load; the caller loads them."""
        taken, self._unknown = self._unknown, []
        return taken

    # -- the highest version -------------------------------------------------------------------

    def highest_version(self, division: int) -> int | None:
        """The highest row version of a division that this run has read."""
        return self._versions.get(division)

    def note_version(self, division: int, version: int) -> None:
        """Note a row version of a division; all entities of a division share one series of versions."""
        self._versions[division] = max(version, self._versions.get(division, 0))

    def forget_versions(self, division: int) -> None:
        """Read all tombstones of a division again: it was moved to another database."""
        self._versions.pop(division, None)
        self.read_from_start(division)

    def read_from_start(self, division: int) -> None:
        """Read a division's list from its start, including tombstones that all entities have applied."""
        since = {at: top for at, top in self._since.items() if at[0] == division and top}
        if since:
            self._since.update(dict.fromkeys(since, 0))
            for whole in (True, False):
                self._connection.forget(_key(division, whole=whole))


def _key(division: int, *, whole: bool) -> object:
    return "tombstones", division, whole


async def read_tombstones(
    asker: Asker, read_at: float, call: Call, since: int | None, *, whole: bool
) -> Tombstones:
    """All tombstones of a division that are newer than ``since``; ``whole``: with all columns."""
    schema = _schema(whole=whole)
    feed = schema.entity.feeds["sync"]
    begin = max(1, (since or 1) - TIMESTAMP_OVERLAP)
    query = {"$filter": build_filter("Timestamp", begin)}
    try:
        pages = await read_list(asker, call, schema, feed, query, needed=FIELDS)
    except StreamError as error:
        return Tombstones(schema.no_rows, 0, read_at, call.calls, error)
    if not any(page.num_rows for page in pages):
        if begin > 1:
            # The last tombstone is no longer listed: it has expired, or the division has moved.
            return await read_tombstones(asker, read_at, call, None, whole=whole)
        return Tombstones(schema.no_rows, 0, read_at, call.calls)
    # Rows that were deleted while later pages were read may have been missed. Their tombstones are all
    # above the highest version of the first page (see ``cursors``).
    top = pc.max(pages[0].column("timestamp")).as_py()
    table = pa.concat_tables(pages, promote_options="default")
    return Tombstones(table, top or 0, read_at, call.calls)


@lru_cache(maxsize=2)
def _schema(*, whole: bool) -> PageSchema:
    """The schema of ``sync/Deleted``, which all divisions share."""
    entity = load_catalogue().entities["deleted"]
    return PageSchema(entity, entity.feeds["sync"], None if whole else READ)


def describe_unknown(unknown: pa.Table) -> list[str]:
    """A note about tombstones that belong to no entity."""
    codes = sorted(set(unknown.column("entity_type").to_pylist()))
    return [f"tombstones of unknown entity types: {', '.join(map(str, codes))}"] if codes else []


def starts_of(states: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[tuple[int, int], int]:
    """Where the next read of ``sync/Deleted`` begins: at the lowest position of all streams.

    A list that was empty is read from its start, which takes no more calls: only tombstones below the
    position show a move to another database without a ``DivisionMoveDate``.

    Args:
        states: Division and cursor, as ``Cursor.to_state`` writes it, of each stream.

    Returns:
        ``(division, DivisionMoveDate)`` -> ``Timestamp``; another database has its own versions (API 4.2).
    """
    starts: dict[tuple[int, int], int] = {}
    for code, seen in states:
        if "tombstones" in seen:
            at = code, seen.get("moved") or 0
            top = 0 if seen.get("unlisted_at") else seen["tombstones"]
            starts[at] = min(top, starts.get(at, top))
    return starts


def reads_tombstones(entity: str) -> bool:
    """Whether the position of an entity in ``sync/Deleted`` moves; others keep that of their first pass."""
    return entity == "deleted" or load_catalogue().entities[entity].deleted_code is not None


def is_applied(timestamp: int, cursor: Cursor) -> bool:
    """Whether a tombstone was applied by an earlier run.

    It may be read again because of the overlap, or because another entity is further behind: one call
    reads the tombstones of all entities.
    """
    applied = cursor.applied_tombstones
    if timestamp in applied or timestamp <= (cursor.tombstones or 0) - TIMESTAMP_OVERLAP:
        return True
    return is_forgotten(timestamp, cursor)


def is_forgotten(timestamp: int, cursor: Cursor) -> bool:
    """Whether a tombstone was probably applied, but may have been committed late behind too many others."""
    applied, again = cursor.applied_tombstones, (cursor.tombstones or 0) - TIMESTAMP_OVERLAP
    return len(applied) == OVERLAP_MAX and again < timestamp < min(applied)


def with_applied(cursor: Cursor, found: Tombstones, code: int, *, has_versions: bool) -> Cursor:
    """The cursor once all tombstones of an entity are applied.

    Args:
        cursor: Cursor of the entity.
        found: Applied tombstones.
        code: Code of the entity in ``sync/Deleted``.
        has_versions: Whether its rows have ``Timestamp``, which shows whether a row is newer.
    """
    cursor = replace(
        cursor,
        tombstones=max(found.top, cursor.tombstones or 0),
        tombstones_at=found.read_at,
        unlisted_at=_unlisted_at(cursor, found),
    )
    if has_versions and not cursor.applied_tombstones:
        return cursor
    again = (cursor.tombstones or 0) - TIMESTAMP_OVERLAP
    listed = set(found.of(code).column("timestamp").to_pylist()) - {None}
    seen = listed.union(cursor.applied_tombstones)
    read_again = sorted(at for at in seen if at > again)[-OVERLAP_MAX:]
    return replace(cursor, applied_tombstones=tuple(read_again))


def _unlisted_at(cursor: Cursor, found: Tombstones) -> float:
    """``Cursor.unlisted_at``: an empty list may be a missing right, and tombstones expire (API 4.5)."""
    if not found.table.num_rows:
        return cursor.unlisted_at or found.read_at
    if not cursor.reconciled_at:  # a comparison of keys is due, and has not been completed
        return cursor.unlisted_at
    known_at = max(cursor.unlisted_at, cursor.reconciled_at)
    return cursor.unlisted_at if found.read_at - known_at > RETENTION_S else 0.0


def latest_move(cursor: Cursor) -> int:
    """When the division had certainly moved: digits in milliseconds, up to a day late; 0 if it never did."""
    at = max(cursor.moved or 0, cursor.moved_by)
    return at + MOVE_SLACK_MS if at else 0


def latest_pass(cursor: Cursor) -> int:
    """When the last full pass or comparison of keys began: digits in milliseconds; 0 without one."""
    unfinished = cursor.scan.started_at if cursor.scan and cursor.value is None else 0.0
    at = max(cursor.reconciled_at, unfinished)
    return latest_digits(at) if at else 0


class Tombstone(NamedTuple):
    """The deletion of a row: its row version, and its time on Exact's wall clock."""

    timestamp: int
    deleted_date: datetime


def latest(table: pa.Table) -> Mapping[str, Tombstone]:
    """Key of the deleted row -> its newest tombstone."""
    newest: dict[str, Tombstone] = {}
    columns = (
        table.column(name).to_pylist() for name in ("entity_key", "timestamp", "deleted_date")
    )
    for key, at, date in zip(*columns, strict=True):
        if key is not None and at is not None and (key not in newest or newest[key].timestamp < at):
            newest[key] = Tombstone(at, date or datetime.min)  # noqa: DTZ901 (digits, no zone)
    return newest
