"""Reads the pages of one chain, one call each; consecutive small pages are parsed together.

Many feeds return 60 rows per page (API 3.2). The fixed cost of parsing one page equals that of a hundred
rows. Large bodies are parsed in other threads while the next pages are requested; Arrow releases the GIL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..catalogue import Feed
from ..client.call import Call
from ..errors import ContractError
from ..odata.arrow_json import link_of
from ..odata.page import BrokenPageError, Page, PageSchema, parse_page, parse_pages
from ..odata.query import check_next
from .run import Run

# Most pages, and most bytes, that are parsed together; a body of ALONE_BYTES is parsed alone.
TOGETHER_PAGES, TOGETHER_BYTES, ALONE_BYTES = 16, 1 << 21, 1 << 19
# Most pages of one stream that are requested before the first of them is passed on, their bytes, and the
# bytes of the bodies of all streams.
AHEAD_PAGES, AHEAD_BYTES, BYTES_OF_ALL = 32, 10 << 20, 1 << 25
THREAD_BYTES = 1 << 17  # bytes that take longer to parse than to pass to another thread


@dataclass(frozen=True, slots=True)
class Arrived:
    """A page, and the time of its arrival in seconds since the epoch, UTC."""

    page: Page
    at: float


@dataclass(frozen=True, slots=True)
class _Unread:
    """An unparsed body, with its next link."""

    url: str
    body: bytes
    link: str
    at: float


@dataclass(slots=True)
class _Group:
    """Bodies that are parsed together.

    Attributes:
        unread: The bodies.
        pages: Their pages, once parsing has begun; ``None`` if one of them must be parsed alone.
    """

    unread: list[_Unread] = field(default_factory=list)
    pages: asyncio.Future[list[Page] | None] | None = None

    @property
    def bytes(self) -> int:
        """Bytes of the bodies."""
        return sum(len(one.body) for one in self.unread)


class PageReader:
    """Reads the pages of one chain.

    Args:
        run: Objects that all streams share.
        call: Calls of the stream.
        division: Code of the division.
        on_call: Called after each response.

    Attributes:
        together: Whether pages are parsed together; ``False`` after one did not match the schema.
        error: Error of a page that was requested ahead, until that page is reached.
    """

    def __init__(self, run: Run, call: Call, division: int, on_call: Callable[[], None]) -> None:
        self.together = True
        self.error: Exception | None = None
        self._run = run
        self._call = call
        self._division = division
        self._on_call = on_call
        self._error_at = ""

    def parse_each(self) -> None:
        """Parse each page when it arrives, before the next one is requested."""
        self.together = False

    async def read(self, url: str, feed: Feed, schema: PageSchema) -> list[Arrived]:
        """The page of a link, and possibly later ones; empty if the page must be requested again.

        An error of a later page is raised when its link is read.

        Raises:
            ExactError: As ``ExactClient.get`` does.
            PausedError: If the round ended during a wait.
        """
        late, self.error = self.error, None
        if late is not None and url == self._error_at:
            raise late
        self._call.aim_at(feed.path)
        groups: list[_Group] = []
        last: list[Arrived] = []
        following: str | None = url
        client, parse = self._run.connection.client, partial(self._maybe_parsed, schema=schema)
        try:
            while following is not None:
                try:
                    answer = await client.get(self._call, following, partial(parse, following))
                except Exception as error:
                    if not groups:
                        raise
                    self._set_error(error, following)
                    break
                self._run.rounds.count_page()
                self._on_call()
                following = self._add(answer, groups, last, feed, schema)
            read = await self._parsed(groups, schema)
        finally:
            self._drop(groups)
        return read + last if len(read) == sum(len(group.unread) for group in groups) else read

    def _add(
        self,
        answer: Arrived | _Unread,
        groups: list[_Group],
        last: list[Arrived],
        feed: Feed,
        schema: PageSchema,
    ) -> str | None:
        """Add a page to the last group while pages have a link, otherwise to ``last``.

        Returns:
            The link to request next; ``None`` if the pages must be passed on first.
        """
        if isinstance(answer, Arrived):
            last.append(answer)
            return None
        if not groups or groups[-1].pages is not None:
            groups.append(_Group())
        group = groups[-1]
        group.unread.append(answer)
        self._run.unread_bytes.add(len(answer.body))
        is_full = len(group.unread) >= TOGETHER_PAGES or group.bytes >= TOGETHER_BYTES
        if is_full or len(answer.body) >= ALONE_BYTES:
            self._begin_parsing(group, schema)
        return self._following(groups, feed)

    def _begin_parsing(self, group: _Group, schema: PageSchema) -> None:
        """Parse a group, in another thread if it is large and not too many bodies are waiting."""
        bodies = [one.body for one in group.unread]
        parse = partial(parse_pages, bodies, schema, division=self._division)
        is_large = group.bytes >= THREAD_BYTES
        if is_large and self._run.unread_bytes.count < BYTES_OF_ALL:
            group.pages = self._run.connection.in_thread(parse)
        else:
            group.pages = asyncio.get_running_loop().create_future()
            group.pages.set_result(parse())

    def _drop(self, groups: Sequence[_Group]) -> None:
        """Drop bodies that are parsed, or that an error has made useless."""
        for group in groups:
            self._run.unread_bytes.add(-group.bytes)
            if group.pages is not None:
                group.pages.cancel()

    def _set_error(self, error: Exception, url: str) -> None:
        self.error, self._error_at = error, url

    def _maybe_parsed(self, url: str, body: bytes, schema: PageSchema) -> Arrived | _Unread:
        now = self._run.now()
        if self.together and (link := link_of(body)) is not None:
            return _Unread(url, body, link, now)
        return Arrived(self._page(body, schema), now)

    def _page(self, body: bytes, schema: PageSchema) -> Page:
        return parse_page(body, schema, division=self._division, where=self._call.where)

    def _following(self, groups: Sequence[_Group], feed: Feed) -> str | None:
        """The link to request next; ``None`` if the waiting pages must be passed on first."""
        unread = [one for group in groups for one in group.unread]
        if self._are_enough(unread) or self._run.rounds.must_stop():
            return None
        base_url = self._run.connection.client.base_url
        try:
            link = check_next(unread[-1].link, base_url, feed.path, self._division)
        except ContractError:
            return None  # the caller reports the page
        return None if link in {one.url for one in unread} else link

    def _are_enough(self, unread: Sequence[_Unread]) -> bool:
        return (
            len(unread) >= AHEAD_PAGES
            or sum(len(one.body) for one in unread) >= AHEAD_BYTES
            or self._run.unread_bytes.count >= BYTES_OF_ALL
        )

    async def _parsed(self, groups: Sequence[_Group], schema: PageSchema) -> list[Arrived]:
        """The pages that were parsed, up to the first broken one."""
        if groups and groups[-1].pages is None:
            self._begin_parsing(groups[-1], schema)
        read: list[Arrived] = []
        for group in groups:
            pages = None if group.pages is None else await group.pages
            if pages is not None:
                read += map(Arrived, pages, (one.at for one in group.unread))
                continue
            self.together = False
            if not self._read_one_by_one(group.unread, read, schema):
                break
        return read

    def _read_one_by_one(
        self, unread: Sequence[_Unread], read: list[Arrived], schema: PageSchema
    ) -> bool:
        """Parse one group page by page; ``False`` if a page was broken.

        Pages after a broken page or after an unexpected link are requested again.
        """
        for one in unread:
            try:
                read.append(Arrived(self._page(one.body, schema), one.at))
            except BrokenPageError:
                self.error = None
                return False
            except Exception as error:
                if not read:
                    raise
                self._set_error(error, one.url)
                return False
            # The quick search for the link found another one than the parser.
            if read[-1].page.next_url != one.link:
                self.error = None
                return False
        return True
