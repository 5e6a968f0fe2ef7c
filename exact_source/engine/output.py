"""The output of one stream: rows, and the cursor that covers them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ..client.call import Call
from . import rows
from .cursors import Cursor
from .deletes import DeletedKeys, DeletedRows
from .ports import Emit
from .records import replace
from .result import StreamResult
from .run import STEP_S, Run


class StreamOutput:
    """Emits rows and cursors of one stream to the destination.

    Args:
        run: Objects that all streams share.
        call: The stream's calls.
        result: The stream's result, which is reported after each step.
        cursor: Cursor of the last completed load.
        emit: Receives rows and the cursor that covers them.

    Attributes:
        cursor: How far the stream has been read.
        result: The stream's result.
        deleted: Number of rows deleted in this round.
        deleted_keys: First key column of these rows.
    """

    def __init__(
        self, run: Run, call: Call, result: StreamResult, cursor: Cursor, emit: Emit
    ) -> None:
        self.cursor = cursor
        self.result = result
        self.deleted = 0
        self.deleted_keys: set[Any] = set()
        self._run = run
        self._call = call
        self._emit = emit
        self._fewest, self._most = cursor.stored_min, cursor.stored_max
        self._until = cursor.stored_until
        self._known_before: tuple[str, ...] = ()  # ``overlap_marks`` when tombstones deleted rows
        self._has_loaded = False
        self._last_stamp = 0.0

    def hold(self, cursor: Cursor) -> None:
        """Continue from this cursor; it is emitted with the next rows or by ``move``."""
        self.cursor = cursor

    def next_stamp(self, at: float | None = None) -> float:
        """A time for ``_synced_at``: ``at`` or now, and later than every earlier stamp of the stream.

        dlt keeps the row with the latest stamp, so the order must hold even if clocks are set back.
        """
        self._last_stamp = max(at or self._run.now(), self._last_stamp + STEP_S)
        return self._last_stamp

    def count_from(self, rows: int | None) -> None:
        """Set the number of stored rows to count from; ``None``: the count of the last load."""
        self._until = self.cursor.stored_until
        if rows is None:
            self._fewest, self._most = self.cursor.stored_min, self.cursor.stored_max
        else:
            self._fewest = self._most = rows

    async def move(self, table: pa.Table | None, cursor: Cursor | None, deleted: int = 0) -> None:
        """Emit rows and a cursor.

        Args:
            table: Rows, and deletions of rows.
            cursor: Cursor that covers them; ``None`` for the current one.
            deleted: Number of rows in ``table`` that are deletions.
        """
        if table is None and cursor is None:
            self.report()
            return
        if table is not None:
            self._count(table.num_rows - deleted, deleted)
            if table.num_rows > deleted:
                self._until = max(self._until, rows.last_stamp(table))
                self._has_loaded = True
        self.cursor = cursor = replace(
            cursor or self.cursor,
            stored_min=self._fewest,
            stored_max=self._most,
            stored_until=self._until,
        )
        self.result.note_emitted()
        await self._emit(table, self._to_store(cursor))
        self.report()

    async def delete(self, keys: DeletedKeys, found: DeletedRows, cursor: Cursor | None) -> None:
        """Emit deletions and the cursor that covers them."""
        if not keys.keys:
            await self.move(None, cursor)
            return
        self.deleted += len(keys.keys)
        if not self._has_loaded:  # the newest row may be among them
            self._until = 0.0
        self.deleted_keys.update(key[0] for key in keys.keys if key)
        if keys.versions:
            self._known_before = self.cursor.overlap_marks
        self.result.count(deleted=len(keys.keys))
        for table in found.tables(keys, at=self.next_stamp()):
            await self.move(table, None, deleted=table.num_rows)
        await self.move(None, cursor)

    def _to_store(self, cursor: Cursor) -> Cursor:
        """The cursor without the fingerprints that it had before a deletion.

        A deleted row may have been created again. This stream loads it because of ``deleted_keys``; the
        stream that continues the scan in another round does not have them.
        """
        is_stale = bool(cursor.overlap_marks) and cursor.overlap_marks is self._known_before
        return replace(cursor, overlap_marks=()) if is_stale else cursor

    def report(self) -> None:
        """Report a step."""
        self.result.note_calls(self._call.calls)
        self._run.log.step(self.result)

    def _count(self, added: int, deleted: int) -> None:
        if self._fewest is None or self._most is None:
            return
        # Added rows may replace stored ones, so only one row is certain if there were none.
        self._fewest = max(self._fewest, min(added, 1))
        self._most += added
        if self._run.options.deletes == "hard":
            self._fewest = max(0, self._fewest - deleted)
