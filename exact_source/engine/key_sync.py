"""Finds deletions that no feed shows, by reading all keys and no other columns.

Most entities have no tombstones (API 4.5), and a feed by ``Modified`` shows only changes. A list that fits
on one page is read in full each time, because that takes one call anyway. For longer lists, all keys are
read at intervals.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ..catalogue import Feed
from ..client.call import Call
from ..client.lists import read_pages
from ..odata.page import PageSchema
from ..odata.query import build_filter
from ..options import Options
from .connection import Connection
from .cursors import Cursor
from .deletes import DeletedRows
from .shape import Shape


def reads_whole(cursor: Cursor, deletes: DeletedRows, options: Options) -> bool:
    """Whether reading the whole list takes no more calls than reading its changes."""
    return cursor.pages == 1 and deletes.are_silent and options.start_ms is None


def is_due(
    entity: str, cursor: Cursor, deletes: DeletedRows, options: Options, *, now: float
) -> bool:
    """Whether the keys must be compared now, once the stream is read to its end.

    Args:
        entity: Entity name.
        cursor: Cursor of the stream.
        deletes: Deleted rows of the stream.
        options: Entities for which the user set this, and the default interval.
        now: Seconds since the epoch, UTC.
    """
    if cursor.column is None or options.deletes == "ignore":
        return False
    if cursor.reconciled_at >= cursor.read_at:
        return False  # all rows were just read
    if entity in options.reconcile:
        return True
    every = options.reconcile_s
    return (
        deletes.may_be_unlisted(cursor)
        and every is not None
        and now - cursor.reconciled_at >= every
    )


def calls_for(rows: int, page_size: int) -> int:
    """Number of calls for ``rows`` rows; a full last page is followed by an empty one (API 3.2)."""
    return rows // page_size + 1


def why_postponed(needed: int, left: int | None, most: int) -> str:
    """Reason why the calls cannot be made today, with a remedy if no day allows them; empty if they can.

    All keys are read in one run, because a part of them is useless on another day.

    Args:
        needed: Number of calls.
        left: Calls left today; ``None`` if no limit is known.
        most: Calls allowed per day.
    """
    if needed > most:
        return (
            f"keys can never be compared: that takes {needed:,} calls on one day, and {most:,} are "
            "allowed; now and then run --full-refresh for this entity alone, which goes on over days, "
            "or allow more calls"
        )
    if left is not None and needed > left:
        return f"keys were not compared: that takes {needed:,} calls, and {left:,} are left"
    return ""


def begins_at(feed: Feed, options: Options) -> int | None:
    """The first ``Modified`` whose keys are compared; ``None`` for all.

    No rows older than the start date were loaded, so their keys are not needed.
    """
    return options.start_ms if feed.cursor == "Modified" else None


async def read_keys(
    connection: Connection, call: Call, shape: Shape, since_ms: int | None
) -> Sequence[pa.Table]:
    """The keys of all rows of a division, as pages; see ``begins_at``.

    Raises:
        StreamError: If a page cannot be read.
        LimitError: If the calls run out.
    """
    feed, entity = shape.plan.full, shape.entity
    keys = [f for f in shape.full.columns if f == "Division" or f in entity.key]
    schema = PageSchema(entity, feed, keys)
    text = connection.adaptations.filter_for(feed)
    if feed.cursor == "Timestamp":
        text = build_filter("Timestamp", 1)
    elif since_ms is not None:
        text = build_filter("Modified", since_ms)
    call.aim_at(feed.path)
    pages = await read_pages(connection.client, call, schema, {"$filter": text} if text else None)
    return [page.select(shape.keys) for page in pages]
