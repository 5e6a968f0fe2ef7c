"""Faults of a page: rows and links that should not be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from urllib.parse import urlsplit

from .faults import FOREIGN_HOST
from .payload import Answer


def spoil(answer: Answer, faults: Collection[str], division: int, url: str, again: int) -> Answer:
    """The page with the faults that were ordered for it.

    Args:
        answer: The page as it should be.
        faults: Kinds of faults.
        division: Whose page it is.
        url: What was asked for.
        again: A number that no earlier page had.
    """
    rows, next_url = list(answer.rows), answer.next_url
    if "wrong-division" in faults and rows:
        middle = len(rows) // 2
        rows[middle] = {**rows[middle], "Division": division + 1}
    if "duplicate-row" in faults:
        rows += rows[:1]
    if "empty-page" in faults:  # the same place again, under another address
        rows, next_url = [], f"{url}{'&' if '?' in url else '?'}again={again}"
    if "repeat-next" in faults:
        next_url = url
    if "foreign-next" in faults:
        parts = urlsplit(url)
        next_url = f"{FOREIGN_HOST}{parts.path}?{parts.query}"
    return replace(answer, rows=rows, next_url=next_url)
