"""One entity of one division: its start, its deletions, and its result."""

from __future__ import annotations

from contextlib import aclosing
from http import HTTPStatus

import pyarrow as pa

from ..client.call import Call
from ..errors import BLOCKED, EMPTY, KEYLESS, UNAVAILABLE, ContractError, RefusedError
from . import cursors, rows
from .cursors import Cursor
from .dedupe import with_withdrawn
from .deletions import Deletions
from .divisions import Division
from .empty_lists import judge_empty
from .full_pass import FullPass, full_pass_of, is_unchanged, is_watermark, with_digest
from .functions import FunctionShape, FunctionUrls, Parents, was_refused_as_empty
from .output import StreamOutput
from .ports import WINDOW, Emit
from .records import replace
from .result import NEXT_ROUND, StreamResult, recording
from .run import Run
from .scan_start import ScanStart, known_version
from .scanner import FeedUrls, ScannedPage, Scanner, Urls, notes_on
from .shape import Shape
from .starts import Start, recent_refusals


class Stream:
    """Reads one entity of one division, and applies Exact's deletions.

    Args:
        run: Objects that all streams share.
        shape: Shape of the entity's rows.
        division: The company.
        cursor: Cursor of the last completed load.
        rank: Priority among streams of the division that were asked at the same time; the lowest goes
            first.
        emit: Receives rows and the cursor that covers them.
    """

    def __init__(
        self,
        run: Run,
        shape: Shape,
        division: Division,
        cursor: Cursor,
        *,
        rank: int,
        emit: Emit,
    ) -> None:
        window = run.options.window
        feed = f"{shape.plan.label}{WINDOW}{window}" if window else shape.plan.label
        self._start = start = Start.of(run, shape, division, cursor)
        self.result = StreamResult(
            division.code,
            shape.entity.name,
            feed,
            started_at=start.now,
            rows_stored=start.rows_counted,
        )
        self._run = run
        self._shape = shape
        self._entity = shape.entity
        self._division = division
        self._destination = run.destination
        self._call = Call(
            division.code,
            "",
            self._entity.name,
            (cursors.last_asked(cursor), rank),
            before_call=run.rounds.raise_if_stopped,
            may_pause=True,
        )
        self._output = StreamOutput(run, self._call, self.result, cursor, emit)
        self._deletions = Deletions(run, shape, self._call, self._output)
        self._is_old = False
        self._expects_row = False
        self._before = cursor

    async def read(self) -> None:
        """Read until the end, a limit or the end of the round; ``result`` has the outcome."""
        self._run.log.begin(self.result)
        with recording(self.result, self._run.rounds, self._destination.failures):
            try:
                await self._read()
            except RefusedError as error:
                await self._note_refusal(error)
                if error.is_of_blocked_company:
                    self.result.end("skipped", str(error), BLOCKED, permanent=True)
                elif not self._output.cursor.denied_at:
                    raise
                else:
                    self.result.end("refused", str(error), UNAVAILABLE, permanent=True)
            except ContractError:
                await self._output.move(None, cursors.failed(self._output.cursor))
                raise
        self._end()

    async def _read(self) -> None:
        if not self._may_start():
            return
        requested = self._start.with_request(self._output.cursor)
        if requested is not None:
            await self._output.move(None, requested)
        if self._run.rounds.is_stopped():
            self.result.end("incomplete", "stopped before it began")
            return
        self._run.turns.raise_if_later(self._entity.name, self._division.code)
        self.result.note(*self._start.notes_on_dates())
        self._resume()
        await self._deletions.settle_marks()
        await self._deletions.apply_tombstones(self._start)
        self._count_shared_calls()
        await self._begin_unless_begun()
        self._leave_out_dropped()
        self._is_old = self._began_earlier()
        if not await self._scan():
            self.result.end("incomplete", NEXT_ROUND)
        elif self._is_old:  # in another load, to keep deletes and inserts of a row apart
            self.result.end("incomplete", "changes since it began follow in the next round")
        elif self.result.status == "running":
            await self._deletions.compare_keys(self._may_be_empty)
            await self._end_read()

    def _began_earlier(self) -> bool:
        """Whether the scan began in an earlier run, so that later changes must still be read."""
        return (
            self._shape.plan.column is not None
            and self._output.cursor.scan is not None
            and not self.result.has_begun
        )

    async def _end_read(self) -> None:
        rejected = self._run.rejected.describe(self.result)
        if not self._deletions.error and not rejected:
            await self._note_webhook()
            self.result.end("complete")
            return
        # Deleted rows may still be stored, or rows are missing. This is not a success, but another round
        # would not help.
        error = "; ".join(filter(None, (self._deletions.error, rejected)))
        permanent = self.result.permanent or not self._deletions.error
        code = self._deletions.code or KEYLESS
        self.result.end("incomplete", error, code, permanent=permanent)
        self._run.rounds.settle(self._entity.name, self._division.code)

    async def _note_webhook(self) -> None:
        """Commit the mark of the last webhook before this run, which the rows now cover."""
        notices = self._run.options.notices or {}
        mark = notices.get((self._entity.name, self._division.code), "")
        if mark and self.result.has_begun:
            await self._output.move(None, replace(self._output.cursor, webhook_mark=mark))

    # -- before the first page -----------------------------------------------------------------

    def _may_start(self) -> bool:
        cursor = self._output.cursor
        refused_at = recent_refusals(cursor, self._run.now())
        why = cursor.refused_why if refused_at else ""
        self._output.hold(replace(cursor, refused_at=refused_at, refused_why=why))
        if not self._start.may_read(self._output.cursor, self.result):
            return False
        self._output.hold(replace(self._output.cursor, denied_since=0.0, denied_at=0.0))
        if not isinstance(self._shape, FunctionShape):
            return True
        if was_refused_as_empty(self._run, self._shape, self._division.code, self._output.cursor):
            self.result.end("complete")
            return False
        return Parents(self._run, self._shape).are_loaded(self.result)

    def _resume(self) -> None:
        cursor, note = self._start.resume(self._output.cursor)
        self._output.hold(cursor)
        if note:
            self.result.note(note)
        self._output.count_from(None if self._run.options.window else self.result.rows_stored)

    async def _begin_unless_begun(self) -> None:
        cursor = self._output.cursor
        if self._has_no_row(cursor):
            await self._begin_again(cursor)
        elif cursor.scan is None or cursor.scan.pages == 0:
            await self._begin()

    async def _begin(self) -> None:
        scan = ScanStart(
            self._run, self._shape, self._call, self._output, self._deletions.rows, self._start
        )
        self._expects_row = await scan.begin()

    def _count_shared_calls(self) -> None:
        """Count the calls for shared lists with this stream, if it is the first."""
        calls = self._run.selection.take_overhead(self._division.code, self._run.divisions.codes)
        self.result.count(shared_calls=calls)

    def _leave_out_dropped(self) -> None:
        dropped = self._output.cursor.dropped
        if dropped:
            self._shape = self._shape.without(dropped)
        self.result.note(*notes_on(self._shape, dropped))

    # -- pages ---------------------------------------------------------------------------------

    async def _scan(self) -> bool:
        """Read the scan; ``False`` if the round ended first."""
        run, division, found = self._run, self._division.code, self._deletions.rows
        while True:
            full_pass = full_pass_of(run, self._shape, division, self._output.cursor, found)
            try:
                last = await self._read_pages(full_pass)
            finally:
                if full_pass.is_held:
                    await self._output.move(full_pass.release(), self._output.cursor)
            if last is None:
                return False
            if not self._is_suspiciously_empty(last):
                break
            self.result.note("nothing above the cursor, not even its own row: read again")
            await self._begin_again(last.before)
        return True

    async def _read_pages(self, full_pass: FullPass) -> ScannedPage | None:
        """Load the pages of the scan; the last page, or ``None`` if the round ended first."""
        scanner = self._scanner()
        last: ScannedPage | None = None
        try:
            async with aclosing(scanner.pages(self._output.cursor)) as pages:
                async for page in pages:
                    self._note_page(page)
                    full_pass.see(page.read)
                    if page.after.scan is None:
                        last = page
                        break
                    self._output.hold(page.after)
                    await self._load(self._loadable(page), full_pass)
        finally:
            self._output.hold(scanner.cursor if last is None else last.before)
            self._shape = scanner.shape
            self.result.note(*scanner.notes)
        if last is not None and not self._is_suspiciously_empty(last):
            await self._finish(last, full_pass)
        return last

    def _scanner(self) -> Scanner:
        division = self._division.code
        key_filters = self._run.connection.adaptations.key_filters
        end_ms = self._run.options.end_ms
        urls: Urls = FeedUrls(self._shape, division, end_ms, key_filters=key_filters)
        if isinstance(self._shape, FunctionShape):
            urls = FunctionUrls(self._run, self._shape, division, self.result)
        return Scanner(
            self._run,
            self._shape,
            self._call,
            urls,
            on_call=self._output.report,
            known_version=lambda: known_version(self._run, self._shape, division),
            deleted=self._output.deleted_keys,
        )

    def _note_page(self, page: ScannedPage) -> None:
        run, result = self._run, self.result
        run.rounds.count_rows(page.read.num_rows + page.rejected.num_rows)
        result.note(*page.surprises)
        run.rejected.keep(result, page.rejected, ["division", *self._shape.keys])
        if self._shape.version == "timestamp" and page.high is not None:
            run.tombstones.note_version(self._division.code, page.high)

    def _loadable(self, page: ScannedPage) -> pa.Table:
        """The new rows of a page, stamped, with the stored values of withdrawn columns."""
        if not page.new.num_rows:
            return page.new
        table = with_withdrawn(
            self._shape,
            [self._division.code],
            self._destination,
            page.new,
            self._output.cursor.dropped,
        )
        self.result.count(rows=table.num_rows)
        synced_from = page.before.scan.synced_from if page.before.scan else 0.0
        return rows.stamp(table, self._output.next_stamp(max(page.at, synced_from)))

    async def _load(self, table: pa.Table, full_pass: FullPass) -> None:
        """Emit a page; the pages of a short list are held until it is complete."""
        if not full_pass.is_held:
            await self._output.move(table if table.num_rows else None, self._output.cursor)
        elif not full_pass.hold(table):
            await self._output.move(full_pass.release(), self._output.cursor)

    async def _finish(self, last: ScannedPage, full_pass: FullPass) -> None:
        """Emit the last page with the deletions, and move the cursor."""
        before, after, scan = last.before, last.after, last.before.scan
        if full_pass.finds_deleted and full_pass.is_empty and not await self._may_be_empty():
            full_pass.release()
            await self._output.move(None, replace(self._output.cursor, scan=None))
            return
        after = replace(after, behind=self._is_old)
        if full_pass.finds_deleted or last.read.num_rows or (scan is not None and scan.rows):
            after = replace(after, empty_at=0.0)  # no changes do not prove that rows exist
        if scan is not None and (scan.since is None or before.value is None):
            after = replace(after, pages=scan.pages + 1, reconciled_at=after.read_at)
            after = self._deletions.after_pass(after)
        table, digest = full_pass.complete(self._loadable(last))
        after = with_digest(after, before, digest and f"{self._run.options.deletes} {digest}")
        if digest and is_unchanged(before, after) and not self._output.deleted:
            self.result.forget_rows()  # already loaded; a merge costs more than a read
            await self._output.move(None, after)
            return
        await self._output.move(table if table.num_rows else None, None)
        if full_pass.finds_deleted and scan is not None:
            missing = self._deletions.rows.missing(
                full_pass.seen,
                before=scan.synced_from or scan.started_at,
                since_ms=self._run.options.start_ms,
            )
            if missing.keys:  # the next pass must find that nothing remains to be deleted
                after = replace(after, digest="")
            await self._output.delete(missing, self._deletions.rows, None)
        await self._output.move(None, after)

    # -- empty answers -------------------------------------------------------------------------

    async def _may_be_empty(self) -> bool:
        """Whether an empty reply is accepted although rows are stored; see ``empty_lists``."""
        if self._entity.name in self._run.options.trust_empty:
            return True
        verdict = await judge_empty(
            self._run.connection,
            self._call,
            self._shape.plan.full,
            self._output.cursor,
            now=self._run.now(),
        )
        self._output.hold(verdict.cursor)
        if verdict.is_refused:
            self.result.end("refused", verdict.why, RefusedError.code, permanent=True)
        elif not verdict.is_believed:
            self.result.end("incomplete", verdict.why, EMPTY)
            self._run.rounds.settle(self._entity.name, self._division.code)
        return verdict.is_believed

    def _is_suspiciously_empty(self, last: ScannedPage) -> bool:
        """Whether not even the last known row was returned (API 4.2)."""
        before = last.before
        is_empty = before.scan is not None and not before.scan.rows and not last.read.num_rows
        is_empty = is_empty and not last.rejected.num_rows
        return (
            is_watermark(self._shape, before)
            and (bool(before.overlap_marks) or self._expects_row)
            and is_empty
            and not self._output.deleted
        )

    def _has_no_row(self, cursor: Cursor) -> bool:
        """Whether no row, except deleted ones, would show a move to another database (API 4.2).

        The scan then begins without a version, because reading an empty list takes one call in either case.
        """
        return (
            self._shape.version == "timestamp"
            and cursor.value is not None
            and not cursor.overlap_marks
            and self._destination.highest(self._entity.name, self._division.code, "timestamp")
            is None
        )

    async def _begin_again(self, before: Cursor) -> None:
        """Start a full pass, because the division may be in another database, with lower versions."""
        # The highest version seen belongs to the old database, and so do the known tombstones.
        self._run.tombstones.forget_versions(self._division.code)
        fresh = replace(
            before, value=None, overlap_marks=(), ceiling=None, scan=None, start_version=None
        )
        moved_by = int(self._run.now() * 1000)
        unapplied = replace(fresh, tombstones=None, tombstones_at=0.0, applied_tombstones=())
        self._output.hold(replace(unapplied, moved_by=moved_by))
        await self._deletions.apply_tombstones(self._start)
        self._count_shared_calls()
        await self._begin()

    # -- outcome -------------------------------------------------------------------------------

    async def _note_refusal(self, error: RefusedError) -> None:
        if error.status == HTTPStatus.NOT_FOUND:
            self.result.note(
                "rows that were loaded stay; leave it out with --entities if it is gone for good"
            )
        cursor = self._start.denied(self._before, self._output.cursor, error)
        await self._output.move(None, cursor)

    def _end(self) -> None:
        value = self._output.cursor.value
        self.result.close(self._run.now(), "" if value is None else str(value))
        self._output.report()
