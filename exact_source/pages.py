"""The bytes of one answer of Exact Online, as a typed Arrow table.

``parse_page`` reads the body with ``pyarrow.json`` and an explicit schema, so that no Python object
is made per value. A page that does not fit the schema (an unknown field, a string where a number
was promised) is read once more value by value: its rows are all kept, and what has no place in a
column goes into ``_extra``, a JSON object per row. An answer of no known form (API 3.1) raises
``ContractError``; it is never an empty page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from . import columns, envelope, misfits
from .entities import Column, Entity, Feed
from .errors import ContractError

EXTRA = "_extra"
_COLLECTION = re.compile(rb'\s*\{\s*"d"\s*:\s*(?:(\[)|\{\s*"(?:results|__count|__next)"\s*:)')
_TEXTS = [(name, pa.string()) for name in ("uri", "type", "etag", "media_src", "media_etag")]
_METADATA = pa.struct([*_TEXTS, ("content_type", pa.string()), ("edit_media", pa.string())])
_DEFERRED = pa.struct([("__deferred", pa.struct([("uri", pa.string())]))])

SurpriseKind = Literal["unknown", "misfit", "rounded", "repeated", "null key"]
Rows = list[dict[str, Any]]
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


class PageSchema:
    """What the pages of one feed hold; made once, holds no rows.

    Args:
        entity: Whose rows they are.
        feed: Which endpoint serves them.
        fields: The fields that were asked for; default: all of the feed but the binary ones.
        trim_codes: Take the spaces off that Exact pads codes with.
        utc_instants: Datetime fields that get a second column ``..._utc`` with the true instant.

    Attributes:
        arrow: Schema of the tables: ``division`` first, ``_extra`` not included.

    Raises:
        ValueError: A field does not exist, or the rows' division was not asked for.
    """

    def __init__(
        self,
        entity: Entity,
        feed: Feed,
        fields: Sequence[str] | None = None,
        *,
        trim_codes: bool = True,
        utc_instants: Sequence[str] = (),
    ) -> None:
        known = entity.columns
        if fields is None:
            fields = [f for f in feed.columns if known[f].letter != "x"]
        if unknown := set(fields) - known.keys():
            raise ValueError(f"{entity.name} has no {', '.join(sorted(unknown))}")
        self.entity = entity
        # Division is looked at even if it comes unasked.
        seen = [*fields, *(f for f in ("Division",) if f in known)]
        self.columns: dict[str, Column] = {f: known[f] for f in seen}
        self.key = tuple(f for f in entity.key if f in self.columns and f != "Division")
        self.own_division = entity.division_from or ("Division" if entity.any_division else None)
        if self.own_division is not None and self.own_division not in self.columns:
            raise ValueError(f"{entity.name} cannot be read without {self.own_division}")
        self.codes = frozenset(f for f in self.columns if trim_codes and is_code(self.columns[f]))
        self.utc = tuple(f for f in utc_instants if f in self.columns)
        self.dropped = frozenset(
            f for f, c in known.items() if c.letter == "x" and f not in self.columns
        )
        self.groups = self._groups()
        self.arrow = self._arrow()
        rows = pa.list_(self._row())
        text = pa.string()
        results = pa.struct([("results", rows), ("__next", text), ("__count", text)])
        self.bare = _parse_options(rows)
        self.results = _parse_options(results)

    def _groups(self) -> dict[str, list[str]]:
        """Fields that are converted together: type letter, or "c" for codes -> fields."""
        groups: dict[str, list[str]] = {}
        for field, column in self.columns.items():
            groups.setdefault("c" if field in self.codes else column.letter, []).append(field)
        return groups

    def _arrow(self) -> pa.Schema:
        kept = [
            (c.name, columns.KEPT[c.letter]) for f, c in self.columns.items() if f != "Division"
        ]
        utc = [(f"{self.columns[f].name}_utc", columns.INSTANT) for f in self.utc]
        return pa.schema([("division", pa.int32()), *kept, *utc])

    def _row(self) -> pa.StructType:
        fields = [(f, columns.RAW[c.letter]) for f, c in self.columns.items()]
        links = [(f, _DEFERRED) for f in self.entity.navigation if f not in self.columns]
        binary = [(f, pa.string()) for f in self.dropped]
        return pa.struct([*fields, ("__metadata", _METADATA), *links, *binary])


def is_code(column: Column) -> bool:
    """Whether Exact may pad it with spaces: ``Code`` and ``...Code`` (API 3.3)."""
    return column.letter == "s" and column.field.endswith("Code")


def _parse_options(d: pa.DataType) -> pj.ParseOptions:
    return pj.ParseOptions(explicit_schema=pa.schema([("d", d)]), unexpected_field_behavior="error")


def parse_page(body: bytes, schema: PageSchema, *, division: int, where: str) -> Page:
    """The rows of one answer.

    Args:
        body: As it came, decompressed.
        schema: What was asked for.
        division: The company that was asked; every row must be of it (API 6.5).
        where: Entity and division in words, for messages.

    Raises:
        ContractError: It is no page of this entity and division; ``broken`` tells whether asking
            again may help (empty, cut off, HTML).
    """
    page = _parse_fast(body, schema) or _parse_slow(body, schema, where)
    divisions = _divisions(page, schema, division, where)
    kept = [array for field, array in page.arrays.items() if field != "Division"]
    utc = [columns.instants(page.arrays[field]) for field in schema.utc]
    table = pa.Table.from_arrays([divisions, *kept, *utc], schema=schema.arrow)
    if page.extras:
        objects = (page.extras.get(row) for row in range(page.rows))
        texts = [left and misfits.format_json(left) for left in objects]
        table = table.append_column(EXTRA, pa.array(texts, pa.string()))
    nulls = _counted(("null key", field, page.arrays[field].null_count) for field in schema.key)
    return Page(table, page.next_url, page.count, (*page.surprises, *nulls))


@dataclass(slots=True)
class _Parsed:
    """The columns of a page under Exact's names, not yet a table."""

    arrays: dict[str, pa.Array]
    rows: int
    next_url: str | None
    count: int | None
    extras: Extras
    surprises: list[Surprise]


