"""Replies in OData v2 JSON, and the URLs in rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

from ..data.catalogue import Endpoint, Row
from .expansion import Expansion
from .fixed_length import fixed_lengths
from .literals import format_literal
from .next_link import escaped

JSON_TYPE = "application/json;charset=utf-8"
EXACT_INTEGERS = 2**53
EPOCH = datetime.fromisoformat("1970-01-01")
MILLISECOND = timedelta(milliseconds=1)
UNEVEN = frozenset("lmf")  # Int64 as text, doubles without an unnecessary fraction


@dataclass(frozen=True)
class Answer:
    """The rows of one reply and their envelope (API 3.1).

    Attributes:
        columns: Type code of each served column.
        bare: Whether the rows are ``d`` itself, without ``results`` and ``__next``.
        single: Whether the reply is one row, requested by key.
        deferred: Names of collections to which each row has a link.
        references: Names of properties that refer to one row, which are always null.
        expanded: Collections whose rows are part of each row.
    """

    endpoint: Endpoint
    rows: Sequence[Row]
    columns: Mapping[str, str]
    root: str  # http://host/api/v1/123456
    next_url: str | None = None
    count: int | None = None
    bare: bool = False
    single: bool = False
    deferred: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    expanded: tuple[Expansion, ...] = ()

    @cached_property
    def nulls(self) -> dict[str, None]:
        """A row without values, in the order of the columns."""
        return dict.fromkeys((*self.columns, *self.references))

    @cached_property
    def uneven(self) -> list[str]:
        """The columns whose values differ between JSON and Python; dates are converted later."""
        return [column for column, type_code in self.columns.items() if type_code in UNEVEN]

    @cached_property
    def lengths(self) -> dict[str, int]:
        """The length of each padded column."""
        return fixed_lengths(self.endpoint, self.columns)

    def text(self, column: str, value: Any) -> Any:
        """A value with the spaces that Exact appends."""
        is_short = column in self.lengths and isinstance(value, str)
        return value.ljust(self.lengths[column]) if is_short else value


def address(root: str, endpoint: Endpoint, row: Row) -> str:
    """The URL of a single row; a composite key names its columns, as in WCF."""
    path = f"{root}/{endpoint.path.removeprefix('beta/')}"
    columns = row_columns(endpoint)
    parts = [format_literal(row.get(c), endpoint.columns.get(c, "s")) for c in columns]
    if len(columns) > 1:
        parts = [f"{column}={part}" for column, part in zip(columns, parts, strict=True)]
    return f"{path}({quote(','.join(parts), safe=chr(39) + ',=')})"


def row_columns(endpoint: Endpoint) -> tuple[str, ...]:
    """The columns whose values are in the URL of a row; in a sync feed the row version."""
    return ("Timestamp",) if endpoint.kind == "sync" else endpoint.key


def render_json(answer: Answer) -> bytes:
    """The body of a successful reply."""
    return dump({"d": _envelope(answer, [entry(answer, row) for row in answer.rows])})


def expanded_of(answer: Answer, row: Row) -> list[tuple[str, Answer]]:
    """The rows of the expanded collections of a row, by the name of the collection."""
    found = []
    uri = address(answer.root, answer.endpoint, row) if answer.expanded else ""
    for expansion in answer.expanded:
        page = expansion.pages[row.get(answer.endpoint.key[0])]
        endpoint = expansion.endpoint or answer.endpoint  # without rows, the columns do not matter
        inner = Answer(endpoint, page.rows, expansion.columns, answer.root)
        if page.skiptoken is not None:
            inner = replace(inner, next_url=_nested_next(uri, expansion, page.skiptoken))
        found.append((expansion.name, inner))
    return found


def _nested_next(uri: str, expansion: Expansion, skiptoken: str) -> str:
    """The URL of the next page of one row's collection (API 12.7)."""
    select = f"$select={','.join(expansion.select)}&" if expansion.select else ""
    return f"{uri}/{expansion.name}?{select}$skiptoken={escaped(skiptoken)}"


def entry(answer: Answer, row: Row) -> dict[str, Any]:
    """A row with its metadata, its expanded collections, and links to the others."""
    uri = address(answer.root, answer.endpoint, row)
    out: dict[str, Any] = {"__metadata": {"uri": uri, "type": answer.endpoint.model}}
    out.update(answer.nulls)
    out |= {column: value for column, value in row.items() if column in answer.columns}
    for column in answer.uneven:
        out[column] = json_value(out[column], answer.columns[column])
    for column in answer.lengths:
        out[column] = answer.text(column, out[column])
    for name, inner in expanded_of(answer, row):
        out[name] = _envelope(inner, [entry(inner, line) for line in inner.rows])
    for name in answer.deferred:
        out[name] = {"__deferred": {"uri": f"{uri}/{name}"}}
    return out


def json_value(value: Any, type_code: str) -> Any:
    """A value in JSON (API 3.4, 3.5); a value that does not fit its column is unchanged."""
    if isinstance(value, datetime):
        return f"/Date({milliseconds(value)})/"
    if isinstance(value, bool) or value is None:
        return value
    if type_code == "l" and isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_INTEGERS:
        return int(value)
    return value


def milliseconds(moment: datetime) -> int:
    """A wall-clock time in milliseconds as if it were UTC, which Exact calls "CET time" (API 3.5)."""
    return (moment - EPOCH) // MILLISECOND


def dump(body: Any) -> bytes:
    """JSON with escaped slashes in dates, as in .NET."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_date)
    return text.replace('"/Date(', '"\\/Date(').replace(')/"', ')\\/"').encode()


def _date(value: Any) -> Any:
    if isinstance(value, datetime):
        return json_value(value, "t")
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def error_json(text: str) -> bytes:
    """The body of a refusal (API 6.1)."""
    return dump({"error": {"code": "", "message": {"lang": "", "value": text}}})


def _envelope(answer: Answer, entries: list[dict[str, Any]]) -> Any:
    if answer.single:
        return entries[0]
    if answer.bare and answer.count is None:
        return entries
    envelope: dict[str, Any] = {} if answer.count is None else {"__count": str(answer.count)}
    envelope["results"] = entries
    if answer.next_url is not None:
        envelope["__next"] = answer.next_url
    return envelope
