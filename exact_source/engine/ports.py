"""The ports of the engine: a destination to query, and a function that receives rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from .cursors import Cursor

WINDOW = ", window "  # part of the feed text of a stream that was read between two dates
# Receives rows of one stream and the cursor that covers them. Both are committed together; either may be
# None.
Emit = Callable[[pa.Table | None, Cursor | None], Awaitable[None]]


class Destination(Protocol):
    """Queries on the tables of earlier loads.

    Deletions need them: a tombstone deletes a stored row only if the row is not newer, and a full pass
    deletes the stored rows that it did not return.

    Attributes:
        failures: Exceptions of the reads. They concern every stream and end the run.
    """

    failures: tuple[type[Exception], ...]

    def has_rows(self, table: str, division: int) -> bool:
        """Whether a division has rows."""
        ...

    def has_column(self, table: str, column: str) -> bool:
        """Whether an earlier load created a column."""
        ...

    def count(self, table: str, division: int | None = None) -> int:
        """Number of rows, deleted ones included; 0 if the table does not exist."""
        ...

    def counts(self, table: str) -> Mapping[int, int] | None:
        """Division -> number of rows, including deleted ones; ``None`` if unknown."""
        ...

    def window_rows(self, table: str, division: int, since: float) -> int:
        """Upper bound of the rows that windows have loaded since a time (seconds since the epoch)."""
        ...

    def last_synced(self, table: str, division: int) -> datetime | None:
        """The highest ``_synced_at`` of a division; ``None`` without rows."""
        ...

    def first_synced(self, table: str, division: int) -> datetime | None:
        """The lowest ``_synced_at`` of a division; ``None`` without rows."""
        ...

    def highest(self, table: str, division: int, column: str) -> int | None:
        """The highest value of a column in rows that are not deleted; ``None`` without values."""
        ...

    def divisions(self, table: str, *, marked: bool) -> set[int]:
        """Divisions that have rows; ``marked``: whether rows marked as deleted count."""
        ...

    def versions(
        self,
        table: str,
        division: int,
        key: str,
        values: Sequence[str],
        version: str,
        *,
        marked: bool,
    ) -> dict[str, Any]:
        """Key -> value of the column ``version``, for the rows whose ``key`` is among ``values``."""
        ...

    def synced_before(
        self,
        table: str,
        division: int,
        keys: Sequence[str],
        before: datetime | None,
        *,
        marked: bool,
    ) -> pa.Table | None:
        """The columns ``keys`` of the rows last synced before a given time, or of all rows.

        ``None`` if the table does not exist.
        """
        ...

    def marked(self, table: str, division: int, keys: Sequence[str]) -> pa.Table | None:
        """The columns ``keys`` of the rows marked as deleted; ``None`` without a table."""
        ...

    def distinct(self, table: str, division: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """The distinct values of some columns, in rows that are not deleted."""
        ...

    def rows(
        self, table: str, division: int, key: str, values: Sequence[str | int]
    ) -> Iterator[pa.Table]:
        """Whole rows of a division by their keys, in chunks."""
        ...

    def all_rows(self, table: str) -> pa.Table | None:
        """Whole rows of all divisions, deleted ones included; ``None`` if the table does not exist."""
        ...

    def kept_columns(self, table: str, fields: Iterable[str], live: Collection[str]) -> pa.Schema:
        """Loaded columns of withdrawn ``fields``, except those among ``live``, in their loaded types."""
        ...
