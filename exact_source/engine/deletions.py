"""``sync/Deleted``: read once per division and run, for all entities (API 4.5).

It is read *before* the data. A row that the data still shows is then newer than every tombstone in
hand, so in one load the data wins; a row that was loaded earlier is only removed if its stored
version is not newer than its tombstone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..catalogue import load_catalogue
from ..client.call import Target
from ..client.client import ExactClient
from ..client.withdrawn_columns import Asker, read_list
from ..clock import Clock
from ..errors import RefusedError, StreamError
from ..odata.page import PageSchema
from ..odata.query import build_filter
from .cursors import RECENT_MAX, TIMESTAMP_OVERLAP, Cursor

# Exact keeps tombstones for two months (API 4.5); a day's margin for late runs.
RETENTION_S = 58 * 86_400
# What tells which row of which entity is gone.
FIELDS = ("Timestamp", "DeletedDate", "EntityKey", "EntityType")
# What is read if the list is not loaded: those of unknown entities are kept all the same, by ``ID``.
READ = ("ID", *FIELDS)


@dataclass(frozen=True)
class Tombstones:
    """What one division said of its deleted rows.

    Attributes:
        table: ``sync/Deleted``, all columns or ``READ``.
        top: All tombstones up to this ``Timestamp`` were read.
        read_at: When, in seconds since the epoch, UTC.
        calls: Calls it took.
        error: Why it could not be read; ``None`` if it was.
    """

    table: pa.Table
    top: int
    read_at: float
    calls: int = 0
    error: StreamError | None = field(default=None)

    def of(self, code: int) -> pa.Table:
        """The tombstones of one entity."""
        return self.table.filter(pc.equal(self.table.column("entity_type"), code))

    def of_unknown(self) -> pa.Table:
        """The tombstones of types that belong to no entity of the catalogue."""
        types = self.table.column("entity_type")
        known = {entity.deleted_code for entity in load_catalogue().entities.values()}
        is_known = pc.is_in(types, value_set=pa.array(known - {None}, types.type))
        return self.table.filter(pc.and_(pc.is_valid(types), pc.invert(is_known)))


async def read_tombstones(
    asker: Asker, clock: Clock, target: Target, since: int | None, *, whole: bool
) -> Tombstones:
    """All tombstones of a division that are newer than ``since``; ``whole``: with all columns."""
    entity = load_catalogue().entities["deleted"]
    feed = entity.feeds["sync"]
    schema = PageSchema(entity, feed, None if whole else READ)
    begin = max(1, (since or 1) - TIMESTAMP_OVERLAP)
    query = {"$filter": build_filter("Timestamp", begin)}
    read_at = clock.now()
    try:
        pages = await read_list(asker, target, schema, feed, query, needed=FIELDS)
        if not any(page.num_rows for page in pages):
            await _may_be_empty(asker.client, target)
    except StreamError as error:
        return Tombstones(schema.arrow.empty_table(), since or 0, read_at, target.calls, error)
    # One page is one moment; rows deleted while the pages behind it were read may have been missed,
    # and they are all above its highest version (see ``cursors``).
    top = pc.max(pages[0].column("timestamp")).as_py() or 0
    table = pa.concat_tables(pages, promote_options="default")
    return Tombstones(table, max(top, since or 0), read_at, target.calls)


async def _may_be_empty(client: ExactClient, target: Target) -> None:
    """Without the right to it the list is empty, and no error says so (API 4.5).

    Raises:
        RefusedError: If the user lacks the right.
    """
    try:
        has_rights = await client.has_rights(target.division or 0, target.path)
    except RefusedError:
        return  # the list itself was given, and the question is not Exact's to answer
    if not has_rights:
        raise RefusedError(
            f"{target.where}: the list of deletions is empty because the user lacks the right to "
            f"{target.path}; give it, for a deletion is listed for two months only",
            status=HTTPStatus.OK,
        )


def about_unknown(strange: pa.Table) -> list[str]:
    """What to say of tombstones that belong to no entity."""
    codes = sorted(set(strange.column("entity_type").to_pylist()))
    return [f"tombstones of unknown entity types: {', '.join(map(str, codes))}"] if codes else []


def is_applied(timestamp: int, cursor: Cursor) -> bool:
    """Whether a tombstone was applied by an earlier run.

    It is read again for the overlap, or because another entity is further behind: all are read by one
    call.
    """
    buried = cursor.buried
    if timestamp in buried or timestamp <= (cursor.tombstones or 0) - TIMESTAMP_OVERLAP:
        return True
    return len(buried) == RECENT_MAX and timestamp < min(buried)


def with_applied(cursor: Cursor, found: Tombstones, code: int, *, has_versions: bool) -> Cursor:
    """The cursor once all tombstones of an entity are applied.

    Args:
        cursor: Of the entity.
        found: What was applied.
        code: Of the entity in ``sync/Deleted``.
        has_versions: Whether its rows come with ``Timestamp``, which says by itself what is newer.
    """
    cursor = replace(cursor, tombstones=found.top, tombstones_at=found.read_at)
    if has_versions and not cursor.buried:
        return cursor
    again = found.top - TIMESTAMP_OVERLAP
    seen = set(found.of(code).column("timestamp").to_pylist()).union(cursor.buried) - {None}
    return replace(cursor, buried=tuple(sorted(at for at in seen if at > again)[-RECENT_MAX:]))


class Tombstone(NamedTuple):
    """When a row was deleted: as a row version, and in digits of Exact's wall clock."""

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
