"""Replies to admitted requests: pages, single rows, counts, functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.support.independent.clocks import ServerClock, digits, utc_offset
from tests.support.independent.company import USER, Company, Row
from tests.support.independent.faults import Fault, Page, spoil_page
from tests.support.independent.feeds import FEEDS, Feed, find_feed
from tests.support.independent.query import (
    SYNTAX,
    UNKNOWN_SELECTED,
    Filter,
    Order,
    Refused,
    literal,
    next_link,
    value_of,
)
from tests.support.independent.replies import csdl, json_row

FORBIDDEN = "Forbidden"
NEEDS_SELECT = "Please add a $select or a $top=1 statement to the query string."
NEEDS_FILTER = (
    "This endpoint has mandatory filtering applied. A GET request for this endpoint must have a "
    "$filter parameter with one of the following fields in the url:"
)
BY_KEY = re.compile(r"(?P<path>[^(]+)\((?P<key>[^)]*)\)(?:/(?P<inner>\w+))?")


@dataclass
class Rules:
    """Choices that the API facts leave open.

    Attributes:
        page: Rows per page of regular feeds.
        large_page: Rows per page of bulk and sync feeds.
        filter_mandatory: ``$filter`` is required for feeds with a list (2.5, 12.2).
        sync_by_key: Sync feeds are ordered by ID instead of ``Timestamp`` (12.6).
        bare_top: ``$top`` up to the page size gives ``{"d": [...]}`` (12.4).
        one_metadata: There is one ``$metadata`` for all services (12.17).
        rights_as_row: ``UserHasRights`` answers with a row instead of the value of an operation.
    """

    page: int = 60
    large_page: int = 1000
    filter_mandatory: bool = False
    sync_by_key: bool = False
    bare_top: bool = True
    one_metadata: bool = False
    rights_as_row: bool = False


@dataclass
class Call:
    """A call in the log; ``fault`` is the kind of the injected fault."""

    at: float
    method: str
    division: int | None
    path: str
    query: str
    status: int = 0
    fault: str = ""


@dataclass
class Ask:
    """A parsed request."""

    url: httpx.URL
    call: Call
    options: dict[str, str]

    @property
    def base(self) -> str:
        """URL of the division."""
        return f"{self.url.scheme}://{self.url.netloc.decode()}/api/v1/{self.call.division}"


class Answers:
    """Answers queries from the companies.

    Args:
        clock: True time.
        companies: Division -> company.
        rules: Open choices.
    """

    def __init__(self, clock: ServerClock, companies: Mapping[int, Company], rules: Rules) -> None:
        self.clock, self.companies, self.rules = clock, companies, rules

    def answer(self, ask: Ask, fault: Fault | None) -> Any:
        """The value of ``d``, or bytes of another kind.

        Raises:
            Refused: If the reply is not 200.
        """
        path = ask.call.path
        if path.endswith("$metadata"):
            return self._metadata(path)
        if path.lower() == "users/userhasrights":
            return self._rights(ask)
        if path.endswith("/$count"):
            return self._count(ask, path.removesuffix("/$count"))
        by_key = BY_KEY.fullmatch(path)
        if by_key is not None:
            return self._by_key(ask, by_key)
        feed = find_feed(path)
        if feed is None:
            raise Refused(404)
        if feed.kind == "function":
            return self._sync_timestamp(ask, feed)
        return self._page(ask, feed, self._rows(ask, feed), f"{ask.base}/{path}", fault)

    def _metadata(self, path: str) -> bytes:
        service = path.removesuffix("$metadata").rstrip("/")
        found = [f for f in FEEDS if f.service.lower() == service.lower() or not service]
        if not found or (not service and not self.rules.one_metadata):
            raise Refused(404)
        return csdl(found)

    def _company(self, ask: Ask) -> Company:
        code = ask.call.division
        return self.companies[code] if code is not None else next(iter(self.companies.values()))

    def _denied(self, company: Company, path: str) -> str | None:
        return next((how for p, how in company.denied.items() if p.lower() == path.lower()), None)

    def _rights(self, ask: Ask) -> Any:
        """Whether the user may read; ``endpoint`` names a feed of any kind (5)."""
        asked = str(literal(ask.options.get("endpoint", "''"))).lower().strip("/")
        denied = {path.lower() for path in self._company(ask).denied}
        kinds = ("", "bulk/", "sync/")
        has = not any(kind + asked in denied or asked in denied for kind in kinds)
        if self.rules.rights_as_row:
            row = {"Action": "GET", "Endpoint": asked, "UserHasRights": has}
            return {"results": [row]}
        return {"UserHasRights": has}

    def _count(self, ask: Ask, path: str) -> bytes:
        feed = find_feed(path)
        if feed is None:
            raise Refused(404)
        return str(len(self._matching(ask, feed, self._rows(ask, feed)))).encode()

    def _by_key(self, ask: Ask, match: re.Match[str]) -> Any:
        feed = find_feed(match["path"])
        wanted = getattr(key := literal(match["key"]), "text", key)
        rows = [] if feed is None else self._rows(ask, feed)
        found = [r for r in rows if feed is not None and value_of(r, feed.key) == wanted]
        if feed is None or not found:
            raise Refused(404)
        if match["inner"]:
            inner = find_feed(feed.expands.get(match["inner"], ""))
            if inner is None:
                raise Refused(404)
            lines = self._lines(ask, inner, str(wanted))
            return self._page(ask, inner, lines, f"{ask.base}/{ask.call.path}", None)
        return self._write(
            ask, feed, found[0], self._selected(ask, feed), f"{ask.base}/{feed.path}"
        )

    def _sync_timestamp(self, ask: Ask, feed: Feed) -> Any:
        """The first row by ``Modified`` of a sync feed (4.3); without one an empty list (a guess)."""
        name = literal(ask.options.get("endPoint", "''"))
        since = ask.options.get("modified", "")
        target = next((f for f in FEEDS if f.endpoint == name), None)
        if target is None or not since:
            raise Refused(400, SYNTAX)
        start = literal(since)
        rows = [r for r in self._rows(ask, target) if (r.values.get("Modified") or 0) >= start]
        rows.sort(key=lambda r: (r.values["Modified"], r.version))
        found = [
            {"Modified": r.values["Modified"], "API": name, "TimeStampAsBigInt": r.version}
            for r in rows[:1]
        ]
        columns = self._selected(ask, feed)
        address = f"{ask.base}/{feed.path}"
        return {"results": [json_row(Row(v, 0), feed, columns, address) for v in found]}

    # -- rows --------------------------------------------------------------------------------------

    def _rows(self, ask: Ask, feed: Feed) -> list[Row]:
        company = self._company(ask)
        if feed.entity == "me":
            return [self._me(company)]
        if feed.entity == "divisions":
            return [_division(c, company.code) for c in self.companies.values()]
        how = self._denied(company, feed.path)
        if how == "403":
            raise Refused(403, FORBIDDEN)
        return [] if how is not None else list(company.rows(feed.entity))

    def _me(self, company: Company) -> Row:
        """``ServerTime`` is Dutch time without zone and fraction (12.1)."""
        now = self.clock.now()
        local = datetime.fromtimestamp(digits(now) // 1000, UTC).replace(tzinfo=None)
        values = {
            "CurrentDivision": company.code, "FullName": "Ann Example", "UserID": USER,
            "UserName": "ann", "LanguageCode": "NL-NL", "ServerTime": local.isoformat(),
            "ServerUtcOffset": utc_offset(now),
        }  # fmt: skip
        return Row(values, 0)

    def _lines(self, ask: Ask, inner: Feed, invoice: str) -> list[Row]:
        rows = self._company(ask).rows(inner.entity)
        return [row for row in rows if row.values["InvoiceID"] == invoice]

    def _matching(self, ask: Ask, feed: Feed, rows: list[Row]) -> list[Row]:
        text = ask.options.get("$filter")
        used = Filter(text, feed) if text is not None else None
        if self.rules.filter_mandatory and feed.mandatory:
            named = used.columns if used is not None else set()
            if not named & feed.mandatory:
                raise Refused(400, NEEDS_FILTER + ",".join(sorted(feed.mandatory)) + ".")
        return [row for row in rows if used is None or used.test(row)]

    def _page(
        self, ask: Ask, feed: Feed, rows: list[Row], address: str, fault: Fault | None
    ) -> Any:
        """One page as the value of ``d`` (3.1, 3.2)."""
        options = ask.options
        selected, top = self._selected(ask, feed), self._top(ask, feed)
        rows = self._matching(ask, feed, rows)
        key = "ID" if feed.kind == "sync" and self.rules.sync_by_key else feed.key
        order = Order.of(feed, options.get("$orderby"), key)
        total, rows = len(rows), order.sort(rows)
        if "$skiptoken" in options:
            rows = [row for row in rows if order.after(options["$skiptoken"])(row)]
        else:
            rows = rows[int(options.get("$skip", 0)) :]
        size = self.rules.page if feed.kind == "regular" else self.rules.large_page
        shown = rows[: size if top is None else min(size, top)]
        link = None
        # A last page that is exactly full has a link to an empty one (3.2).
        if len(shown) == size and (top is None or top > size):
            rest = {} if top is None else {"top": str(top - size)}
            link = next_link(address, options, skiptoken=order.token(shown[-1]), **rest)
        page = self._make_page(ask, feed, selected, shown, link)
        if fault is not None:
            spoil_page(fault, page, ask.url)
        return self._envelope(page, total, options, top)

    def _make_page(
        self, ask: Ask, feed: Feed, selected: list[str], shown: list[Row], link: str | None
    ) -> Page:
        address = f"{ask.base}/{feed.path}"
        text = ask.options.get("$filter")
        used = Filter(text, feed).test if text is not None else lambda _row: True

        def make(row: Row) -> dict[str, Any] | None:
            return self._write(ask, feed, row, selected, address) if used(row) else None

        written = [self._write(ask, feed, row, selected, address) for row in shown]
        return Page(written, shown, link, make, by_version=feed.kind == "sync")

    def _envelope(
        self, page: Page, total: int, options: dict[str, str], top: int | None
    ) -> dict[str, Any] | list[Any]:
        whole = page.next is None and not {"$skiptoken", "$inlinecount"} & options.keys()
        if top is not None and whole and self.rules.bare_top:
            return page.rows
        found: dict[str, Any] = {}
        if options.get("$inlinecount") == "allpages":
            found["__count"] = str(total)
        found["results"] = page.rows
        return found if page.next is None else found | {"__next": page.next}

    def _top(self, ask: Ask, feed: Feed) -> int | None:
        """``$top``; on sync only 0 has an effect (3.2, 12.4)."""
        text = ask.options.get("$top")
        if feed.kind == "bulk" and "$skip" in ask.options:
            raise Refused(400, SYNTAX)  # 3.2
        if text is None or (feed.kind == "sync" and text != "0"):
            return None
        return int(text)

    def _selected(self, ask: Ask, feed: Feed) -> list[str]:
        """Selected columns in the order of the type.

        Raises:
            Refused: 400 for an unknown name, or without a required ``$select`` (12.2, 12.9).
        """
        asked = [name.strip() for name in ask.options.get("$select", "").split(",") if name.strip()]
        one = ask.options.get("$top") == "1" and feed.kind != "bulk"
        if not asked and feed.needs_select and not one:
            raise Refused(400, NEEDS_SELECT)
        known = {*feed.columns, *feed.expands, "*"}
        for name in asked:
            if name.partition("/")[0] not in known:
                raise Refused(400, UNKNOWN_SELECTED.format(feed.type, name))
        own = [n for n in asked if n in feed.columns]
        return (
            [n for n in feed.columns if n in own]
            if asked and "*" not in asked
            else list(feed.columns)
        )

    def _write(
        self, ask: Ask, feed: Feed, row: Row, selected: Sequence[str], address: str
    ) -> dict[str, Any]:
        made = json_row(row, feed, selected, address)
        for name, path in feed.expands.items():
            uri = f"{made['__metadata']['uri']}/{name}"
            asked = _below(ask.options.get("$select", ""), name)
            if name in ask.options.get("$expand", "").split(","):
                inner = find_feed(path)
                assert inner is not None
                lines = self._lines(ask, inner, str(value_of(row, feed.key)))
                made[name] = self._expanded(ask, inner, lines, asked, uri)
            elif "$select" not in ask.options:
                made[name] = {"__deferred": {"uri": uri}}
        return made

    def _expanded(
        self, ask: Ask, inner: Feed, lines: list[Row], asked: Iterable[str], uri: str
    ) -> dict[str, Any]:
        """An expanded collection is paged at 60 rows with a link of its own (12.7)."""
        chosen = set(asked)
        narrow = {"$select": ",".join(n for n in inner.columns if n in chosen)} if chosen else {}
        options = {"$select": ",".join(inner.columns), **narrow}
        found = self._page(replace(ask, options=options), inner, lines, uri, None)
        assert isinstance(found, dict)
        return found


def _below(select: str, name: str) -> list[str]:
    """Columns of a collection in ``$select`` (12.7)."""
    parts = [part.strip().partition("/") for part in select.split(",")]
    return [column for first, _, column in parts if first == name and column]


def _division(company: Company, current: int) -> Row:
    values = {
        "BlockingStatus": company.blocking_status, "Code": company.code, "Country": "NL ",
        "Created": company.created, "Currency": "EUR", "Current": company.code == current,
        "Description": f"Company {company.code}", "DivisionMoveDate": company.move_date,
        "Hid": str(company.code % 100), "Modified": company.modified, "Status": 1,
        "ArchiveDate": None,
    }  # fmt: skip
    return Row(values, 0)