def _parse_fast(body: bytes, schema: PageSchema) -> _Parsed | None:
    """The page, if it is a collection in which every value fits; else ``None``."""
    body = body.removeprefix(envelope.BOM)
    form = _COLLECTION.match(body)
    if form is None:
        return None
    try:
        return _read(body, schema, bare=form[1] is not None)
    except (pa.ArrowInvalid, ValueError):
        return None


def _read(body: bytes, schema: PageSchema, *, bare: bool) -> _Parsed | None:
    table = pj.read_json(
        pa.BufferReader(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=schema.bare if bare else schema.results,
    )
    if table.num_rows != 1:
        return None
    next_url = count = None
    results = table.column("d").chunk(0)
    if not bare:
        next_url, count = (results.field(i)[0].as_py() for i in (1, 2))
        results = results.field(0)
    rows = results.flatten()
    if results.null_count or rows.null_count or next_url == "":
        return None
    raw = {f: rows.field(i) for i, f in enumerate(schema.columns)}
    arrays, rounded = columns.convert(raw, schema.groups)
    extras: Extras = {}
    for field, row, number in rounded:
        extras.setdefault(row, {})[field] = misfits.Number(number)
    lost = Counter(field for field, _, _ in rounded)
    surprises = [Surprise("rounded", field, times) for field, times in lost.items()]
    total = None if count is None else int(count)
    return _Parsed(arrays, len(rows), next_url, total, extras, surprises)


def _parse_slow(body: bytes, schema: PageSchema, where: str) -> _Parsed:
    """The page value by value, however its values look."""
    found = envelope.parse_envelope(body, schema.entity.columns.keys(), where)
    extras, surprises = _leftovers(found.rows, schema)
    arrays: dict[str, pa.Array] = {}
    for field, column in schema.columns.items():
        values = [row.get(field) for row in found.rows]
        array, lost = misfits.fitted(column.letter, values)
        arrays[field] = columns.codes(array) if field in schema.codes else array
        for row in lost:
            extras.setdefault(row, {})[field] = values[row]
        empty = sum(array[row].as_py() is None for row in lost)
        surprises += _counted([("misfit", field, empty), ("rounded", field, len(lost) - empty)])
    unusable = {s.column for s in surprises if s.kind == "misfit"}
    if unusable & {"Division", schema.own_division}:
        raise ContractError(f"{where}: a row names a division that is no number")
    return _Parsed(arrays, len(found.rows), found.next_url, found.count, extras, surprises)


def _leftovers(rows: Rows, schema: PageSchema) -> tuple[Extras, list[Surprise]]:
    """What the rows hold outside the columns: fields not asked for, and repeated ones."""
    extras: Extras = {}
    unknown: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for number, row in enumerate(rows):
        twice = row.repeated if isinstance(row, misfits.Twice) else {}
        left = {f: v for f, v in row.items() if _is_left(f, v, schema)}
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
    """Whether a field goes into ``_extra``: OData's own, links and nulls do not."""
    if field in schema.columns or field.startswith("__") or field in schema.dropped:
        return False
    return value is not None and not (isinstance(value, dict) and "__deferred" in value)


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
    whole = pa.concat_tables(tables, promote_options="default")
    names = [name for name in whole.column_names if name != EXTRA]
    return whole.select([*names, EXTRA]) if EXTRA in whole.column_names else whole
