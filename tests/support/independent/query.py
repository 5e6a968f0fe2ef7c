"""Queries as Exact parses them: literals, ``$filter``, orders and next links (API 3.2, 3.3, 12.5)."""

from __future__ import annotations

import operator
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from tests.support.independent.clocks import as_text, from_text
from tests.support.independent.company import Row
from tests.support.independent.feeds import Feed

SYNTAX = "Bad Request - Error in query syntax."
UNKNOWN_SELECTED = "Type '{0}' does not have a property named '{1}'."  # API 12.9
UNKNOWN_FILTERED = "No property '{1}' exists in type '{0}' at position 0."  # API 12.9
OPTIONS = [
    "$expand", "$filter", "$orderby", "$inlinecount", "$select", "$top", "$skip", "$skiptoken",
]  # fmt: skip
TOKEN = re.compile(
    r"\s*(?:(?P<quoted>(?:guid|datetime)?'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?L?)"
    r"|(?P<word>\w+)|(?P<sign>[(),]))"
)
COMPARE = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt,
    "le": operator.le,
}  # fmt: skip
BYTES = (10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3)
Test = Callable[[Row], bool]


class Refused(Exception):  # noqa: N818 (a reply, not an error of this program)
    """A reply other than 200."""

    def __init__(self, status: int, text: str = "", **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


@dataclass(frozen=True)
class Guid:
    """Sorted as SQL Server sorts ``uniqueidentifier``: the last six bytes first."""

    text: str

    def sort_key(self) -> tuple[int, ...]:
        raw = uuid.UUID(self.text).bytes_le
        return tuple(raw[i] for i in BYTES)


def options_of(query: str) -> dict[str, str]:
    """Query options, including blank values and options without ``$``."""
    return dict(parse_qsl(query, keep_blank_values=True))


# -- values ----------------------------------------------------------------------------------------


def literal(text: str) -> Any:
    """The value of an OData literal; a GUID becomes a ``Guid``, a date its digits."""
    if text.startswith("guid'"):
        return Guid(text[5:-1].lower())
    if text.startswith("datetime'"):
        return from_text(text[9:-1])
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text in {"true", "false"}:
        return text == "true"
    return float(text) if "." in text else int(text.removesuffix("L"))


def as_literal(value: Any, letter: str) -> str:
    """A value in the form of a skiptoken (API 3.2, 12.5)."""
    if value is None:
        return "null"
    forms = {"g": f"guid'{value}'", "s": f"'{value}'", "l": f"{value}L", "i": str(value)}
    return f"datetime'{as_text(value)}'" if letter == "d" else forms.get(letter, str(value))


def value_of(row: Row, column: str) -> Any:
    return row.version if column == "Timestamp" else row.values.get(column)


def sortable(value: Any, letter: str) -> tuple[bool, Any]:
    """A sort key with nulls first."""
    if value is None:
        return False, 0
    if isinstance(value, Guid):
        return True, value.sort_key()
    return True, Guid(value).sort_key() if letter == "g" else value


# -- $filter ---------------------------------------------------------------------------------------


class Filter:
    """``and``, ``or``, parentheses, and comparisons of a column with a literal."""

    def __init__(self, text: str, feed: Feed) -> None:
        self._feed = feed
        self.columns: set[str] = set()
        self._tokens = _split(text)
        self.test = self._either()
        if self._tokens:
            raise Refused(400, SYNTAX)
        unsupported = self.columns - (feed.filters if feed.filters is not None else self.columns)
        if unsupported:
            names = ", ".join(sorted(unsupported))
            raise Refused(400, f"Filtering on these fields is not supported: {names}")

    def _next(self) -> str:
        if not self._tokens:
            raise Refused(400, SYNTAX)
        return self._tokens.pop(0)

    def _either(self) -> Test:
        test = self._both()
        while self._tokens[:1] == ["or"]:
            self._next()
            test = _any(test, self._both())
        return test

    def _both(self) -> Test:
        test = self._one()
        while self._tokens[:1] == ["and"]:
            self._next()
            test = _all(test, self._one())
        return test

    def _one(self) -> Test:
        column = self._next()
        if column == "(":
            test = self._either()
            if self._next() != ")":
                raise Refused(400, SYNTAX)
            return test
        if column not in self._feed.columns:
            raise Refused(400, UNKNOWN_FILTERED.format(self._feed.type, column))
        self.columns.add(column)
        compare = COMPARE.get(self._next())
        if compare is None:
            raise Refused(400, SYNTAX)
        return _comparison(column, self._feed.columns[column], compare, literal(self._next()))


def _comparison(column: str, letter: str, compare: Callable[..., bool], wanted: Any) -> Test:
    bound = sortable(wanted, letter)

    def test(row: Row) -> bool:
        found = value_of(row, column)
        return found is not None and compare(sortable(found, letter), bound)

    return test


def _all(first: Test, second: Test) -> Test:
    return lambda row: first(row) and second(row)


def _any(first: Test, second: Test) -> Test:
    return lambda row: first(row) or second(row)


def _split(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None:
            raise Refused(400, SYNTAX)
        found.append(match[0].strip())
        at = match.end()
    return found


# -- orders, tokens, links -------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """Columns to sort by; the last one is the key."""

    feed: Feed
    columns: tuple[tuple[str, bool], ...]

    @staticmethod
    def of(feed: Feed, text: str | None, key: str) -> Order:
        found = []
        for part in (text or "").split(","):
            name, _, way = part.strip().partition(" ")
            if name and name not in feed.columns:
                raise Refused(400, UNKNOWN_FILTERED.format(feed.type, name))
            if name:
                found.append((name, way.strip() == "desc"))
        return Order(feed, (*found, (key, False)))

    def sort(self, rows: list[Row]) -> list[Row]:
        for name, falling in reversed(self.columns):
            letter = self.feed.columns[name]
            rows = sorted(rows, key=lambda r: sortable(value_of(r, name), letter), reverse=falling)
        return rows

    def token(self, row: Row) -> str:
        """Values of the columns of the last row (API 12.5)."""
        return ",".join(as_literal(value_of(row, n), self.feed.columns[n]) for n, _ in self.columns)

    def after(self, token: str) -> Test:
        """Whether a row comes after a token."""
        parts = [part for part in _split(token) if part != ","]
        if len(parts) != len(self.columns):
            raise Refused(400, SYNTAX)
        bounds = [
            sortable(None if text == "null" else literal(text), self.feed.columns[name])
            for (name, _), text in zip(self.columns, parts, strict=True)
        ]

        def test(row: Row) -> bool:
            for (name, falling), bound in zip(self.columns, bounds, strict=True):
                found = sortable(value_of(row, name), self.feed.columns[name])
                if found != bound:
                    return bool((found < bound) if falling else (found > bound))
            return False

        return test


def next_link(address: str, options: Mapping[str, str], **changed: str) -> str:
    """The URL of the next page, with literal ``$`` and unescaped quotes (API 12.5)."""
    given = {**options, **{f"${name}": value for name, value in changed.items()}}
    given.pop("$skip", None)  # the token already follows the skipped rows
    named = [name for name in OPTIONS if name in given]
    named = [name for name in given if name not in OPTIONS] + named
    return f"{address}?" + "&".join(f"{n}={quote(given[n], safe=_BARE)}" for n in named)


_BARE = "$',()-*_."
