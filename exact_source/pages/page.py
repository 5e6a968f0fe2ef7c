"""The bytes of one answer of Exact Online, as a typed Arrow table.

``parse_page`` reads the body with ``pyarrow.json`` and an explicit schema, so that no Python object
is made per value. A page that does not fit the schema (an unknown field, a string where a number
was promised) is read once more value by value: its rows are all kept, and what has no place in a
column goes into ``_extra``, a JSON object per row. An answer of no known form (API 3.1) raises
``ContractError``; it is never an empty page.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from ..errors import ContractError
from . import columns, envelope, misfits
from .envelope import BrokenPageError
from .schema import PageSchema

__all__ = [
    "EXTRA",
    "BrokenPageError",
    "Page",
    "PageSchema",
    "Surprise",
    "concat",
    "max_of",
    "parse_page",
]

EXTRA = "_extra"
# Up to the first row. The names in front of "results" have plain values: __next, __count.
_COLLECTION = re.compile(rb'\s*\{\s*"d"\s*:\s*(?:(\[)|\{[^][{}]*?"results"\s*:\s*\[)\s*')
_DECODER = json.JSONDecoder(strict=False)
_FIRST_ROW_BYTES = 1 << 14

SurpriseKind = Literal["unknown", "misfit", "rounded", "repeated", "null key"]
Row = dict[str, Any]
Rows = list[Row]
Extras = dict[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Surprise:
    """Something on a page that the catalogue does not promise; it never holds a value.

    Attributes:
        kind: ``unknown``: a field that was not asked for, kept in ``_extra``; ``misfit``: null in
            the column, the value is in ``_extra``; ``rounded``: the column holds less than was
            sent, the value is in ``_extra``; ``repeated``: a row had the field twice, the column
            holds the last value; ``null key``: rows without this part of their key.
        column: Exact's name of the field.
        rows: How many rows.
    """

    kind: SurpriseKind
    column: str
    rows: int


@dataclass(slots=True)
class Page:
    """One answer.

    Attributes:
        table: The rows: columns of ``PageSchema.arrow``, then ``_extra`` if a row needs it.
        next_url: ``__next`` as it was given; ``None`` on the last page.
        count: ``__count``; ``None`` unless it was asked for.
        surprises: What did not fit.
    """

    table: pa.Table
    next_url: str | None
    count: int | None
    surprises: tuple[Surprise, ...]


def parse_page(body: bytes, schema: PageSchema, *, division: int, where: str) -> Page:
    """The rows of one answer.

    Args:
        body: As it came, decompressed.
        schema: What was asked for.
        division: The company that was asked; every row must be of it (API 6.5).
        where: Entity and division in words, for messages.

    Raises:
        ContractError: It is no page of this entity and division.
        BrokenPageError: The same, but asking again may help (empty, cut off, HTML).
    """
    try:
        page = _parse_fast(body, schema) or _parse_slow(body, schema, where)
        extra = _format(page)
    except RecursionError:
        message = f"{where}: the answer is nested too deeply"
        raise BrokenPageError(message, reason="json") from None
    divisions = _divisions(page, schema, division, where)
    kept = [array for field, array in page.arrays.items() if field != "Division"]
    utc = [columns.instants(page.arrays[field]) for field in schema.utc]
    raw = [page.raw[field] for field in schema.raw]
    table = pa.Table.from_arrays([divisions, *kept, *utc, *raw], schema=schema.arrow)
    if extra is not None:
        table = table.append_column(EXTRA, extra)
    nulls = _counted(("null key", field, page.arrays[field].null_count) for field in schema.key)
    return Page(table, page.next_url, page.count, (*page.surprises, *nulls))


@dataclass(slots=True)
class _Parsed:
    """The columns of a page under Exact's names, not yet a table; ``raw``: codes as they came."""

    arrays: dict[str, pa.Array]
    raw: dict[str, pa.Array]
    rows: int
    next_url: str | None
    count: int | None
    extras: Extras
    surprises: list[Surprise]


def _format(page: _Parsed) -> pa.Array | None:
    """The column ``_extra``; ``None`` if no row needs it."""
    if not page.extras:
        return None
    objects = (page.extras.get(row) for row in range(page.rows))
    return pa.array([left and misfits.format_json(left) for left in objects], pa.string())


def _parse_fast(body: bytes, schema: PageSchema) -> _Parsed | None:
    """The page, if it is a collection in which every value fits; else ``None``."""
    body = body.removeprefix(envelope.BOM)
    form = _COLLECTION.match(body)
    if form is None:
        return None
    around = _fields_without_column(body, form.end(), schema)
    if around is None:
        return None
    try:
        return _read(body, schema, around, bare=form[1] is not None)
    except (pa.ArrowException, ValueError, OverflowError):  # the last: a whole number above 64 bits
        return None


