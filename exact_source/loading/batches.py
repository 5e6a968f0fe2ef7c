"""Joins the output of streams to Arrow batches; each cursor is stored with the rows that it covers."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ..engine.cursors import Cursor
from ..engine.dedupe import Total
from .state import DivisionStates

# A batch becomes a row group of a parquet file. Each has a fixed cost in dlt, the file and the database, so
# large batches cost less per row. If many entities have many rows at once, each uses smaller batches.
BATCH_ROWS, BATCH_TABLES = 60_000, 400
CROWDED_ROWS, ROWS_OF_ALL = 20_000, 120_000
SMALL_ROWS = 500  # smaller chunks are joined: parquet is written chunk by chunk for each column


@dataclass(frozen=True)
class Item:
    """Rows of one division and the cursor that covers them; or rows without a cursor."""

    division: int
    table: pa.Table | None
    cursor: Cursor | None


class Batch:
    """Items of one entity that wait to be emitted.

    Args:
        states: Stores their cursors.
        of_all: Total of waiting rows of all entities.
    """

    def __init__(self, states: DivisionStates, of_all: Total) -> None:
        self._states = states
        self._of_all = of_all
        self._items: list[Item] = []
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, item: Item) -> bool:
        """Add an item; returns ``True`` once there are enough rows for a batch."""
        if item.table is None and not self._tables:  # most streams have no row
            self._store(item)
            return False
        self._items.append(item)
        if item.table is not None:
            self._tables.append(item.table)
            self._count(item.table.num_rows)
        is_crowded = self._rows >= CROWDED_ROWS and self._of_all.count >= ROWS_OF_ALL
        return is_crowded or self._rows >= BATCH_ROWS or len(self._tables) >= BATCH_TABLES

    def take(self) -> pa.Table | None:
        """Return the rows, if there are any, and store their cursors."""
        for item in self._items:
            self._store(item)
        self._states.write()
        tables, self._items, self._tables = self._tables, [], []
        self._count(-self._rows)
        return _joined(tables) if tables else None

    def drop(self) -> None:
        """Drop the items; a later run reads them again."""
        self._items, self._tables = [], []
        self._count(-self._rows)

    def _store(self, item: Item) -> None:
        if item.cursor is not None:
            self._states.store(item.division, item.cursor)

    def _count(self, more: int) -> None:
        self._rows += more
        self._of_all.add(more)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """One table that keeps its chunks, unless they are small: copying large ones costs more."""
    table = pa.concat_tables(tables, promote_options="default")
    is_small = table.num_rows < SMALL_ROWS * len(tables)
    return table.combine_chunks() if is_small else table
