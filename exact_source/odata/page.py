"""Parses the bytes of a reply of Exact Online into a typed Arrow table.

``parse_page`` reads the body with ``pyarrow.json`` and an explicit schema (``arrow_json``), without a Python
object per value. A page that does not match the schema (an unknown field, a string instead of a number) is
parsed again value by value: all of its rows are kept, and values that fit no column go to ``_extra``, a JSON
object per row. A reply of unknown form (API 3.1) raises ``ContractError``; it is never treated as empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ContractError
from . import arrow_json, columns, envelope, lenient
from .envelope import BrokenPageError
from .page_schema import PageSchema
from .parsed_page import Extras, PageMeta, Parsed, Surprise, counted, named

__all__ = [
    "EXTRA",
    "BrokenPageError",
    "Page",
    "PageSchema",
    "Surprise",
    "concat",
    "max_of",
    "parse_page",
    "parse_pages",
]

EXTRA = "_extra"

Row = dict[str, Any]
Rows = list[Row]


@dataclass(slots=True)
class Page:
    """One parsed reply.

    Attributes:
        table: The rows: columns of ``PageSchema.arrow``, then ``_extra`` if a row needs it.
        next_url: ``__next`` as received; ``None`` on the last page.
        count: ``__count``; ``None`` unless it was requested.
        surprises: Differences from the catalogue.
    """

    table: pa.Table
    next_url: str | None
    count: int | None
    surprises: tuple[Surprise, ...]


def parse_page(body: bytes, schema: PageSchema, *, division: int, where: str) -> Page:
    """The rows of one reply.

    Args:
        body: Decompressed body.
        schema: Fields that were selected.
        division: Code of the requested division; every row must belong to it (API 6.5).
        where: Entity and division in words, for messages.

    Raises:
        ContractError: If the reply is not a page of this entity and division.
        BrokenPageError: The same, but the fault may be temporary (empty, truncated, HTML).
    """
    if arrow_json.EMPTY.fullmatch(body):
        return Page(schema.no_rows, None, None, ())
    try:
        found = arrow_json.read([body], schema) or _parse_slow(body, schema, where)
        (page,) = _pages(found, schema, division, where)
    except RecursionError:
        message = f"{where}: the reply is nested too deeply"
        raise BrokenPageError(message, reason="json") from None
    return page


def parse_pages(bodies: Sequence[bytes], schema: PageSchema, *, division: int) -> list[Page] | None:
    """The rows of several replies, parsed together; ``None`` if one of them must be parsed alone.

    Args:
        bodies: Decompressed bodies, of one feed of one division.
        schema: Fields that were selected.
        division: Code of the requested division.
    """
    try:
        found = arrow_json.read(bodies, schema)
        return None if found is None or found.surprises else _pages(found, schema, division, "")
    except (ContractError, pa.ArrowException, RecursionError):
        return None


def _pages(found: Parsed, schema: PageSchema, division: int, where: str) -> list[Page]:
    extra = _format(found)
    divisions = _divisions(found, schema, division, where)
    for field in schema.hashed:
        found.arrays[field] = schema.guard.hash(found.arrays[field])
    kept = [array for field, array in found.arrays.items() if field != "Division"]
    utc = [columns.instants(found.arrays[field]) for field in schema.utc]
    raw = [found.raw[field] for field in schema.raw]
    table = pa.Table.from_arrays([divisions, *kept, *utc, *raw], schema=schema.arrow)
    if extra is not None:
        table = table.append_column(EXTRA, extra)
    nulls = counted(("null key", field, found.arrays[field].null_count) for field in schema.key)
    surprises = (*found.surprises, *nulls)
    pages, first = [], 0
    for answer in found.answers:
        rows = table if answer.rows == table.num_rows else table.slice(first, answer.rows)
        pages.append(Page(rows, answer.next_url, answer.count, surprises))
        first += answer.rows
    return pages


def _format(found: Parsed) -> pa.Array | None:
    """The column ``_extra``; ``None`` if no row needs it."""
    if not found.extras:
        return None
    objects = (found.extras.get(row) for row in range(found.rows))
    return pa.array([left and lenient.format_json(left) for left in objects], pa.string())


def _parse_slow(body: bytes, schema: PageSchema, where: str) -> Parsed:
    """The page, converted value by value."""
    found = envelope.parse_envelope(body, schema.entity.columns.keys(), where)
    extras, surprises = _leftovers(found.rows, schema)
    arrays: dict[str, pa.Array] = {}
    raw: dict[str, pa.Array] = {}
    for field, column in schema.columns.items():
        values = [row.get(field) for row in found.rows]
        array, lost = lenient.fitted(column.type_code, values)
        arrays[field] = columns.codes(array) if field in schema.codes else array
        raw |= {field: array} if field in schema.raw else {}
        for row in () if field in schema.guard.fields else lost:
            extras.setdefault(row, {})[field] = values[row]
        empty = sum(array[row].as_py() is None for row in lost)
        surprises += counted([("misfit", field, empty), ("rounded", field, len(lost) - empty)])
    unusable = {s.column for s in surprises if s.kind == "misfit"}
    if unusable & {"Division", schema.own_division}:
        raise ContractError(f"{where}: the division of a row is not a number")
    meta = PageMeta(len(found.rows), found.next_url, found.count)
    return Parsed(arrays, raw, [meta], extras, surprises)


def _leftovers(rows: Rows, schema: PageSchema) -> tuple[Extras, list[Surprise]]:
    """Values without a column: fields that were not selected, and repeated fields."""
    extras: Extras = {}
    unknown: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for number, row in enumerate(rows):
        twice = row.repeated if isinstance(row, lenient.DuplicateKeys) else {}
        left = {f: v for f, v in row.items() if v is not None and arrow_json.is_left(f, v, schema)}
        unknown.update(left.keys())
        repeated.update(twice.keys())
        left |= {
            f: v for f, v in twice.items() if f in schema.columns and f not in schema.guard.fields
        }
        if left:
            extras[number] = left
    return extras, [
        *named("unknown", unknown),
        *named("repeated", repeated),
    ]


def _divisions(found: Parsed, schema: PageSchema, division: int, where: str) -> pa.Array:
    """The column ``division``, after checking that no row belongs to another division."""
    if schema.own_division is not None:
        own = found.arrays[schema.own_division].cast(pa.int32())
        if own.null_count:
            raise ContractError(f"{where}: a row has no division ({schema.own_division})")
        return own
    if (sent := found.arrays.get("Division")) is not None:
        ends = pc.min_max(sent).as_py()
        if not {ends["min"], ends["max"]} <= {None, division}:
            raise ContractError(f"{where}: a row belongs to another division; the page was refused")
    return pa.repeat(pa.scalar(division, pa.int32()), found.rows)


def max_of(table: pa.Table, column: str) -> Any:
    """The largest value of a column as a Python object; ``None`` if the column has no values."""
    return pc.max(table[column]).as_py()


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Pages of one schema as one table; ``_extra`` comes last if one of them has it."""
    return pa.concat_tables(tables, promote_options="default")