def _fields_without_column(body: bytes, start: int, schema: PageSchema) -> Row | None:
    """What the first row has that needs no column; ``None`` if it has what needs one and has none."""
    if body[start : start + 1] == b"]":
        return {}
    size = _FIRST_ROW_BYTES
    while True:
        part = body[start : start + size].decode(errors="ignore")
        try:
            row, _ = _DECODER.raw_decode(part)
        except ValueError:  # not all of it, or no JSON
            if size >= len(body):
                return None
            size *= 16
        else:
            if not isinstance(row, dict) or any(_is_left(f, v, schema) for f, v in row.items()):
                return None
            return {f: v for f, v in row.items() if f not in schema.columns}


def _read(body: bytes, schema: PageSchema, around: Row, *, bare: bool) -> _Parsed | None:
    # A field that the first row has not and a later one has is an error here, never dropped.
    table = pj.read_json(
        pa.BufferReader(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=schema.parse_options(around, bare=bare),
    )
    if table.num_rows != 1:
        return None
    next_url = count = None
    results = table.column("d").chunk(0)
    if not bare:
        next_url, count = (results.field(i)[0].as_py() for i in (1, 2))
        results = results.field(0)
    rows = results.flatten()
    if rows.null_count or next_url == "":
        return None
    raw = dict(zip(schema.columns, rows.flatten(), strict=False))  # what needs no column is behind
    if any(raw[field].null_count for field in schema.key):
        return None  # such a row may be no row at all, but an error that Exact wrote among them
    arrays, rounded = columns.convert(raw, schema.groups)
    extras: Extras = {}
    for field, row, number in rounded:
        extras.setdefault(row, {})[field] = misfits.Number(number)
    lost = Counter(field for field, _, _ in rounded)
    surprises = [Surprise("rounded", field, times) for field, times in lost.items()]
    total = None if count is None else int(count)
    padded = {field: raw[field] for field in schema.raw}
    return _Parsed(arrays, padded, len(rows), next_url, total, extras, surprises)


def _parse_slow(body: bytes, schema: PageSchema, where: str) -> _Parsed:
    """The page value by value, however its values look."""
    found = envelope.parse_envelope(body, schema.entity.columns.keys(), where)
    extras, surprises = _leftovers(found.rows, schema)
    arrays: dict[str, pa.Array] = {}
    raw: dict[str, pa.Array] = {}
    for field, column in schema.columns.items():
        values = [row.get(field) for row in found.rows]
        array, lost = misfits.fitted(column.letter, values)
        arrays[field] = columns.codes(array) if field in schema.codes else array
        raw |= {field: array} if field in schema.raw else {}
        for row in lost:
            extras.setdefault(row, {})[field] = values[row]
        empty = sum(array[row].as_py() is None for row in lost)
        surprises += _counted([("misfit", field, empty), ("rounded", field, len(lost) - empty)])
    unusable = {s.column for s in surprises if s.kind == "misfit"}
    if unusable & {"Division", schema.own_division}:
        raise ContractError(f"{where}: a row names a division that is no number")
    size = len(found.rows)
    return _Parsed(arrays, raw, size, found.next_url, found.count, extras, surprises)


def _leftovers(rows: Rows, schema: PageSchema) -> tuple[Extras, list[Surprise]]:
    """What the rows hold outside the columns: fields not asked for, and repeated ones."""
    extras: Extras = {}
    unknown: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for number, row in enumerate(rows):
        twice = row.repeated if isinstance(row, misfits.Twice) else {}
        left = {f: v for f, v in row.items() if v is not None and _is_left(f, v, schema)}
        unknown.update(left.keys())
        repeated.update(twice.keys())
        left |= {f: v for f, v in twice.items() if f in schema.columns}
        if left:
            extras[number] = left
    return extras, [
        *_counted(("unknown", f, times) for f, times in unknown.items()),
        *_counted(("repeated", f, times) for f, times in repeated.items()),
    ]


def _is_left(field: str, value: Any, schema: PageSchema) -> bool:
    """Whether a field has no place in a column; OData's own fields and links need none."""
    if field in schema.columns or field.startswith("__") or field in schema.dropped:
        return False
    return not (isinstance(value, dict) and "__deferred" in value)


def _counted(found: Iterable[tuple[SurpriseKind, str, int]]) -> list[Surprise]:
    return [Surprise(kind, field, rows) for kind, field, rows in found if rows]


def _divisions(page: _Parsed, schema: PageSchema, division: int, where: str) -> pa.Array:
    """The column ``division``, after the check that no row is of another one."""
    if schema.own_division is not None:
        own = page.arrays[schema.own_division].cast(pa.int32())
        if own.null_count:
            raise ContractError(f"{where}: a row without its division ({schema.own_division})")
        return own
    if (sent := page.arrays.get("Division")) is not None:
        ends = pc.min_max(sent).as_py()
        if not {ends["min"], ends["max"]} <= {None, division}:
            raise ContractError(f"{where}: row of another division; the page was refused")
    return pa.repeat(pa.scalar(division, pa.int32()), page.rows)


def max_of(table: pa.Table, column: str) -> Any:
    """The largest value of a column as a Python object; ``None`` if there is none."""
    return pc.max(table[column]).as_py()


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Pages of one schema as one table; ``_extra`` comes last if one of them has it."""
    return pa.concat_tables(tables, promote_options="default")
