"""Rows that are gone although nobody said so: found by reading all keys, and nothing but keys.

Most entities have no tombstones (API 4.5), and those that are read by ``Modified`` show only what
changed. A list of one page is simply read whole each time, which costs the same one call; of longer
ones all keys are read now and then.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from .client import ExactClient, Target
from .cursors import Cursor
from .feeds import harmless_filter
from .listing import read_pages
from .odata import build_filter
from .pages import PageSchema
from .removals import Removals
from .run import Options
from .shape import Shape


def reads_whole(cursor: Cursor, removals: Removals, options: Options) -> bool:
    """Whether a list is so short that reading it whole takes no more calls than asking for changes."""
    return cursor.pages == 1 and removals.are_silent and options.start_ms is None


def is_due(
    entity: str, cursor: Cursor, removals: Removals, options: Options, *, now: float
) -> bool:
    """Whether the keys of a stream that was read to its end are to be compared now.

    Args:
        entity: Name.
        cursor: Of the stream.
        removals: Of the stream.
        options: Who asks for it, and how often it is done without asking.
        now: Seconds since the epoch, UTC.
    """
    if cursor.column is None or options.deletes == "ignore":
        return False
    if cursor.reconciled_at >= cursor.read_at:
        return False  # what was just read was everything
    if entity in options.reconcile:
        return True
    every = options.reconcile_s
    return removals.are_silent and every is not None and now - cursor.reconciled_at >= every


async def read_keys(client: ExactClient, target: Target, shape: Shape) -> Sequence[pa.Table]:
    """The keys of all rows of a division, as pages.

    Raises:
        StreamError: If a page cannot be had.
        LimitError: If the calls do not suffice.
    """
    feed, entity = shape.plan.full, shape.entity
    keys = [f for f in shape.full.columns if f == "Division" or f in entity.key]
    schema = PageSchema(entity, feed, keys)
    text = build_filter("Timestamp", 1) if feed.cursor == "Timestamp" else harmless_filter(feed)
    target.path = feed.path
    pages = await read_pages(client, target, schema, {"$filter": text} if text else None)
    return [page.select(shape.keys) for page in pages]
