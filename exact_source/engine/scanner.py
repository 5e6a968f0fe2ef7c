"""Reads one scan, page by page: an async iterator of pages with the cursor after each.

A scan is one chain of pages, from its filter to the page without a next link. It may begin in one run
and end in a later one. ``Urls`` gives the URLs of its pages; ``stream`` decides when a scan is read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import pyarrow as pa

from ..catalogue import Feed
from ..catalogue.feeds import harmless_filter
from ..catalogue.parameters import means_empty
from ..client.call import Call
from ..client.withdrawn_columns import withdrawn_fields
from ..errors import ContractError, RefusedError
from ..odata.page import Page, PageSchema
from ..odata.query import build_filter, build_url, build_window, check_next, skiptoken
from . import cursors, rows
from .cursors import Cursor, Scan
from .dedupe import facts_of, new_rows
from .page_reader import Arrived, PageReader
from .records import replace
from .run import Run
from .shape import Shape

# Statuses for a next link that Exact no longer accepts (API 3.2, 6.2).
STALE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True, slots=True)
class ScannedPage:
    """One page of a scan.

    Attributes:
        read: All rows with a complete key.
        rejected: Rows without a key.
        new: The rows of ``read`` that are loaded.
        high: Highest version in ``read``; ``None`` without rows or versions.
        before: Cursor before the page.
        after: Cursor after the page; its ``scan`` is ``None`` after the last page.
        at: When the page arrived; seconds since the epoch, UTC.
        surprises: Values that do not fit the catalogue.
    """

    read: pa.Table
    rejected: pa.Table
    new: pa.Table
    high: int | None
    before: Cursor
    after: Cursor
    at: float
    surprises: Sequence[str]


class Urls(Protocol):
    """The URLs of the pages of a scan."""

    @property
    def reads_ahead(self) -> bool:
        """Whether a page may be requested before the previous ones are parsed."""
        ...

    def begin(self, scan: Scan) -> str | None:
        """The first page to read in this round; ``None`` if there is no page."""
        ...

    def first(self, shape: Shape, scan: Scan) -> str:
        """The page at which the scan begins, or continues after its query has changed."""
        ...

    def restart(self) -> None:
        """Start over, because the stored next link was refused."""
        ...

    def following(self, shape: Shape, link: str | None) -> str | None:
        """The page after one with this next link; ``None`` after the last."""
        ...

    def complete(self, table: pa.Table) -> pa.Table:
        """The rows of a page with the columns that the query adds."""
        ...


class FeedUrls:
    """The pages of a feed: a filter, then the links that Exact sends.

    Args:
        division: Code.
        end_ms: End of the window in milliseconds of ``Modified`` digits; later changes are not requested.
        key_filters: Whether the site accepts filters that compare a key with the all-zero guid.
    """

    def __init__(
        self, shape: Shape, division: int, end_ms: int | None = None, *, key_filters: bool = True
    ) -> None:
        self._shape = shape
        self._division = division
        self._end_ms = end_ms
        self._key_filters = key_filters

    @property
    def reads_ahead(self) -> bool:
        """Yes: Exact's links lead from page to page."""
        return True

    def begin(self, scan: Scan) -> str | None:
        """The stored next link, or the first page."""
        return scan.next or self.first(self._shape, scan)

    def first(self, shape: Shape, scan: Scan) -> str:
        """The query from ``scan.since`` on."""
        feed, schema = feed_of(shape, scan)
        query = {"$select": ",".join(schema.columns)}
        if text := _filter(feed, scan.since, self._end_ms, by_key=self._key_filters):
            query["$filter"] = text
        return build_url(feed.path, self._division, query)

    def restart(self) -> None:
        """Nothing to reset."""

    def following(self, shape: Shape, link: str | None) -> str | None:  # noqa: ARG002
        """Exact's next link."""
        return link

    def complete(self, table: pa.Table) -> pa.Table:
        """The rows, unchanged."""
        return table


