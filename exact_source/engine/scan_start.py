"""Where a scan of a stream begins: the filter of its first page, and what certainly existed by then."""

from __future__ import annotations

from ..catalogue.feeds import starts_by_version
from ..client.call import Call
from . import cursors
from .cursors import Cursor
from .deletes import DeletedRows
from .key_sync import reads_whole
from .output import StreamOutput
from .records import replace
from .run import STEP_S, Run
from .shape import Shape
from .starts import Start


class ScanStart:
    """Begins a scan at the cursor of a stream.

    Args:
        run: What all streams share.
        shape: Shape of the entity's rows.
        call: The stream's calls.
        output: Holds the cursor, and takes the one with which the scan begins.
        deleted: Deleted rows of the stream.
        start: The facts that decide where the stream starts.
    """

    def __init__(
        self,
        run: Run,
        shape: Shape,
        call: Call,
        output: StreamOutput,
        deleted: DeletedRows,
        start: Start,
    ) -> None:
        self._run = run
        self._shape = shape
        self._call = call
        self._output = output
        self._deleted = deleted
        self._start = start

    async def begin(self) -> bool:
        """Hold the cursor with which the scan begins.

        Returns:
            Whether the scan must return the newest stored row.
        """
        run, now = self._run, self._run.now()
        at_stored = self._at_stored_row(self._output.cursor)
        cursor = at_stored or self._output.cursor
        since = cursors.next_since(cursor, run.options.zone_slack_s)
        if reads_whole(cursor, self._deleted, run.options):
            since = None
        never_moved = cursor.moved == 0 and not cursor.moved_by
        is_first = cursor.value is None and cursor.tombstones is None and never_moved
        if is_first and not self._leaves_rows():
            # A first pass does not return rows that were deleted before it. After a move, the versions of
            # older tombstones cannot be compared (API 4.2), so their version is set to 0.
            cursor = replace(cursor, tombstones=0, tombstones_at=now)
        start_ms = run.options.start_ms
        if since is None and start_ms is not None:
            # Feeds by row version are read in full once, and rows before the start date are dropped:
            # versions are not in the order of Modified, so no version marks a date exactly (API 4.3).
            by_modified = self._shape.plan.full.cursor == "Modified"
            since = start_ms if by_modified else await self._start_version(cursor, start_ms)
            cursor = replace(cursor, start_version=self._output.cursor.start_version)
        self._output.result.note_begun()
        begun = cursors.begin(
            cursor,
            now=now,
            since=since,
            known=known_version(run, self._shape, self._start.division.code),
            synced_from=self._later_than_stored(),
        )
        self._output.hold(begun)
        return at_stored is not None

    def _at_stored_row(self, cursor: Cursor) -> Cursor | None:
        """The cursor at the newest stored row, if no row at its own position is known.

        That row must be returned, or the division was moved to another database (API 4.2).
        """
        if self._shape.version != "timestamp" or cursor.value is None or cursor.overlap_marks:
            return None
        name, division = self._shape.entity.name, self._start.division.code
        stored = self._run.destination.highest(name, division, "timestamp")
        return None if stored is None else replace(cursor, value=min(cursor.value, stored))

    def _leaves_rows(self) -> bool:
        """Whether stored rows remain that a full pass would delete if deletions were not ignored."""
        is_ignored = self._run.options.deletes == "ignore"
        return is_ignored and self._has_rows()

    def _has_rows(self) -> bool:
        name, division = self._shape.entity.name, self._start.division.code
        return self._run.destination.has_rows(name, division)

    def _later_than_stored(self) -> float:
        """A time after every stored ``_synced_at``, even if earlier hosts had a fast clock."""
        return max(self._output.next_stamp(), self._start.stored_until + 2 * STEP_S)

    async def _start_version(self, cursor: Cursor, start_ms: int) -> int | None:
        """The ``Timestamp`` at which the first read begins with ``start_by="timestamp"``.

        ``None`` without that option. Also ``None`` if rows are stored already: then all rows are read, and
        stored rows that the pass does not return are deleted.
        """
        options = self._run.options
        may_ask = (
            options.start_by == "timestamp"
            and starts_by_version(self._shape.plan)
            and not cursor.read_at  # otherwise there were no rows, which one call shows
            and not self._has_rows()
        )
        if cursor.start_version is not None or not may_ask:
            return cursor.start_version
        full = self._shape.plan.full
        since, why = await self._run.start_versions.of(self._call, full, start_ms)
        if since is None:
            self._output.result.note(f"{why}: all rows are read")
            return None
        self._output.result.note(f"read from Timestamp {since} on, by SyncTimestamp for start_date")
        await self._output.move(None, replace(cursor, start_version=since))
        return since


def known_version(run: Run, shape: Shape, division: int) -> int | None:
    """A version that certainly exists already; rows that change from now on have a higher one."""
    if shape.version == "timestamp":
        return run.tombstones.highest_version(division)
    if shape.version != "modified":
        return None
    # European wall clocks run ahead of UTC, so the UTC time read as wall-clock time is in the past (API 3.5).
    return int((run.now() - run.options.zone_slack_s) * 1000)
