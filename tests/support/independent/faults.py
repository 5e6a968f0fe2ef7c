"""Faults between Exact and a client, on request or at random.

The lists below name the kinds of faults.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.independent.company import Row

LOGIN_PAGE = (
    '<html><head><title>Object moved</title></head><body><h2>Object moved to <a href="/docs/'
    'Login.aspx?ReturnUrl=%2fapi%2fv1%2fcurrent%2fMe">here</a>.</h2></body></html>'
)
# No reply, or a reply that ends too soon or cannot be decompressed.
LINE_FAULTS = ("drop", "timeout", "cut", "gzip")
# A status without useful content (API 6.2).
STATUS_FAULTS = ("408", "429-minute", "429-day", "429-bare", "500", "502", "503", "599", "html")
REFUSALS = ("400", "401", "403", "404")
# A page that does not match the request (API 6.5, 6.6).
PAGE_FAULTS = (
    "next-host", "next-division", "next-endpoint", "next-loop", "foreign-row", "error-row", "twin",
    "old-then-new", "new-then-old", "extra-column",
)  # fmt: skip
SIZE_FAULTS = ("huge", "bomb")  # beyond any limit of Exact's (API 2.4: 38 MB)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: One of the kinds above.
        on: Part of the path to which it applies; empty for any path.
        size: Number of bytes of an oversized reply.
    """

    kind: str
    on: str = ""
    size: int = 70_000_000


@dataclass
class Faults:
    """Requested faults and random faults.

    Attributes:
        rate: Fraction of calls that get one of ``kinds``.
        in_a_row: Number of consecutive random faults after which a call succeeds, so that retries help.
    """

    queue: deque[Fault] = field(default_factory=deque)
    rate: float = 0.0
    kinds: Sequence[str] = LINE_FAULTS
    in_a_row: int = 2
    random: random.Random = field(default_factory=lambda: random.Random(0))
    _streak: int = 0

    def add(self, kind: str, on: str = "", times: int = 1, size: int = 70_000_000) -> None:
        self.queue.extend([Fault(kind, on, size)] * times)

    def take(self, path: str) -> Fault | None:
        for fault in self.queue:
            if fault.on in path:
                self.queue.remove(fault)
                return fault
        if self.rate and self._streak < self.in_a_row and self.random.random() < self.rate:
            self._streak += 1
            return Fault(self.random.choice(self.kinds))
        self._streak = 0
        return None


@dataclass
class Page:
    """The content of a reply before serialization.

    Attributes:
        rows: As JSON objects.
        states: The row state behind each object.
        next: URL of the next page.
        make: Converts a state to a JSON object, or to ``None`` if the query excludes it.
        by_version: Whether ``Timestamp`` instead of ``Modified`` shows which state of a row is newer.
    """

    rows: list[dict[str, Any]]
    states: list[Row]
    next: str | None
    make: Callable[[Row], dict[str, Any] | None]
    by_version: bool = False


def spoil_line(fault: Fault, request: httpx.Request) -> None:
    """Raise the httpx error for a missing reply."""
    if fault.kind == "drop":
        raise httpx.RemoteProtocolError("server disconnected", request=request)
    if fault.kind == "timeout":
        raise httpx.ReadTimeout("no reply", request=request)


def spoil_page(fault: Fault, page: Page, asked: httpx.URL) -> None:
    """Change a page in place."""
    if fault.kind.startswith("next-"):
        page.next = wrong_link(fault.kind, str(asked))
    elif not page.rows:
        return
    elif fault.kind == "foreign-row" and "Division" in page.rows[-1]:
        page.rows[-1] = {**page.rows[-1], "Division": 999_999}
    elif fault.kind == "error-row":
        page.rows[-1] = {"error": {"code": "", "message": {"lang": "", "value": "Timeout"}}}
    elif fault.kind == "extra-column":
        page.rows = [{**row, "Tomorrow": "x"} for row in page.rows]
    elif fault.kind == "twin":
        page.rows.append(dict(page.rows[0]))
    elif fault.kind in {"old-then-new", "new-then-old"}:
        add_older_states(page, first=fault.kind == "old-then-new")


def add_older_states(page: Page, *, first: bool) -> None:
    """Show changed rows twice, with the older state before or after the newer one."""
    older = [
        s.before for s in page.states if s.before and (page.by_version or is_older(s.before, s))
    ]
    shown = [made for state in older if (made := page.make(state)) is not None]
    page.rows = [*shown, *page.rows] if first else [*page.rows, *shown]


def is_older(before: Row, now: Row) -> bool:
    """Whether ``Modified`` shows which state is newer; otherwise a client cannot know."""
    then = before.values.get("Modified")
    return then is not None and bool(then < now.values["Modified"])


def wrong_link(kind: str, asked: str) -> str:
    if kind == "next-loop":
        return asked
    address, _, query = asked.partition("?")
    parts = address.split("/")  # scheme, "", host, "api", "v1", division, ...
    if kind == "next-host":
        parts[2] = "evil.example"
    elif kind == "next-division":
        parts[5] = "999999"
    else:
        parts[-1] = "DirectDebitMandates"
    return "/".join(parts) + "?" + query
