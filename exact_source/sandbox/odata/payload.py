"""Answers in OData v2 JSON, and the addresses that rows carry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

from ..data.catalogue import Endpoint, Row
from .expansion import Expansion
from .literals import format_literal

JSON_TYPE = "application/json;charset=utf-8"
EXACT_INTEGERS = 2**53
EPOCH = datetime.fromisoformat("1970-01-01")
MILLISECOND = timedelta(milliseconds=1)
UNEVEN = frozenset("lmf")  # Int64 as a text, doubles without a needless fraction


@dataclass(frozen=True)
class Answer:
    """The rows of one answer and the envelope they go into (API 3.1).

    Attributes:
        columns: Type letter of each column that is served.
        bare: Whether the rows are ``d`` itself, without ``results`` and ``__next``.
        single: Whether the answer is one row, asked for by key.
        deferred: Names of collections of which each row carries a link.
        expanded: Collections whose rows each row carries.
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
    expanded: tuple[Expansion, ...] = ()

    @cached_property
    def nulls(self) -> dict[str, None]:
        """A row without values, in the order of the columns."""
        return dict.fromkeys(self.columns)

    @cached_property
    def uneven(self) -> list[str]:
        """The columns whose values are not the same in JSON as in Python; dates are seen to later."""
        return [column for column, letter in self.columns.items() if letter in UNEVEN]


def address(root: str, endpoint: Endpoint, row: Row) -> str:
    """Where a single row can be read."""
    path = f"{root}/{endpoint.path.removeprefix('beta/')}"
    columns = row_columns(endpoint)
    parts = [format_literal(row.get(c), endpoint.columns.get(c, "s")) for c in columns]
    return f"{path}({quote(','.join(parts), safe=chr(39) + ',')})"


def row_columns(endpoint: Endpoint) -> tuple[str, ...]:
    """The columns whose values stand in the address of a row; of a sync feed it is the version."""
    return ("Timestamp",) if endpoint.kind == "sync" else endpoint.key


def render_json(answer: Answer) -> bytes:
    """The body of a successful answer."""
    return dump({"d": _envelope(answer, [entry(answer, row) for row in answer.rows])})


def expanded_of(answer: Answer, row: Row) -> list[tuple[str, Answer]]:
    """The rows that a row carries along, by the name of their collection."""
    owner = row.get(answer.endpoint.key[0]) if answer.expanded else None
    return [
        (name, Answer(endpoint, rows[owner], endpoint.columns, answer.root))
        for name, endpoint, rows in answer.expanded
    ]


def entry(answer: Answer, row: Row) -> dict[str, Any]:
    """A row with its metadata, the collections it carries, and links to the others."""
    uri = address(answer.root, answer.endpoint, row)
    out: dict[str, Any] = {"__metadata": {"uri": uri, "type": answer.endpoint.model}}
    out.update(answer.nulls)
    out |= {column: value for column, value in row.items() if column in answer.columns}
    for column in answer.uneven:
        out[column] = json_value(out[column], answer.columns[column])
    for name, inner in expanded_of(answer, row):
        out[name] = {"results": [entry(inner, line) for line in inner.rows]}
    for name in answer.deferred:
        out[name] = {"__deferred": {"uri": f"{uri}/{name}"}}
    return out


def json_value(value: Any, letter: str) -> Any:
    """A value as JSON carries it; one that does not fit its column goes out as it is (API 3.4, 3.5)."""
    if isinstance(value, datetime):
        return f"/Date({milliseconds(value)})/"
    if isinstance(value, bool) or value is None:
        return value
    if letter == "l" and isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_INTEGERS:
        return int(value)
    return value


def milliseconds(moment: datetime) -> int:
    """Wall-clock digits counted as if they were UTC: what Exact means by "CET time" (API 3.5)."""
    return (moment - EPOCH) // MILLISECOND


def dump(body: Any) -> bytes:
    """JSON in which the slashes of dates are escaped, as .NET writes them."""
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
