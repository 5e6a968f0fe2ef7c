"""Decides whether a load is appended because all of its rows are new; a merge costs three times as much.

A merge writes every row twice, to a staging table and from there to the table itself. The first load of a
table or a company has nothing to merge with, provided no row appears twice. The keys of such a load are
therefore kept as hashes over all rounds of a process, and a package is appended only if all its rows are new.

dlt repeats the load of a file if the process was killed between the destination's commit and dlt's own record
of it. After a merge that is harmless, after an append it is not. An appended package is therefore noted in
the state, and the next extraction finds rows that are stored twice and merges them with themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ..engine import rows
from .warehouse import Warehouse

# Largest number of hashes, 8 bytes each; after this many rows a load continues with merges.
KEYS_MAX = 20_000_000


class FirstLoad:
    """Tracks whether all rows of one entity that a process has read are new to its table.

    Args:
        keys: Key columns, ``division`` among them.
        read_before: Returns the divisions that were read before; called at most once, for the first rows.
        stored: Returns the divisions that have rows in the table; called at most once, and only if
            there are rows of a division that was not read before.
    """

    def __init__(
        self,
        keys: Sequence[str],
        read_before: Callable[[], Container[int]],
        stored: Callable[[], set[int]],
    ) -> None:
        self.rows = 0
        self.is_over = False
        self._keys = list(keys)
        self._read_before = read_before
        self._stored = stored
        self._before: Container[int] | None = None
        self._held: set[int] | None = None
        self._seen: duckdb.DuckDBPyConnection | None = None

    def take(self, batch: pa.Table) -> None:
        """Check a batch that will be loaded; the first row that is not new ends the appends."""
        if not self.is_over and not self._is_new(batch):
            self.end()

    def end(self) -> None:
        """Merge from now on."""
        self.is_over = True
        if self._seen is not None:
            self._seen.close()
            self._seen = None

    def _is_new(self, batch: pa.Table) -> bool:
        deleted = batch.column(rows.DELETED_AT.name)
        if deleted.null_count < len(deleted) or self.rows + len(deleted) > KEYS_MAX:
            return False
        divisions = pc.unique(batch.column("division")).to_pylist()
        if self._before is None:
            self._before = self._read_before()
        if any(code in self._before for code in divisions):
            return False
        if self._held is None:
            self._held = self._stored()
        if not self._held.isdisjoint(divisions):
            return False
        return self._remember(batch)

    def _remember(self, batch: pa.Table) -> bool:
        """Keep the keys; returns whether all are new. Equal hashes of two keys only cause a merge."""
        if self._seen is None:
            self._seen = duckdb.connect(":memory:", config={"threads": 1})
            self._seen.execute("CREATE TABLE seen (key UBIGINT)")
        self._seen.register("batch", batch.select(self._keys))
        named = ", ".join(f'"{key}"' for key in self._keys)
        self._seen.execute(f"CREATE OR REPLACE TABLE met AS SELECT hash({named}) AS key FROM batch")
        self._seen.unregister("batch")
        counted = self._seen.execute(
            "SELECT count(DISTINCT key), (SELECT count(*) FROM seen SEMI JOIN met USING (key)) FROM met"
        ).fetchall()
        self._seen.execute("INSERT INTO seen SELECT key FROM met")
        self.rows += batch.num_rows
        return counted == [(batch.num_rows, 0)]


def repeated_rows(stored: Warehouse, table: str, keys: Sequence[str]) -> Iterator[pa.Table]:
    """Rows that the destination has more than once, to be merged again; a row may be yielded repeatedly.

    Args:
        stored: The destination.
        table: Name of the table.
        keys: Key columns, ``division`` first.
    """
    found = stored.repeated(table, keys)
    if found is None or not found.num_rows:
        return
    first = keys[1] if len(keys) > 1 else keys[0]
    for division in pc.unique(found.column("division")).to_pylist():
        mine = found.filter(pc.equal(found.column("division"), division))
        values = pc.unique(mine.column(first)).to_pylist()
        yield from stored.rows(table, division, first, values)
