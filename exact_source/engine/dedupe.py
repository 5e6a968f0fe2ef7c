"""What of a chain's pages is worth loading: rows that are news, and a short list if anything changed.

Merges cost more than reading does, so what is stored already is recognised here and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..loading.warehouse import Stored
from . import cursors, rows
from .cursors import Cursor, PageFacts
from .shape import Shape

# Rows of lists without cursor that are held back to see whether anything changed at all: of one
# list, and of the lists of all divisions together.
HOLD_ROWS, HOLD_ROWS_OF_ALL = 20_000, 100_000


# -- rows of one page --------------------------------------------------------------------------


def facts_of(shape: Shape, before: Cursor, table: pa.Table, link: str | None) -> PageFacts:
    """What a scan must know of a page; ``before``: the cursor without it, ``link``: the next page."""
    version = shape.version
    if version is None or not table.num_rows:
        return PageFacts(table.num_rows, None, {}, link)
    high = pc.max(rows.versions(table, version)).as_py()
    floor = cursors.interesting_floor(before, high)
    marks = {} if floor is None else rows.fingerprints(table, _marked(shape, table), version, floor)
    return PageFacts(table.num_rows, high, marks, link)


def news_of(shape: Shape, before: Cursor, table: pa.Table, start_ms: int | None) -> pa.Table:
    """Rows that an earlier scan has not loaded, and that are not older than the start date."""
    version, scan = shape.version, before.scan
    if version is not None and before.recent and scan is not None and scan.since is not None:
        table = rows.drop_known(
            table,
            _marked(shape, table),
            version,
            frozenset(before.recent).difference(cursors.MANY),
            ceiling=before.ceiling or 0,
        )
    if start_ms is not None and "modified" in table.column_names:
        at = rows.versions(table, "modified")
        table = table.filter(pc.fill_null(pc.greater_equal(at, start_ms), True))
    return table


def _marked(shape: Shape, table: pa.Table) -> list[str]:
    """Columns that make one state of a row: row versions are unique, ``Modified`` is not."""
    return shape.keys if shape.version == "timestamp" else list(table.column_names)


def with_withdrawn(
    shape: Shape, division: int, stored: Stored, table: pa.Table, dropped: Sequence[str]
) -> pa.Table:
    """Rows with what is stored in the columns that Exact no longer has; a merge would empty them.

    ``dropped``: such fields that are not known from the catalogue.
    """
    name, keys = shape.entity.name, shape.keys or ["division"]
    kept = stored.kept_columns(name, [*dropped, *shape.plan.withdrawn], table.column_names)
    if not kept.names or not table.num_rows:
        return table
    values = pc.unique(table.column(keys[0])).to_pylist()
    held = list(stored.rows(name, division, keys[0], values))
    return rows.with_stored(table, held, keys, kept)


# -- pages of a short list ---------------------------------------------------------------------


@dataclass
class Held:
    """How much is held back, rows or bytes, by all who share it."""

    count: int = 0


class HeldPages:
    """Pages of one list, held back until all are there.

    Args:
        of_all: Counts them together with those of other lists.
    """

    def __init__(self, of_all: Held) -> None:
        self._of_all = of_all
        self._pages: list[pa.Table] = []

    def hold(self, page: pa.Table) -> bool:
        """Hold a page back; ``False`` if by now there are too many rows to hold any longer."""
        self._pages.append(page)
        self._of_all.count += page.num_rows
        mine = sum(table.num_rows for table in self._pages)
        return mine <= HOLD_ROWS and self._of_all.count <= HOLD_ROWS_OF_ALL

    def take(self) -> list[pa.Table]:
        """The pages, in the caller's hands from here on; none are held back any more."""
        pages, self._pages = self._pages, []
        self._of_all.count -= sum(page.num_rows for page in pages)
        return pages
