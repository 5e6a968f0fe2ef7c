"""Faults of a reply: a replacement, or wrong rows and links."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from starlette.responses import Response

from ..http.responses import DroppedResponse, reply
from ..odata.payload import JSON_TYPE, Answer
from .faults import LOGIN_ADDRESS, LOGIN_PAGE, MAINTENANCE_PAGE, Fault

# A text in a row: a property without a type in Atom, a member's value in JSON.
ATOM_TEXT, JSON_TEXT = re.compile(rb"(<d:\w+>)"), re.compile(rb'("(?!uri|type)\w+":")(?![\\/])')
HTML_TYPE = "text/html; charset=utf-8"
REDIRECTION = 3  # hundred
PAGES = {
    "html": (MAINTENANCE_PAGE, 200),
    "html-login": (LOGIN_PAGE, 200),
    "html-401": (LOGIN_PAGE, 401),
}


def replacement(
    at: float, faults: Mapping[str, Fault], headers: Mapping[str, str], elsewhere: str
) -> Response | None:
    """The reply that replaces the correct one, if there is such a fault.

    Args:
        at: Seconds since the epoch.
        faults: Kind -> fault.
        headers: Headers about the limits.
        elsewhere: The call's URL on another host.
    """
    if "drop" in faults:
        return DroppedResponse()
    if page := next((PAGES[kind] for kind in PAGES if kind in faults), None):
        return reply(at, page[0], HTML_TYPE, status=page[1])
    if "foreign-redirect" in faults:
        return reply(at, b"", HTML_TYPE, {"Location": elsewhere}, 302)
    if "empty" in faults:
        return reply(at, b"", JSON_TYPE, headers)
    status = next((f.status for f in faults.values() if f.status), None)
    if status is None:
        return None
    moved = {"Location": LOGIN_ADDRESS} if status // 100 == REDIRECTION else {}
    return reply(at, b"", "text/html", moved, status)


def with_control_character(body: bytes, *, json: bool) -> bytes:
    """A body with a vertical tab, which XML forbids, at the start of one text, as if pasted (API 3.1)."""
    text, mark = (JSON_TEXT, rb"\1\\u000b") if json else (ATOM_TEXT, b"\\1\x0b")
    return text.sub(mark, body, count=1)


def spoil(
    answer: Answer,
    faults: Collection[str],
    division: int,
    urls: tuple[str, str],
    again: int,
) -> Answer:
    """The page with the injected faults.

    Args:
        answer: The correct page.
        faults: Kinds of faults.
        division: Code of the page's division.
        urls: The requested URL, and the same on another host.
        again: A number that differs for each page.
    """
    rows, next_url, (url, elsewhere) = list(answer.rows), answer.next_url, urls
    if "wrong-division" in faults and rows:
        middle = len(rows) // 2
        rows[middle] = {**rows[middle], "Division": division + 1}
    if "duplicate-row" in faults:
        rows += rows[:1]
    if "empty-page" in faults:  # the same page again, under another URL
        rows, next_url = [], f"{url}{'&' if '?' in url else '?'}again={again}"
    if "repeat-next" in faults:
        next_url = url
    if "foreign-next" in faults:
        next_url = elsewhere
    return replace(answer, rows=rows, next_url=next_url)
