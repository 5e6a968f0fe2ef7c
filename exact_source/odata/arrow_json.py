"""Answers read by ``pyarrow.json``, without a Python object per value; only those in which all fits.

One call reads several answers: each call takes as long as a hundred rows.
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
from .parsed_page import Around, Extras, Parsed, Surprise

# Up to the first row. The names in front of "results" have plain values: __next, __count.
_COLLECTION = re.compile(rb'\s*\{\s*"d"\s*:\s*(?:(\[)|\{[^][{}]*?"results"\s*:\s*\[)\s*')
# From the end of the last row on. No text of a row can look like it: its quotes are escaped.
_LINK = re.compile(rb'\}\s*\]\s*,\s*"__next"\s*:\s*"([!#-\[\]-~]+)"\s*\}\s*\}\s*\Z')
_LINK_BYTES = 1 << 13
_DECODER = json.JSONDecoder(strict=False)
_FIRST_ROW_BYTES = 1 << 14


def link_of(body: bytes) -> str | None:
    """``__next`` of an answer with rows and the usual form at both ends; ``None``: read it to see.

    What lies between may be anything, so that an answer with a link may still turn out to be no page.
    """
    found = _LINK.search(body[-_LINK_BYTES:])
    form = _COLLECTION.match(body)
    return found[1].decode("ascii") if found and form and form[1] is None else None


def is_left(field: str, value: Any, schema: PageSchema) -> bool:
    """Whether a field has no place in a column; OData's own fields and links need none."""
    if field in schema.columns or field.startswith("__") or field in schema.dropped:
        return False
    return not (isinstance(value, dict) and "__deferred" in value)


def read(bodies: Sequence[bytes], schema: PageSchema) -> Parsed | None:
    """The rows of some answers, if each is a collection in which every value fits; else ``None``."""
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
    except (pa.ArrowException, ValueError, OverflowError):  # the last: a whole number above 64 bits
        return None


def _fields_without_column(body: bytes, start: int, schema: PageSchema) -> Mapping[str, Any] | None:
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
            if not isinstance(row, dict) or any(is_left(f, v, schema) for f, v in row.items()):
                return None
            return {f: v for f, v in row.items() if f not in schema.columns}


def _read(
    bodies: Sequence[bytes], schema: PageSchema, around: Mapping[str, Any], *, bare: bool
) -> Parsed | None:
    # A field that the first row has not and a later one has is an error here, never dropped.
    text = bodies[0] if len(bodies) == 1 else b"\n".join(bodies)
    table = pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=schema.parse_options(around, bare=bare),
    )
    # As many as there are bodies: each begins with {"d":, which is an error inside of another, where no
    # row has such a field, so that none can end in another.
    if table.num_rows != len(bodies):
        return None
    answers, rows = _unwrapped(table.column("d").chunk(0), bare=bare)
    if rows.null_count or any(answer.next_url == "" for answer in answers):
        return None
    raw = dict(zip(schema.columns, rows.flatten(), strict=False))  # what needs no column is behind
    if any(raw[field].null_count for field in schema.key):
        return None  # such a row may be no row at all, but an error that Exact wrote among them
    arrays, rounded = columns.convert(raw, schema.groups)
    extras: Extras = {}
    for field, row, number in rounded:
        extras.setdefault(row, {})[field] = lenient.Number(number)
    lost = Counter(field for field, _, _ in rounded)
    surprises = [Surprise("rounded", field, times) for field, times in lost.items()]
    padded = {field: raw[field] for field in schema.raw}
    return Parsed(arrays, padded, answers, extras, surprises)


def _unwrapped(d: pa.Array, *, bare: bool) -> tuple[list[Around], pa.StructArray]:
    """What stands around the rows of each answer, and all of them."""
    lists = d if bare else d.field(0)
    sizes = lists.value_lengths().fill_null(0).to_pylist()
    nothing = [None] * len(sizes)
    links, counts = (nothing, nothing) if bare else (d.field(i).to_pylist() for i in (1, 2))
    answers = [
        Around(size, link, None if count is None else int(count))
        for size, link, count in zip(sizes, links, counts, strict=True)
    ]
    return answers, lists.flatten()
