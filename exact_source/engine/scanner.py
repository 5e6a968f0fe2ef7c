"""One chain of pages of one entity and division, from its filter to the page without a next link.

It may begin in one run and end in a later one. What stands here is how it begins, which page comes
next, and how the cursor moves with it; ``news`` says what of a page is worth loading, ``stream`` when a
chain is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from http import HTTPStatus

import pyarrow as pa

from ..catalogue import Feed
from ..catalogue.feeds import harmless_filter, starts_by_version
from ..client.call import Target
from ..client.withdrawn_columns import withdrawn_fields
from ..errors import ContractError, RefusedError
from ..loading.warehouse import Stored
from ..odata.page import Page, PageSchema
from ..odata.query import build_filter, build_url, check_next, skiptoken
from . import cursors, rows
from .cursors import Cursor
from .dedupe import HeldPages, facts_of, news_of, with_withdrawn
from .deletes import Gone, Removals
from .divisions import Division
from .key_sync import reads_whole
from .page_reader import Arrived, PageReader
from .result import Status, StreamResult
from .run import Run
from .shape import Shape

# What Exact answers to a link that it no longer knows (API 3.2, 6.2).
STALE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})

Emit = Callable[[pa.Table | None, Cursor | None], Awaitable[None]]


class Chain:
    """Reads pages of one entity of one division, from where its cursor stands.

    Args:
        run: What all streams share.
        shape: Of the entity's rows.
        division: The company.
        cursor: How far it has been read, by loads that arrived.
        rank: Turn among the division's streams.
        stored: What the destination holds.
        emit: Takes rows and the cursor that covers them; both are committed together.
    """

    def __init__(
        self,
        run: Run,
        shape: Shape,
        division: Division,
        cursor: Cursor,
        *,
        rank: int,
        stored: Stored,
        emit: Emit,
    ) -> None:
        self.run = run
        self.shape = shape
        self.entity = shape.entity
        self.division = division
        self.cursor = cursor
        self.stored = stored
        self.emit = emit
        self.target = Target(division.code, "", self.entity.name, rank, may_pause=True)
        self.result = StreamResult(
            division.code, self.entity.name, shape.plan.label, started_at=run.clock.now()
        )
        self.removals = Removals(shape, division.code, stored, run.options)
        self.reader = PageReader(run, self.target, division.code, self._tell)
        self._met: list[pa.Table] | None = None
        self._held: HeldPages | None = None
        self._removed = 0

    # -- its beginning -------------------------------------------------------------------------

    async def _apply_tombstones(self) -> None:
        """Remove what is told to be gone, before a chain begins; who reads chains knows how."""

    async def _begin(self) -> None:
        now = self.run.clock.now()
        since = cursors.next_since(self.cursor, self.run.options.zone_slack_s)
        if reads_whole(self.cursor, self.removals, self.run.options):
            since = None
        if (self.cursor.value, self.cursor.tombstones, self.cursor.moved) == (None, None, 0):
            # What was deleted before a first pass is not met by it. In a division that has moved the
            # versions of older tombstones tell nothing of rows (API 4.2), so there none is noted.
            self.cursor = replace(self.cursor, tombstones=0, tombstones_at=now)
        start_ms = self.run.options.start_ms
        if since is None and start_ms is not None:
            # By row version all is read once, and older rows are dropped on the way: the order of
            # versions is not that of Modified, so no version begins a date for sure (API 4.3).
            by_modified = self.shape.plan.full.cursor == "Modified"
            since = start_ms if by_modified else await self._start_version(start_ms)
        self.cursor = cursors.begin(self.cursor, now=now, since=since, known=self._known_version())

    async def _start_version(self, start_ms: int) -> int | None:
        """Where the first read of all begins, if the user takes Exact's word for it.

        Once rows are stored all are read: what that pass does not meet is gone.
        """
        cursor = self.cursor
        if cursor.start_version is not None or not self._may_start_by_version():
            return cursor.start_version
        feed = self.shape.plan.full
        since, why = await self.run.start_versions.of(self.target, feed, start_ms)
        if since is None:
            self.result.notes.append(f"{why}: all rows are read")
            return None
        self.result.notes.append(f"read from Timestamp {since} on, by SyncTimestamp for start_date")
        await self._move(None, replace(cursor, start_version=since))
        return since

    def _may_start_by_version(self) -> bool:
        return (
            self.run.options.start_by == "timestamp"
            and starts_by_version(self.shape.plan)
            and not self.cursor.read_at  # else nothing was there, and that takes one call to see
            and not self.stored.has_rows(self.entity.name, self.division.code)
        )

    def _known_version(self) -> int | None:
        """A version that surely exists by now: rows that change from here on are above it."""
        if self.shape.version == "timestamp":
            return self.run.tombstones.highest_version(self.division.code)
        if self.shape.version != "modified":
            return None
        # In Europe the digits run ahead of UTC, so UTC read as digits lies in the past.
        now = self.run.limits.server_time(self.run.clock.now())
        return int((now - self.run.options.zone_slack_s) * 1000)

    # -- its pages -----------------------------------------------------------------------------

    async def _scan(self) -> bool:
        """Read the chain; ``False`` if the round ended first."""
        self._look_for_unmet()
        before: Cursor | None = self.cursor  # until the first page is there
        resumed = skiptoken(self._url()) is not None
        while self.cursor.scan is not None:
            # An error of the next page takes no call, and would take one in the next round.
            if self.reader.error is None and self.run.rounds.must_stop():
                return False
            url = self._url()
            try:
                arrived = await self._pages(url)
            except RefusedError as error:
                if await self._leaves_out_withdrawn(error, url):
                    continue
                if not resumed or error.status not in STALE:
                    self._keep_place(before)
                    raise
                # A skiptoken that Exact no longer takes: the scan begins again where it began.
                await self._restart_scan()
                resumed = False
                continue
            for one in arrived:
                resumed, before = False, None
                await self._take(one.page, one.at)
        return self.result.status == "running"

    def _keep_place(self, before: Cursor | None) -> None:
        """A new beginning that was refused as well is none: the old place may be good tomorrow."""
        scan = None if before is None else before.scan
        if before is not None and scan is not None and scan.next is not None:
            self.cursor = replace(self.cursor, scan=scan)

    async def _leaves_out_withdrawn(self, error: RefusedError, url: str) -> bool:
        """Whether a query was refused for fields that Exact no longer has, and can do without them."""
        if error.status != HTTPStatus.BAD_REQUEST or skiptoken(url) is not None:
            return False
        feed, schema = self._feed()
        gone = await withdrawn_fields(self.run.connection, self.target, feed, schema.columns)
        if not gone or self.shape.needed.intersection(gone):
            return False
        self.cursor = replace(self.cursor, dropped=(*self.cursor.dropped, *gone))
        self._leave_out(gone)
        return True

    def _leave_out(self, gone: Sequence[str]) -> None:
        """Read without fields that Exact has withdrawn; say so, and which a URL has no room for."""
        if gone:
            self.shape = self.shape.without(gone)
            self.result.notes.append(f"left out, as Exact no longer has it: {', '.join(gone)}")
        if self.shape.too_long:
            names = ", ".join(self.shape.too_long)
            note = f"left out, as the URL has no room for it: {names}"
            self.result.notes = list(dict.fromkeys([*self.result.notes, note]))

    def _look_for_unmet(self) -> None:
        """In a full pass over rows that are stored already, those that it does not meet are gone."""
        scan = self.cursor.scan
        self._met = self._held = None
        if scan is None or (scan.since is not None and self.cursor.value is not None):
            return
        if self._is_watermark():
            return  # it began at a version, so that it does not meet all
        if self.removals.by_full_pass():
            self._met = []
        is_silent = self.removals.are_silent or self.shape.plan.increment is None
        if scan.since is None and scan.pages == 0 and is_silent:
            self._held = HeldPages(self.run.held_rows)

    def _is_watermark(self) -> bool:
        scan = self.cursor.scan
        return self.shape.version == "timestamp" and scan is not None and scan.since is not None

    def _feed(self) -> tuple[Feed, PageSchema]:
        scan = self.cursor.scan
        plan, shape = self.shape.plan, self.shape
        if plan.increment and shape.increment and scan is not None and scan.since is not None:
            return plan.increment, shape.increment
        return plan.full, shape.full

    def _url(self) -> str:
        scan = self.cursor.scan
        if scan is not None and scan.next is not None:
            return scan.next
        feed, schema = self._feed()
        query = {"$select": ",".join(schema.columns)}
        if text := self._filter(feed):
            query["$filter"] = text
        return build_url(feed.path, self.division.code, query)

    def _filter(self, feed: Feed) -> str | None:
        since = self.cursor.scan.since if self.cursor.scan else None
        if feed.cursor == "Timestamp":
            return build_filter("Timestamp", 1 if since is None else since)
        if since is not None and feed.cursor:
            return build_filter(feed.cursor, since)
        return harmless_filter(feed)

    async def _pages(self, url: str) -> list[Arrived]:
        if self.cursor.scan is not None and self.cursor.scan.failures:
            self.reader.together = False  # it was no page the last time: go no further before it is
        return await self.reader.read(url, *self._feed())

    async def _take(self, page: Page, at: float) -> None:
        before, scan = self.cursor, self.cursor.scan
        if scan is None:
            raise RuntimeError("a page without a scan")
        self.run.rounds.count_rows(page.table.num_rows)
        self._note_surprises(page)
        link = self._checked_link(page)
        table = page.table
        if self.shape.keys == [rows.ROW.name]:
            table = rows.number(table, scan.rows)
        read = table.num_rows
        table = self.run.keyless.with_key(self.result, table, ["division", *self.shape.keys])
        if self._met is not None:
            self._met.append(rows.copied(table.select(self.shape.keys)))
        facts = replace(facts_of(self.shape, before, table, link), rows=read)
        if self.shape.version == "timestamp" and table.num_rows:
            self.run.tombstones.note_version(self.division.code, facts.high)
        after = cursors.advance(before, facts)
        table = news_of(self.shape, before, table, self.run.options.start_ms)
        dropped = self.cursor.dropped
        table = with_withdrawn(self.shape, self.division.code, self.stored, table, dropped)
        self.result.rows += table.num_rows
        stamped = rows.stamp(table, max(at, scan.started_at))
        if after.scan is not None:
            await self._load(stamped, after)
        else:
            await self._finish(stamped, before, after, rows_read=scan.rows + facts.rows)

    def _note_surprises(self, page: Page) -> None:
        for surprise in page.surprises:
            note = f"{surprise.column}: {surprise.kind}"
            if note not in self.result.notes:
                self.result.notes.append(note)

    def _checked_link(self, page: Page) -> str | None:
        feed, _ = self._feed()
        if page.next_url is None:
            return None
        link = check_next(
            page.next_url, self.run.connection.client.base_url, feed.path, self.division.code
        )
        if link == self._url():
            raise ContractError(f"{self.target.where}: the next link leads to its own page")
        if self.cursor.scan is not None and cursors.goes_round(self.cursor.scan, link):
            raise ContractError(
                f"{self.target.where}: the next link repeats itself; reading stopped"
            )
        return link

    async def _load(self, table: pa.Table, cursor: Cursor | None) -> None:
        """Hand over a page; the pages of a short list are held back until all are there."""
        if cursor is not None:
            self.cursor = cursor
        if self._held is not None:
            if not self._held.hold(table):
                await self._release()
            return
        await self._move(table if table.num_rows else None, cursor)

    async def _release(self) -> None:
        """Hand over the pages that were held back."""
        held, self._held = self._held, None
        if held is not None:
            pages = held.take()
            table = rows.concat(pages) if pages else None
            await self._move(table if table is not None and table.num_rows else None, self.cursor)

    async def _finish(
        self, table: pa.Table, before: Cursor, after: Cursor, *, rows_read: int
    ) -> None:
        """The last page: what is gone goes with it, and only then the cursor moves."""
        if self._is_suspiciously_empty(before, rows_read):
            self.result.notes.append("nothing above the cursor, not even its own row: read anew")
            # The highest version that was seen is of that database, too, and so are known tombstones.
            self.run.tombstones.forget_versions(self.division.code)
            fresh = replace(before, value=None, recent=(), ceiling=None, scan=None)
            self.cursor = replace(fresh, start_version=None, tombstones=None, buried=())
            await self._apply_tombstones()
            self._count_shared_calls()
            await self._begin()
            self._look_for_unmet()
            return
        if self._met is not None and not await self._may_be_empty(self._met):
            await self._keep_what_is_stored(before)
            return
        if before.scan is not None and (before.scan.since is None or before.value is None):
            after = replace(after, pages=before.scan.pages + 1, reconciled_at=after.read_at)
        if self._held is not None:
            held, self._held = self._held, None
            table, after = self._whole([*held.take(), table], after)
            if after.digest == before.digest:  # the same as the last time, and merges cost
                self.result.rows = 0
                await self._move(None, after)
                return
        else:
            after = replace(after, digest="")  # it was loaded in parts
        await self._move(table if table.num_rows else None, None)
        if self._met is not None:
            start_ms = self.run.options.start_ms
            gone = self.removals.unmet(self._met, began_at=after.read_at, since_ms=start_ms)
            await self._remove(gone, None)
        await self._move(None, after)

    def _whole(self, pages: list[pa.Table], after: Cursor) -> tuple[pa.Table, Cursor]:
        """A short list in one piece, and the cursor with a mark of it and of what it removes."""
        mark = f"{self.run.options.deletes} {rows.digest(pages)}"
        return rows.concat(pages), replace(after, digest=mark)

    async def _may_be_empty(self, met: Sequence[pa.Table]) -> bool:
        """Whether the answer, if empty, means no rows rather than no rights."""
        if any(table.num_rows for table in met):
            return True
        return await self.run.connection.has_rights(self.division.code, self.shape.plan.full.path)

    async def _keep_what_is_stored(self, before: Cursor) -> None:
        """An empty answer without rights is no empty company (API 0.1, 6.2)."""
        self._end_without_rights()
        self.result.permanent = True
        await self._move(None, replace(before, scan=None))

    def _end_without_rights(self) -> None:
        text = f"{self.target.where}: empty answer without rights; rows were kept"
        self._end("refused", text, RefusedError.code)

    def _is_suspiciously_empty(self, before: Cursor, rows_read: int) -> bool:
        """Whether not even the row came back that the cursor came from (API 4.2)."""
        return self._is_watermark() and bool(before.recent) and not rows_read and not self._removed

    async def _restart_scan(self) -> None:
        self.result.notes.append("the stored next link was refused: the scan began again")
        scan = self.cursor.scan
        since = scan.since if scan else None
        now, known = self.run.clock.now(), self._known_version()
        self.cursor = cursors.begin(self.cursor, now=now, since=since, known=known)
        if self._met is not None:
            self._met = []
        if self._held is not None:
            self._held.take()

    # -- what it hands over --------------------------------------------------------------------

    async def _remove(self, gone: Gone, cursor: Cursor | None) -> None:
        self._removed += len(gone.keys)
        self.result.deleted += len(gone.keys)
        for table in self.removals.tables(gone, at=self.run.clock.now()):
            await self._move(table, None)
        await self._move(None, cursor)

    async def _move(self, table: pa.Table | None, cursor: Cursor | None) -> None:
        if cursor is not None:
            self.cursor = cursor
        self.result.calls = self.target.calls
        await self.emit(table, cursor)
        self._tell()

    def _tell(self) -> None:
        self.result.calls = self.target.calls
        self.run.on_progress(self.result)

    def _count_shared_calls(self) -> None:
        """Those that nobody has counted so far are this stream's, because it came first."""
        read = [division.code for division in self.run.divisions.chosen_so_far]
        calls = self.run.selection.take_overhead(self.division.code, read)
        self.result.shared_calls += calls

    def _end(self, status: Status, error: str = "", code: str = "") -> None:
        if self.result.status in {"running", "complete"}:
            self.result.end(status, error, code)
        self.result.ended_at = self.run.clock.now()
        self.result.calls = self.target.calls
        self.result.cursor = "" if self.cursor.value is None else str(self.cursor.value)
        self.run.on_progress(self.result)
