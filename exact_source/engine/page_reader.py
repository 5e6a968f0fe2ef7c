"""Reads the pages of one chain, one call each; consecutive small pages are parsed together.

Many feeds return 60 rows a page (API 3.2), and parsing one such page alone takes as long as a hundred
further rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..catalogue import Feed
from ..client.call import Call
from ..errors import ContractError
from ..odata.arrow_json import link_of
from ..odata.page import BrokenPageError, Page, PageSchema, parse_page, parse_pages
from ..odata.query import check_next
from .run import Run

# Bytes of the bodies of one stream that wait, of all streams, and of a body that is parsed alone.
TOGETHER_PAGES, TOGETHER_BYTES, BYTES_OF_ALL = 16, 1 << 20, 1 << 25
ALONE_BYTES = TOGETHER_BYTES // 2


@dataclass(frozen=True, slots=True)
class Arrived:
    """A page, and the time of its arrival in seconds since the epoch, UTC."""

    page: Page
    at: float


@dataclass(frozen=True, slots=True)
class _Unread:
    """A body with a link to another page."""

    url: str
    body: bytes
    link: str
    at: float


class PageReader:
    """Reads the pages of one chain.

    Args:
        run: What all streams share.
        call: Calls of the stream.
        division: Code of the division.
        on_call: Called after each response.

    Attributes:
        together: Whether pages are parsed together, until one does not fit.
        error: Error of a later page, until that page is reached.
    """

    def __init__(self, run: Run, call: Call, division: int, on_call: Callable[[], None]) -> None:
        self.together = True
        self.error: Exception | None = None
        self._run = run
        self._call = call
        self._division = division
        self._on_call = on_call
        self._error_at = ""

    async def read(self, url: str, feed: Feed, schema: PageSchema) -> list[Arrived]:
        """The page of a link, and possibly some that follow; none if it must be requested again.

        An error of a later page is raised when its link is read.

        Raises:
            ExactError: As ``ExactClient.get`` does.
            PausedError: If the round ended during a wait.
        """
        late, self.error = self.error, None
        if late is not None and url == self._error_at:
            raise late
        self._call.path = feed.path
        unread: list[_Unread] = []
        last: list[Arrived] = []
        following: str | None = url
        client, parse = self._run.connection.client, partial(self._maybe_parsed, schema=schema)
        try:
            while following is not None:
                try:
                    answer = await client.get(self._call, following, partial(parse, following))
                except Exception as error:
                    if not unread:
                        raise
                    self._keep(error, following)
                    break
                self._run.rounds.count_page()
                self._on_call()
                following = self._add(answer, unread, last, feed)
        finally:
            self._run.unread_bytes.add(-sum(len(one.body) for one in unread))
        read = self._parsed(unread, schema)
        return read + last if len(read) == len(unread) else read

    def _add(
        self, answer: Arrived | _Unread, unread: list[_Unread], last: list[Arrived], feed: Feed
    ) -> str | None:
        """Add a page to ``unread`` while pages are small and have a link, otherwise to ``last``.

        Returns:
            The link to request next; ``None`` if the waiting pages must be parsed first.
        """
        if isinstance(answer, Arrived):
            last.append(answer)
            return None
        unread.append(answer)
        self._run.unread_bytes.add(len(answer.body))
        return self._following(unread, feed)

    def _keep(self, error: Exception, url: str) -> None:
        self.error, self._error_at = error, url

    def _maybe_parsed(self, url: str, body: bytes, schema: PageSchema) -> Arrived | _Unread:
        now = self._run.now()
        if self.together and len(body) < ALONE_BYTES and (link := link_of(body)) is not None:
            return _Unread(url, body, link, now)
        return Arrived(self._page(body, schema), now)

    def _page(self, body: bytes, schema: PageSchema) -> Page:
        return parse_page(body, schema, division=self._division, where=self._call.where)

    def _following(self, unread: Sequence[_Unread], feed: Feed) -> str | None:
        """The link to request next; ``None`` if the waiting pages must be read first."""
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
            len(unread) >= TOGETHER_PAGES
            or sum(len(one.body) for one in unread) >= TOGETHER_BYTES
            or self._run.unread_bytes.count >= BYTES_OF_ALL
        )

    def _parsed(self, unread: Sequence[_Unread], schema: PageSchema) -> list[Arrived]:
        """The pages that were parsed, up to the first broken one."""
        if not unread:
            return []
        pages = parse_pages([one.body for one in unread], schema, division=self._division)
        if pages is None:
            self.together = False
            return self._parsed_one_by_one(unread, schema)
        return [Arrived(page, one.at) for page, one in zip(pages, unread, strict=True)]

    def _parsed_one_by_one(self, unread: Sequence[_Unread], schema: PageSchema) -> list[Arrived]:
        """The same; pages after a broken page or a link that leads elsewhere are requested again."""
        read: list[Arrived] = []
        for one in unread:
            try:
                read.append(Arrived(self._page(one.body, schema), one.at))
            except BrokenPageError:
                self.error = None
                break
            except Exception as error:
                if not read:
                    raise
                self._keep(error, one.url)
                break
            # A link outside of the page, in a reply that only the lenient parser can read.
            if read[-1].page.next_url != one.link:
                self.error = None
                break
        return read
