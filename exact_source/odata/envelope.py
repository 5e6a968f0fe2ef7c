"""The forms in which Exact Online wraps rows (API 3.1), for replies that are parsed value by value."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from ..errors import ContractError
from .lenient import DuplicateKeys, RawNumber, parse_json

BOM = b"\xef\xbb\xbf"
_COUNT = re.compile("[0-9]{1,18}")
Row = dict[str, Any]


class BrokenPageError(ContractError):
    """The reply was damaged or replaced in transit; a new request may help.

    Attributes:
        broken: Always true.
        reason: ``empty``, ``markup`` (HTML or XML), ``json`` (truncated or not JSON), ``encoding``,
            or ``error`` (Exact ended the rows with an error).
    """

    broken = True

    def __init__(
        self, message: str, *, reason: Literal["empty", "markup", "json", "encoding", "error"]
    ) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class Envelope:
    """The content of one reply.

    Attributes:
        rows: The rows.
        next_url: ``__next`` as received; ``None`` on the last page.
        count: ``__count``; ``None`` unless it was requested.
    """

    rows: list[Row]
    next_url: str | None = None
    count: int | None = None


def parse_envelope(body: bytes, fields: Collection[str], where: str) -> Envelope:
    """The rows of a reply as objects, with numbers as text.

    Args:
        body: Body of the reply.
        fields: Fields of the entity. A single object needs at least one of them; empty accepts any.
        where: Entity and division in words, for messages.

    Raises:
        ContractError: If the reply has no known form.
        BrokenPageError: If it is not JSON.
        RecursionError: If it is nested too deeply.
    """
    answer = _parse(body, where)
    if isinstance(answer, dict) and answer.get("error") is not None:
        raise ContractError(f"{where}: Exact Online answered with an error instead of rows")
    if not isinstance(answer, dict) or isinstance(answer, DuplicateKeys) or "d" not in answer:
        raise ContractError(f'{where}: the reply is not of the form {{"d": ...}}')
    found = _unwrap(answer["d"], fields)
    if found is None:
        raise ContractError(f"{where}: the rows are wrapped in an unknown form")
    for row in found.rows:
        if "error" in row and "error" not in fields and isinstance(row["error"], dict):
            message = f"{where}: Exact Online ended the rows with an error"
            raise BrokenPageError(message, reason="error")
    return found


def _parse(body: bytes, where: str) -> Any:
    body = body.removeprefix(BOM).strip()
    if not body:
        raise BrokenPageError(f"{where}: the reply is empty", reason="empty")
    if body.startswith(b"<"):
        message = f"{where}: the reply is HTML or XML instead of JSON"
        raise BrokenPageError(message, reason="markup")
    try:
        return parse_json(body.decode())
    except UnicodeDecodeError:
        raise BrokenPageError(f"{where}: the reply is not UTF-8", reason="encoding") from None
    except ValueError:
        # Raised without its cause, because a traceback would then show the body.
        message = f"{where}: the reply is truncated or not JSON"
        raise BrokenPageError(message, reason="json") from None


def _unwrap(d: Any, fields: Collection[str]) -> Envelope | None:
    if isinstance(d, DuplicateKeys):
        return None
    if isinstance(d, dict) and "results" in d:
        return _collection(d)
    rows = d if isinstance(d, list) else _numbered(d) or _single(d, fields)
    return Envelope(rows) if _are_rows(rows) else None


def _collection(d: Row) -> Envelope | None:
    rows, next_url, count = d["results"], d.get("__next"), d.get("__count")
    is_text = isinstance(next_url, str) and not isinstance(next_url, RawNumber) and next_url
    if d.get("error") is not None or not _are_rows(rows) or not (next_url is None or is_text):
        return None
    number = int(count) if isinstance(count, str) and _COUNT.fullmatch(count) else None
    return Envelope(rows, next_url, number)


def _are_rows(rows: Any) -> TypeGuard[list[Row]]:
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)


def _numbered(d: Any) -> list[Any] | None:
    """The rows of ``{"0": {...}, "1": {...}}``, a JavaScript array written as an object."""
    if not isinstance(d, dict) or d.keys() != {str(i) for i in range(len(d))}:
        return None
    return [d[str(i)] for i in range(len(d))]


def _single(d: Any, fields: Collection[str]) -> list[Row] | None:
    """A single object; functions that return a bare value have no fields, so any name is accepted."""
    if isinstance(d, dict):
        known = "__metadata" in d or not fields or not d.keys().isdisjoint(fields)
        return [d] if d and known else None
    return [{"value": d}] if d is not None and not fields else None
