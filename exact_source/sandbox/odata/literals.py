"""OData v2 literals in URLs: ``guid'..'``, ``datetime'..'``, ``123L``, ``'it''s'``, ``true``, ``null``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..clock import wall_clock
from ..http.errors import bad_request

TOKEN = re.compile(
    r"""\s*(?:
      (?P<guid>guid'(?P<guid_text>[^']*)')
    | (?P<datetime>datetime'(?P<datetime_text>[^']*)')
    | (?P<string>'(?P<string_text>(?:[^']|'')*)')
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[LlMmDdFf]?)(?![\w.])
    | (?P<name>[A-Za-z_][\w]*)
    | (?P<mark>[(),/])
    )""",
    re.VERBOSE,
)
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
DATETIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?)?(Z?)", re.IGNORECASE
)
NUMERIC = "ihylfm"


class Token(NamedTuple):
    """A piece of an expression: what it is, and its value."""

    kind: str  # guid datetime string number bool null name mark end
    value: Any


END = Token("end", None)


def tokens(text: str) -> list[Token]:
    """Cut an expression into tokens, the last of which is ``END``.

    Raises:
        RefusedError: 400, if some part of it is no token.
    """
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise bad_request()
        found.append(_token(match))
        at = match.end()
    return [*found, END]


def parse_literals(text: str) -> list[Token]:
    """The literals of a ``$skiptoken`` or of a key in parentheses, which commas separate."""
    found = tokens(text)
    values, marks = found[:-1:2], found[1:-1:2]
    good = all(t.kind not in {"name", "mark", "end"} for t in values)
    if not good or len(values) != len(marks) + 1 or any(m.value != "," for m in marks):
        raise bad_request()
    return values


def parse_literal(text: str, letter: str) -> Any:
    """One literal that has to fit a column of type ``letter``."""
    found = parse_literals(text)
    if len(found) != 1:
        raise bad_request()
    return typed(found[0], letter)


def typed(token: Token, letter: str) -> Any:
    """The value of a literal, if it fits a column of type ``letter``."""
    fits = {"g": "guid", "t": "datetime", "s": "string", "b": "bool"}.get(letter, "number")
    if token.kind not in {fits, "null"}:
        raise bad_request()
    return token.value


def format_literal(value: Any, letter: str) -> str:
    """A value as it stands in ``$skiptoken`` and in the key of a URL (API 3.2)."""
    if value is None:
        return "null"
    if letter == "g":
        return f"guid'{value}'"
    if letter == "t":
        return f"datetime'{value.isoformat(timespec='milliseconds')}'"
    if letter in {"s", "x"}:
        quoted = str(value).replace("'", "''")
        return f"'{quoted}'"
    if letter == "b":
        return "true" if value else "false"
    return f"{value}L" if letter == "l" else f"{value}"


def parse_datetime(text: str) -> datetime:
    """``2024-01-31``, ``2024-01-31T12:00`` or with seconds and a fraction; no offset.

    With a ``Z`` it is another moment than the digits say: it is turned into Dutch time (API 3.5).
    """
    match = DATETIME.fullmatch(text)
    if match is None:
        raise bad_request()
    day, minute, second, fraction, is_utc = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}")
    except ValueError:
        raise bad_request() from None
    moment = moment.replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))
    return wall_clock(moment.replace(tzinfo=UTC).timestamp()) if is_utc else moment


def _token(match: re.Match[str]) -> Token:
    kind = str(match.lastgroup)  # the outer group, because it closes last
    text = match[kind]
    if kind == "guid":
        return Token(kind, _guid(match["guid_text"]))
    if kind == "datetime":
        return Token(kind, parse_datetime(match["datetime_text"]))
    if kind == "string":
        return Token(kind, match["string_text"].replace("''", "'"))
    if kind == "number":
        return Token(kind, _number(text))
    if text in {"true", "false"}:
        return Token("bool", text == "true")
    return Token("null", None) if text == "null" else Token(kind, text)


def _guid(text: str) -> str:
    if not GUID.fullmatch(text):
        raise bad_request()
    return text.lower()


def _number(text: str) -> int | float:
    digits = text.rstrip("LlMmDdFf")
    if "." in digits or "e" in digits.lower():
        return float(digits)
    return int(digits)
