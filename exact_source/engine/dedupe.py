"""Chooses the rows of a page that are loaded: new rows, and a short list only if it changed.

A merge costs more than a read, so rows that are already stored are recognised and skipped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..options import Options
from . import cursors, rows
from .cursors import Cursor, PageFacts
from .ports import Destination
from .shape import Shape

# Most rows of lists that are held until they are complete, to see whether anything changed: of one list,
# and of the lists of all divisions together.
HOLD_ROWS, HOLD_ROWS_OF_ALL = 20_000, 100_000


# -- rows of one page --------------------------------------------------------------------------


def facts_of(shape: Shape, before: Cursor, table: pa.Table, link: str | None) -> PageFacts:
    """The properties of a page that the cursor needs.

    Args:
        shape: Shape of the rows.
        before: Cursor before the page.
        table: Rows with a complete key.
        link: Path and query of the next page.
    """
    version = shape.version
    if version is None or not table.num_rows:
        return PageFacts(table.num_rows, None, {}, link)
    high = pc.max(rows.versions(table, version)).as_py()
    floor = cursors.interesting_floor(before, high)
    marks = {} if floor is None else rows.fingerprints(table, _marked(shape, table), version, floor)
    return PageFacts(table.num_rows, high, marks, link)


def new_rows(
    shape: Shape, before: Cursor, table: pa.Table, options: Options, deleted: Collection[Any]
) -> pa.Table:
    """The rows to load: one per key, not loaded by an earlier scan, and changed within the window.

    ``deleted``: first key column of rows that tombstones have just deleted; they are loaded even if known.
    """
    if not table.num_rows:
        return table
    version, scan = shape.version, before.scan
    may_know = version is not None and bool(before.overlap_marks)
    may_know = may_know and scan is not None and scan.since is not None
    # The destination itself keeps the row with the highest Timestamp, unless that row is skipped as known.
    if version != "timestamp" or may_know:
        at = version or ("modified" if "modified" in table.column_names else None)
        table = rows.newest_of_each(table, ["division", *shape.keys], at)
    if version is not None and may_know:
        table = rows.drop_known(
            table,
            _marked(shape, table),
            version,
            frozenset(before.overlap_marks).difference(cursors.MANY),
            ceiling=before.ceiling or 0,
            except_for=(shape.keys[0], deleted) if deleted else None,
        )
    if "modified" in table.column_names:
        table = _in_window(table, options)
    return table


def _in_window(table: pa.Table, options: Options) -> pa.Table:
    """The rows that changed between the start and the end date; rows without a date stay."""
    for limit, compare in ((options.start_ms, pc.greater_equal), (options.end_ms, pc.less)):
        if limit is not None:
            at = rows.versions(table, "modified")
            table = table.filter(pc.fill_null(compare(at, limit), True))
    return table


def _marked(shape: Shape, table: pa.Table) -> list[str]:
    """Columns that identify a state of a row: row versions are unique, ``Modified`` is not."""
    return shape.keys if shape.version == "timestamp" else list(table.column_names)


def with_withdrawn(
    shape: Shape,
    divisions: Iterable[int],
    destination: Destination,
    table: pa.Table,
    dropped: Sequence[str],
    *,
    live: Collection[str] | None = None,
) -> pa.Table:
    """Rows with the stored values of columns that Exact has withdrawn; a merge would empty them.

    Args:
        shape: Shape of the rows.
        divisions: Divisions of the rows.
        destination: Where the rows are stored.
        table: The rows.
        dropped: Withdrawn fields that the catalogue still has.
        live: Columns that are still requested, if the table has others, which are empty.
    """
    fields = [f for f in (*dropped, *shape.plan.withdrawn) if f not in shape.guard.fields]
    if not table.num_rows or not fields:
        return table
    name, keys = shape.entity.name, shape.keys or ["division"]
    kept = destination.kept_columns(name, fields, table.column_names if live is None else live)
    if not kept.names:
        return table
    values = pc.unique(table.column(keys[0])).to_pylist()
    held = [found for code in divisions for found in destination.rows(name, code, keys[0], values)]
    empty = [column for column in kept.names if column in table.column_names]
    return rows.with_stored(table.drop_columns(empty), held, keys, kept)


# -- pages of a short list ---------------------------------------------------------------------


class Total:
    """A number of rows or bytes that several objects count together."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def add(self, more: int) -> None:
        """Add to the number, or subtract with a negative value."""
        self.count += more


class HeldPages:
    """Pages of one list, held until it is complete.

    Args:
        of_all: Rows held by all lists together.
    """

    def __init__(self, of_all: Total) -> None:
        self._of_all = of_all
        self._pages: list[pa.Table] = []

    @property
    def count(self) -> int:
        """Number of pages."""
        return len(self._pages)

    def hold(self, page: pa.Table) -> bool:
        """Hold a page; ``False`` if there are too many rows to hold."""
        self._pages.append(page)
        self._of_all.add(page.num_rows)
        mine = sum(table.num_rows for table in self._pages)
        return mine <= HOLD_ROWS and self._of_all.count <= HOLD_ROWS_OF_ALL

    def take(self) -> list[pa.Table]:
        """Return the pages and stop holding them."""
        pages, self._pages = self._pages, []
        self._of_all.add(-sum(page.num_rows for page in pages))
        return pages
