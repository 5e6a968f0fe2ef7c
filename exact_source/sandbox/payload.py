"""Answers in OData v2 JSON, and the addresses that rows carry."""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from .catalogue import LINES, Endpoint, Row
from .literals import format_literal

JSON_TYPE = "application/json;charset=utf-8"
EXACT_INTEGERS = 2**53


@dataclass(frozen=True)
class Answer:
    """The rows of one answer and the envelope they go into (API 3.1).

    Attributes:
        columns: Type letter of each column that is served.
        bare: Whether the rows are ``d`` itself, without ``results`` and ``__next``.
        single: Whether the answer is one row, asked for by key.
        lines: Expanded lines by index of the row, with the endpoint they come from.
    """

    endpoint: Endpoint
    rows: Sequence[Row]
    columns: Mapping[str, str]
    root: str  # http://host/api/v1/123456
    next_url: str | None = None
    count: int | None = None
    bare: bool = False
    single: bool = False
    deferred: bool = False
    lines: tuple[Endpoint, Sequence[Sequence[Row]]] | None = None


def address(root: str, endpoint: Endpoint, row: Row) -> str:
    """Where a single row can be read."""
    path = f"{root}/{endpoint.path.removeprefix('beta/')}"
    if endpoint.kind == "sync" and row.get("Timestamp") is not None:
        return f"{path}({row['Timestamp']}L)"
    parts = [format_literal(row.get(c), endpoint.columns.get(c, "s")) for c in endpoint.key]
    return f"{path}({quote(','.join(parts), safe=chr(39) + ',')})"


def render_json(answer: Answer) -> bytes:
    """The body of a successful answer."""
    entries = [entry(answer, row) for row in answer.rows]
    if answer.lines is not None:
        endpoint, groups = answer.lines
        for whole, rows in zip(entries, groups, strict=True):
            inner = Answer(endpoint, rows, endpoint.columns, answer.root)
            whole[endpoint.name] = {"results": [entry(inner, row) for row in rows]}
    return dump({"d": _envelope(answer, entries)})


def entry(answer: Answer, row: Row) -> dict[str, Any]:
    """A row with its metadata, and a link to the lines that were not asked for."""
    uri = address(answer.root, answer.endpoint, row)
    out: dict[str, Any] = {"__metadata": {"uri": uri, "type": answer.endpoint.model}}
    for column, letter in answer.columns.items():
        out[column] = json_value(row.get(column), letter)
    if answer.deferred and answer.endpoint.entity in LINES:
        name = LINES[answer.endpoint.entity][0]
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
    return calendar.timegm(moment.timetuple()) * 1000 + moment.microsecond // 1000


def dump(body: Any) -> bytes:
    """JSON in which the slashes of dates are escaped, as .NET writes them."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.replace('"/Date(', '"\\/Date(').replace(')/"', ')\\/"').encode()


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
