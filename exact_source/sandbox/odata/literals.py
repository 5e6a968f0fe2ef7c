"""OData v2 literals in URLs: ``guid'..'``, ``datetime'..'``, ``123L``, ``'it''s'``, ``true``, ``null``."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    | (?P<mark>[(),/=])
    )""",
    re.VERBOSE,
)
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
DATETIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?)?(Z?)", re.IGNORECASE
)
NUMERIC = "ihylfm"
LITERALS = frozenset({"guid", "datetime", "string", "number", "bool", "null"})


class Token(NamedTuple):
    """A piece of an expression.

    Attributes:
        kind: ``guid datetime string number bool null name mark`` or ``end``.
        at: Index of its first character in the expression.
    """

    kind: str
    value: Any
    at: int = 0

    def matches(self, kind: str, value: Any = None) -> bool:
        """Whether this is the expected name, mark or end."""
        return (self.kind, self.value) == (kind, value)


def tokens(text: str) -> list[Token]:
    """Split an expression into tokens; the last one has the kind ``end``.

    Raises:
        RefusedError: 400, if a part of the text is not a token.
    """
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise bad_request()
        found.append(_token(match))
        at = match.end()
    return [*found, Token("end", None, at)]


def parse_literals(text: str) -> list[Token]:
    """Parse the literals of a ``$skiptoken``, which are separated by commas.

    Raises:
        RefusedError: 400, if the text is anything else.
    """
    parts = _key_parts(text)
    if any(name is not None for name, _ in parts):
        raise bad_request()
    return [value for _, value in parts]


def parse_key(text: str, columns: Sequence[str]) -> list[Token]:
    """Parse the key in the parentheses of a URL; returns the values in the order of ``columns``.

    A composite key names its columns (``Journal='70',Period=1,Year=2026``), as in WCF; a key of one column
    may do so.

    Raises:
        RefusedError: 400, if the key has other columns.
    """
    parts = _key_parts(text)
    if len(columns) == 1 and len(parts) == 1 and parts[0][0] is None:
        return [parts[0][1]]
    named = {name: value for name, value in parts if name is not None}
    if len(parts) != len(columns) or named.keys() != set(columns):
        raise bad_request()
    return [named[column] for column in columns]


def _key_parts(text: str) -> list[tuple[str | None, Token]]:
    """Literals between commas, each with its name, if any."""
    parts: list[list[Token]] = [[]]
    for token in tokens(text)[:-1]:
        if token.matches("mark", ","):
            parts.append([])
        else:
            parts[-1].append(token)
    return [_key_part(part) for part in parts]


def _key_part(part: list[Token]) -> tuple[str | None, Token]:
    match part:
        case [value] if value.kind in LITERALS:
            return None, value
        case [Token("name", name), Token("mark", "="), value] if value.kind in LITERALS:
            return name, value
    raise bad_request()


def parse_literal(text: str, type_code: str) -> Any:
    """Parse one literal, which must be valid for a column of type ``type_code``."""
    found = parse_literals(text)
    if len(found) != 1:
        raise bad_request()
    return typed(found[0], type_code)


def typed(token: Token, type_code: str) -> Any:
    """The value of a literal, if it is valid for a column of type ``type_code``."""
    fits = {"g": "guid", "t": "datetime", "s": "string", "b": "bool"}.get(type_code, "number")
    if token.kind not in {fits, "null"}:
        raise bad_request()
    return token.value


def format_literal(value: Any, type_code: str) -> str:
    """Format a value for a ``$skiptoken`` or the key of a URL (API 3.2, 12.5)."""
    if value is None:
        return "null"
    if type_code == "g":
        return f"guid'{value}'"
    if type_code == "t":
        return f"datetime'{iso_digits(value)}'"
    if type_code in {"s", "x"}:
        quoted = str(value).replace("'", "''")
        return f"'{quoted}'"
    if type_code == "b":
        return "true" if value else "false"
    return f"{value}L" if type_code == "l" else f"{value}"


def iso_digits(moment: datetime) -> str:
    """Format a time as Exact does: without a zone, and with a fraction only if it has one (API 12.5)."""
    fraction = f".{moment.microsecond // 1000:03d}".rstrip("0") if moment.microsecond else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction


def parse_datetime(text: str) -> datetime:
    """Parse ``2024-01-31``, ``2024-01-31T12:00``, or the same with seconds and a fraction; no offset.

    A ``Z`` means UTC, so the time is converted to Dutch time (API 3.5).
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
    text, at = match[kind], match.start(kind)
    if kind == "guid":
        return Token(kind, _guid(match["guid_text"]), at)
    if kind == "datetime":
        return Token(kind, parse_datetime(match["datetime_text"]), at)
    if kind == "string":
        return Token(kind, match["string_text"].replace("''", "'"), at)
    if kind == "number":
        return Token(kind, _number(text), at)
    if text in {"true", "false"}:
        return Token("bool", text == "true", at)
    return Token("null", None, at) if text == "null" else Token(kind, text, at)


def _guid(text: str) -> str:
    if not GUID.fullmatch(text):
        raise bad_request()
    return text.lower()


def _number(text: str) -> int | float:
    digits = text.rstrip("LlMmDdFf")
    if "." in digits or "e" in digits.lower():
        return float(digits)
    return int(digits)