def feed_of(shape: Shape, scan: Scan | None) -> tuple[Feed, PageSchema]:
    """The feed that a scan reads, and the schema of its pages."""
    plan = shape.plan
    if plan.increment and shape.increment and scan is not None and scan.since is not None:
        return plan.increment, shape.increment
    return plan.full, shape.full


def _filter(feed: Feed, since: int | None, end_ms: int | None, *, by_key: bool) -> str | None:
    if feed.cursor == "Timestamp":
        return build_filter("Timestamp", 1 if since is None else since)
    if feed.cursor == "Modified" and end_ms is not None:
        return build_window(feed.cursor, since or 0, end_ms)
    if since is not None and feed.cursor:
        return build_filter(feed.cursor, since)
    return harmless_filter(feed, by_key=by_key)


class Scanner:
    """Reads the pages of one scan of one stream.

    Args:
        run: Objects that all streams share.
        shape: Shape of the entity's rows.
        call: Calls of the stream.
        urls: URLs of the pages.
        on_call: Called after each response.
        known_version: A version that certainly exists already; ``None`` if none is known.
        deleted: First key column of the rows that tombstones have just deleted.

    Attributes:
        cursor: Cursor after the pages that were returned.
        shape: Shape without the fields that turned out to be withdrawn.
        notes: Notes for the user.
    """

    def __init__(
        self,
        run: Run,
        shape: Shape,
        call: Call,
        urls: Urls,
        *,
        on_call: Callable[[], None],
        known_version: Callable[[], int | None],
        deleted: Collection[Any],
    ) -> None:
        self.cursor = Cursor(column=None)
        self.shape = shape
        self.notes: list[str] = []
        self._run = run
        self._call = call
        self._division = call.division or 0
        self._urls = urls
        self._reader = PageReader(run, call, self._division, on_call)
        self._known_version = known_version
        self._deleted = deleted
        self._url: str | None = None
        self._before: Cursor | None = None  # until the first page has arrived
        self._is_resumed = False

    async def pages(self, cursor: Cursor) -> AsyncGenerator[ScannedPage, None]:
        """The pages of the cursor's scan, until it is complete or the round must end.

        Raises:
            StreamError: If a page cannot be read.
            LimitError: If no call is left.
            PausedError: If the round ended during a wait.
        """
        self.cursor = self._before = cursor
        if cursor.scan is None:
            return
        by_page = self._call.name in self._run.rounds.by_page
        if by_page or cursor.scan.failures or not self._urls.reads_ahead:
            self._reader.parse_each()
        self._url = self._urls.begin(cursor.scan)
        if self._url is None:
            yield self._scanned(Arrived(self._empty_page(), self._run.now()))
            return
        self._is_resumed = cursor.scan.next is not None and skiptoken(self._url) is not None
        while self._url is not None:
            # If a page that was requested ahead has failed, raise its error now: another run would need
            # another call to find it.
            if self._reader.error is None and self._run.rounds.must_stop():
                return
            try:
                feed, schema = feed_of(self.shape, self.cursor.scan)
                pages = await self._reader.read(self._url, feed, schema)
            except RefusedError as error:
                pages = await self._after_refusal(self._url, error)
            for arrived in pages:
                self._is_resumed, self._before = False, None
                yield self._scanned(arrived)

    async def _after_refusal(self, url: str, error: RefusedError) -> list[Arrived]:
        """An empty page if the refusal means that; no page if another link must be read instead.

        Raises:
            RefusedError: If the stream must end.
        """
        feed, _ = feed_of(self.shape, self.cursor.scan)
        if skiptoken(url) is None and means_empty(feed, error.status, error.words):
            return [Arrived(self._empty_page(), self._run.now())]
        if await self._leaves_out_withdrawn(error):
            return []
        if not self._is_resumed or error.status not in STALE:
            self._keep_place()
            raise error
        # Exact no longer accepts the skiptoken, so the scan starts over.
        self._restart()
        self._is_resumed = False
        return []

    # -- one page ------------------------------------------------------------------------------

    def _scanned(self, arrived: Arrived) -> ScannedPage:
        before, scan, page = self.cursor, self.cursor.scan, arrived.page
        if scan is None:
            raise ValueError("a page after the end of its scan")
        table = self._urls.complete(page.table)
        link = self._next_url(page, scan)
        if self.shape.keys == [rows.ROW.name]:
            table = rows.number(table, scan.rows)
        kept, rejected = rows.with_key(table, ["division", *self.shape.keys])
        facts = replace(facts_of(self.shape, before, kept, link), rows=table.num_rows)
        self.cursor = cursors.advance(before, facts)
        self._url = link
        new = new_rows(
            self.shape,
            before,
            kept,
            self._run.options,
            self._deleted,
        )
        surprises = [f"{s.column}: {s.kind}" for s in page.surprises]
        return ScannedPage(
            kept, rejected, new, facts.high, before, self.cursor, arrived.at, surprises
        )

    def _next_url(self, page: Page, scan: Scan) -> str | None:
        feed, _ = feed_of(self.shape, scan)
        if page.next_url is None:
            return self._urls.following(self.shape, None)
        base_url = self._run.connection.client.base_url
        link = check_next(page.next_url, base_url, feed.path, self._division)
        if link == self._url:
            raise ContractError(f"{self._call.where}: the next link points to the same page")
        if cursors.goes_round(scan, link):
            raise ContractError(
                f"{self._call.where}: the next link was followed before; reading stopped"
            )
        return self._urls.following(self.shape, link)

    def _empty_page(self) -> Page:
        added = {rows.SYNCED_AT.name, rows.DELETED_AT.name, rows.ROW.name}
        schema = pa.schema(f for f in self.shape.arrow if f.name not in added)
        return Page(schema.empty_table(), None, None, ())

    # -- refused queries -----------------------------------------------------------------------

    def _keep_place(self) -> None:
        """If the new start is refused too, keep the old position, which may be accepted later."""
        scan = None if self._before is None else self._before.scan
        if scan is not None and scan.next is not None:
            self.cursor = replace(self.cursor, scan=scan)

    def _restart(self) -> None:
        self.notes.append("the stored next link was refused: the scan began again")
        scan = self.cursor.scan
        since, synced_from = (None, 0.0) if scan is None else (scan.since, scan.synced_from)
        self.cursor = cursors.begin(
            self.cursor,
            now=self._run.now(),
            since=since,
            known=self._known_version(),
            synced_from=synced_from,
        )
        self._urls.restart()
        if self.cursor.scan is not None:
            self._url = self._urls.begin(self.cursor.scan)

    async def _leaves_out_withdrawn(self, error: RefusedError) -> bool:
        """Whether a query was refused because of withdrawn fields and can be repeated without them."""
        url, scan = self._url, self.cursor.scan
        if scan is None or url is None or skiptoken(url) is not None:
            return False
        if error.status != HTTPStatus.BAD_REQUEST:
            return False
        feed, schema = feed_of(self.shape, scan)
        fields = await withdrawn_fields(self._run.connection, self._call, feed, schema.columns)
        if not fields or self.shape.needed.intersection(fields):
            return False
        self.cursor = replace(self.cursor, dropped=(*self.cursor.dropped, *fields))
        self.shape = self.shape.without(fields)
        self.notes += notes_on(self.shape, fields)
        self._url = self._urls.first(self.shape, scan)
        return True


def notes_on(shape: Shape, withdrawn: Sequence[str]) -> list[str]:
    """Notes about fields that are not read."""
    notes = []
    if withdrawn:
        notes.append(f"left out, as Exact no longer has it: {', '.join(withdrawn)}")
    if shape.too_long:
        notes.append(f"left out, as the URL has no room for it: {', '.join(shape.too_long)}")
    return notes
