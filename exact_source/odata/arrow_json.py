"""Reads replies with ``pyarrow.json``, without a Python object per value, if every value fits its column.

One call reads several replies, because the fixed cost of a call equals that of a hundred rows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from . import columns, lenient
from .envelope import BOM
from .page_schema import PageSchema
from .parsed_page import Extras, PageMeta, Parsed, Surprise

# The text up to the first row. Names before "results", such as __next and __count, have plain values.
_COLLECTION = re.compile(rb'\s*\{\s*"d"\s*:\s*(?:(\[)|\{[^][{}]*?"results"\s*:\s*\[)\s*')
# A reply without rows, in either form.
EMPTY = re.compile(rb'\s*\{\s*"d"\s*:\s*(?:\[\s*\]|\{\s*"results"\s*:\s*\[\s*\]\s*\})\s*\}\s*')
# The text from the end of the last row. No text in a row can match it, because its quotes are escaped.
_LINK = re.compile(rb'\}\s*\]\s*,\s*"__next"\s*:\s*"([!#-\[\]-~]+)"\s*\}\s*\}\s*\Z')
_LINK_BYTES = 1 << 13
_DECODER = json.JSONDecoder(strict=False)
_FIRST_ROW_BYTES = 1 << 14


def link_of(body: bytes) -> str | None:
    """``__next`` of a reply with the usual beginning and end; ``None`` if only parsing can find it.

    The rest of the reply is not checked, so a reply with a link may still not be a page.
    """
    found = _LINK.search(body[-_LINK_BYTES:])
    form = _COLLECTION.match(body)
    return found[1].decode("ascii") if found and form and form[1] is None else None


def is_left(field: str, value: Any, schema: PageSchema) -> bool:
    """Whether a field belongs in ``_extra``: it has no column, and is not one of OData's own."""
    if field in schema.columns or field.startswith("__") or field in schema.dropped:
        return False
    if schema.guard.keeps_out(field, value):
        return False
    return not (isinstance(value, dict) and "__deferred" in value)


def read(bodies: Sequence[bytes], schema: PageSchema) -> Parsed | None:
    """The rows of several replies; ``None`` unless each is a collection whose values all fit."""
    bodies = [body.removeprefix(BOM) for body in bodies]
    forms = [_COLLECTION.match(body) for body in bodies]
    kinds = {form and form[1] for form in forms}
    first = forms[0]
    if first is None or None in forms or len(kinds) > 1:
        return None
    around = _fields_without_column(bodies[0], first.end(), schema)
    if around is None:
        return None
    try:
        return _read(bodies, schema, around, bare=first[1] is not None)
    except (pa.ArrowException, ValueError, OverflowError):  # the last for integers above 64 bits
        return None


def _fields_without_column(body: bytes, start: int, schema: PageSchema) -> Mapping[str, Any] | None:
    """Fields of the first row that need no column; ``None`` if a field lacks the column that it needs."""
    if body[start : start + 1] == b"]":
        return {}
    size = _FIRST_ROW_BYTES
    while True:
        part = body[start : start + size].decode(errors="ignore")
        try:
            row, _ = _DECODER.raw_decode(part)
        except ValueError:  # only a part of the row, or not JSON
            if size >= len(body):
                return None
            size *= 16
        else:
            if not isinstance(row, dict) or any(is_left(f, v, schema) for f, v in row.items()):
                return None
            return {f: v for f, v in row.items() if f not in schema.columns}


def _read(
    bodies: Sequence[bytes], schema: PageSchema, around: Mapping[str, Any], *, bare: bool
) -> Parsed | None:
    # A field that only a later row has raises an error here; it is never dropped.
    text = bodies[0] if len(bodies) == 1 else b"\n".join(bodies)
    table = pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=schema.parse_options(around, bare=bare),
    )
    # There must be as many rows as bodies. Each body begins with {"d":, and no row has a field "d", so a body
    # that begins within another one raises an error.
    if table.num_rows != len(bodies):
        return None
    answers, rows = _unwrapped(table.column("d").chunk(0), bare=bare)
    if rows.null_count or any(answer.next_url == "" for answer in answers):
        return None
    raw = dict(zip(schema.columns, rows.flatten(), strict=False))  # fields without column follow
    if any(raw[field].null_count for field in schema.key):
        return None  # it may be an error that Exact wrote among the rows
    arrays, rounded = columns.convert(raw, schema.groups)
    extras: Extras = {}
    for field, row, number in rounded:
        extras.setdefault(row, {})[field] = lenient.RawNumber(number)
    lost = Counter(field for field, _, _ in rounded)
    surprises = [Surprise("rounded", field, times) for field, times in lost.items()]
    padded = {field: raw[field] for field in schema.raw}
    return Parsed(arrays, padded, answers, extras, surprises)


def _unwrapped(d: pa.Array, *, bare: bool) -> tuple[list[PageMeta], pa.StructArray]:
    """Metadata of each reply, and the rows of all of them."""
    lists = d if bare else d.field(0)
    sizes = lists.value_lengths().fill_null(0).to_pylist()
    nothing = [None] * len(sizes)
    links, counts = (nothing, nothing) if bare else (d.field(i).to_pylist() for i in (1, 2))
    answers = [
        PageMeta(size, link, None if count is None else int(count))
        for size, link, count in zip(sizes, links, counts, strict=True)
    ]
    return answers, lists.flatten()
