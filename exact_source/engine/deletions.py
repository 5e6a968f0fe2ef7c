"""Applies the deletions of one stream: by tombstones, by marks, and by comparing keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pyarrow as pa
import pyarrow.compute as pc

from ..client.call import Call
from .cursors import Cursor, without_fingerprints
from .deletes import DeletedKeys, DeletedRows
from .key_sync import begins_at, calls_for, is_due, read_keys, why_postponed
from .output import StreamOutput
from .records import replace
from .run import Run
from .shape import Shape
from .starts import Start
from .tombstones import Tombstones, describe_unknown, latest_move, latest_pass


class Deletions:
    """Deletes stored rows of one stream that were deleted at Exact.

    Args:
        run: The run.
        shape: Shape of the rows.
        call: The stream's calls.
        output: Takes the deletions.

    Attributes:
        error: Reason why deletions are unknown; empty if they are known.
        code: Kind of that error.
    """

    def __init__(self, run: Run, shape: Shape, call: Call, output: StreamOutput) -> None:
        self.error = self.code = ""
        self._run = run
        self._shape = shape
        self._name = shape.entity.name
        self._division = call.division or 0
        self._call = call
        self._output = output
        self._rows = DeletedRows(shape, self._division, run.destination, run.options)

    @property
    def rows(self) -> DeletedRows:
        """Finds deleted rows."""
        return self._rows

    async def settle_marks(self) -> None:
        """Delete rows that were marked by soft deletes, once deletes are hard."""
        deletes = self._run.options.deletes
        if deletes == "soft":
            self._output.hold(replace(self._output.cursor, soft=True))
        elif deletes == "hard" and self._output.cursor.soft and self._shape.plan.column is not None:
            await self._delete(self._rows.marked(), replace(self._output.cursor, soft=False))

    async def apply_tombstones(self, start: Start) -> None:
        """Delete rows that are not newer than their tombstone."""
        if not self._rows.by_tombstones:
            return
        found = await self._listed()
        if found is None or self._output.cursor.tombstones_at == found.read_at:
            return  # unknown, or applied in an earlier round
        self._start_over_if_never_applied(start, found)
        # A full pass finds deleted rows by itself, and after a move to another database the versions of
        # older tombstones cannot be compared with those of rows. The tombstones are noted as applied.
        starts_again = self._output.cursor.value is None and self._output.cursor.scan is None
        if not starts_again:
            deleted = self._rows.tombstoned(found, self._output.cursor)
        elif self._run.options.start_ms is not None:  # the pass does not return older rows
            cursor = self._output.cursor
            never_moved = cursor.moved is not None and not latest_move(cursor)
            deleted = self._rows.tombstoned(found, cursor, comparable=never_moved)
        else:
            deleted = DeletedKeys(())
        cursor = self._rows.with_tombstones(
            self._output.cursor, found, deleted, all_read_anew=starts_again
        )
        if starts_again and self._run.destination.has_rows(self._name, self._division):
            cursor = replace(cursor, left_to_pass=True)
        if deleted.keys and cursor.scan is not None and cursor.scan.pages:
            # The scan may already have read a deleted row that was created again; the next scan must load it.
            cursor = without_fingerprints(cursor)
        await self._delete(deleted, cursor)

    async def _listed(self) -> Tombstones | None:
        """The tombstones that this stream has not applied; ``None`` if they could not be read."""
        run = self._run
        if self._output.cursor.tombstones == 0:
            run.tombstones.read_from_start(self._division)
        found = await run.tombstones.of(self._division)
        if found.error is not None:
            self.error = f"deletes are unknown: {found.error}"
            self.code = found.error.code
            self._output.result.expect(permanent=found.error.is_permanent)
            return None
        run.tombstones.note_version(self._division, found.top)
        self._note_unknown(found)
        return found

    def after_pass(self, cursor: Cursor) -> Cursor:
        """The cursor after a full pass, which has deleted missing rows unless deletions are ignored."""
        if not cursor.left_to_pass:
            return cursor
        cursor = replace(cursor, left_to_pass=False)
        is_ignored = self._run.options.deletes == "ignore"
        return replace(cursor, tombstones=None, applied_tombstones=()) if is_ignored else cursor

    def _start_over_if_never_applied(self, start: Start, found: Tombstones) -> None:
        """Start a full pass if a list that was empty at a move, or at the last pass, has older tombstones.

        Such a list may have been hidden (API 4.5). Only a full pass finds rows that were deleted and created
        again before that time, because a move may have changed the versions without leaving a sign.
        """
        cursor = self._output.cursor
        were_hidden = cursor.tombstones == 0 and self._rows.has_any_until(
            found, max(latest_move(cursor), latest_pass(cursor))
        )
        moved = found.are_below(cursor.tombstones)
        was_read = cursor.tombstones is not None and not were_hidden and not moved
        if not was_read and (cursor.value is not None or cursor.scan is not None):
            self._output.result.note(
                "tombstones were not applied since the division moved to another database, or since all rows "
                "were read: read again"
            )
            fresh = start.fresh(cursor)
            moved_by = int(self._run.now() * 1000) if moved else fresh.moved_by
            self._output.hold(replace(fresh, moved_by=moved_by))

    def _note_unknown(self, found: Tombstones) -> None:
        """Keep and report tombstones of unknown entities once, even if the list is not loaded."""
        run, code = self._run, self._division
        if run.selection.loads("deleted"):
            return
        if not run.tombstones.is_reported_by(self._name, code):
            return
        unknown = found.of_unknown()
        if not unknown.num_rows:
            return
        self._output.result.note(*describe_unknown(unknown))
        ids = unknown.column("id")
        # Stored tombstones may have all columns.
        held = self._run.destination.versions(
            "deleted", code, "id", ids.to_pylist(), "timestamp", marked=True
        )
        new = unknown.filter(pc.invert(pc.is_in(ids, value_set=pa.array(held, ids.type))))
        if new.num_rows:
            run.tombstones.keep_unknown(new, run.next_stamp())

    async def compare_keys(self, judge: Callable[[], Awaitable[bool]]) -> None:
        """Compare all keys if no feed shows deletions and the comparison is due.

        Args:
            judge: Called if no key was returned; returns whether the empty reply is accepted.
        """
        run, options, code = self._run, self._run.options, self._division
        now = run.now()
        if not is_due(self._name, self._output.cursor, self._rows, options, now=now):
            return
        held, feed = self._run.destination.count(self._name, code), self._shape.plan.full
        if not held:
            return
        since_ms = begins_at(feed, options)
        size = run.connection.adaptations.page_size(feed)
        of_held = calls_for(held, size) if since_ms is None else 1  # some may be older
        needed = max(self._output.cursor.pages, of_held)
        limits, host_now = run.limits, run.clock.now()
        if why := why_postponed(needed, limits.calls_left(code, host_now), limits.most_a_day(code)):
            self._output.result.note(why)
            return
        # All keys must be read in this round; a part of them is useless in the next.
        self._call.forbid_pause()
        self._call.ask_before(self._report_and_raise_if_stopped)
        seen = await read_keys(run.connection, self._call, self._shape, since_ms)
        if not any(page.num_rows for page in seen) and not await judge():
            await self._output.move(None, self._output.cursor)
            return
        missing = self._rows.missing(seen, before=None, since_ms=since_ms)
        await self._delete(
            missing,
            replace(self._output.cursor, pages=len(seen), reconciled_at=now, empty_at=0.0),
        )

    def _report_and_raise_if_stopped(self, call: Call) -> None:
        """Report each call: reading keys loads no rows, so nothing else reports progress."""
        self._output.report()
        self._run.rounds.raise_if_stopped(call)

    async def _delete(self, keys: DeletedKeys, cursor: Cursor | None) -> None:
        await self._output.delete(keys, self._rows, cursor)
