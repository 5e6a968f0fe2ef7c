"""Arrow work between a page and the load: marks on rows, versions, deletions. No I/O."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from .cursors import REMEMBERED_MAX, fingerprint

# Times at which the row was read and was found to be deleted; instants, unlike Exact's digits (API 3.5).
INSTANT = pa.timestamp("us", tz="UTC")
SYNCED_AT = pa.field("_synced_at", INSTANT)
DELETED_AT = pa.field("_deleted_at", INSTANT)
# The key of entities that have none: position within the division's answer.
ROW = pa.field("_row", pa.int32())
DIGESTS_MAX = 512
_DIGESTS: dict[int, tuple[str, pa.Table]] = {}  # by the identity of the page


def instant(at: float) -> datetime:
    """Seconds since the epoch as an aware datetime."""
    return datetime.fromtimestamp(at, UTC)


def stamp(table: pa.Table, at: float) -> pa.Table:
    """The rows with ``_synced_at`` and an empty ``_deleted_at``."""
    size = table.num_rows
    synced = pa.repeat(pa.scalar(instant(at), INSTANT), size)
    return table.append_column(SYNCED_AT, synced).append_column(DELETED_AT, pa.nulls(size, INSTANT))


def last_stamp(table: pa.Table) -> float:
    """The highest ``_synced_at`` of stamped rows, in seconds since the epoch, UTC."""
    found: datetime = pc.max(table.column(SYNCED_AT.name)).as_py()
    return found.timestamp()


def number(table: pa.Table, first: int) -> pa.Table:
    """The rows with ``_row`` counted from ``first``."""
    positions = pa.array(range(first, first + table.num_rows), ROW.type)
    return table.append_column(ROW, positions)


def versions(table: pa.Table, column: str) -> pa.ChunkedArray:
    """Row versions as integers: ``Timestamp`` itself, ``Modified`` in milliseconds of its digits."""
    values = table.column(column)
    if pa.types.is_timestamp(values.type):
        return pc.divide(values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64()), 1000)
    return values


def fingerprints(
    table: pa.Table, parts: Sequence[str], column: str, floor: int
) -> dict[str, int] | None:
    """Fingerprints of the rows at or above ``floor``, made of the columns ``parts``, with their versions.

    ``None`` if there are more than are remembered anyway.
    """
    at = versions(table, column)
    mask = pc.fill_null(pc.greater_equal(at, floor), False)
    numbers = at.filter(mask).to_pylist()
    if len(numbers) > REMEMBERED_MAX:
        return None
    wanted = table.filter(mask)
    values = [wanted.column(name).to_pylist() for name in parts]
    return {fingerprint(row, v): v for *row, v in zip(*values, numbers, strict=True)}


def drop_known(
    table: pa.Table,
    parts: Sequence[str],
    column: str,
    known: frozenset[str],
    *,
    ceiling: int,
    except_for: tuple[str, Collection[Any]] | None = None,
) -> pa.Table:
    """The rows that are not among ``known`` fingerprints, made of the columns ``parts``.

    Rows above ``ceiling`` were never seen, so only rows up to it are compared.

    ``except_for``: a column, and values of it whose rows stay.
    """
    if not known or not table.num_rows:
        return table
    at = versions(table, column)
    mask = pc.fill_null(pc.less_equal(at, ceiling), False)
    old = table.filter(mask)
    values = [old.column(name).to_pylist() for name in parts]
    numbers = at.filter(mask).to_pylist()
    keep = [fingerprint(row, v) not in known for *row, v in zip(*values, numbers, strict=True)]
    if except_for is not None:
        name, kept = except_for
        keep = [
            k or value in kept for k, value in zip(keep, old.column(name).to_pylist(), strict=True)
        ]
    if all(keep):
        return table
    return pa.concat_tables([old.filter(pa.array(keep)), table.filter(pc.invert(mask))])


def with_key(table: pa.Table, keys: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """The rows that have a key, and those that lack a part of it."""
    if not table.num_rows:
        return table, table
    if not any(table.column(name).null_count for name in keys):
        return table, table.slice(0, 0)
    has_key = pa.repeat(True, table.num_rows)
    for name in keys:
        has_key = pc.and_(has_key, pc.is_valid(table.column(name)))
    return table.filter(has_key), table.filter(pc.invert(has_key))


def as_json(table: pa.Table) -> list[str]:
    """Each row as a JSON object of its values that are not null."""
    return [
        json.dumps({k: v for k, v in row.items() if v is not None}, default=str, sort_keys=True)
        for row in table.to_pylist()
    ]


def mark(text: str) -> str:
    """A short fingerprint of a text."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def key_tuples(table: pa.Table, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """The key of every row."""
    if not keys:
        return [()] * table.num_rows
    return list(zip(*(table.column(k).to_pylist() for k in keys), strict=True))


def digest(tables: Sequence[pa.Table]) -> str:
    """A fingerprint of stamped rows that does not depend on the time of the read."""
    return _digest_of(concat(tables).drop_columns([SYNCED_AT.name]))


def digest_of_no_rows(page: pa.Table) -> str:
    """``digest`` of a page without rows, which is not stamped.

    The empty page of a query is one object for all companies (``PageSchema.no_rows``), so its digest is
    found by identity: the hash of a wide schema takes 0.2 ms, and thousands of streams may be empty. The
    page is kept with its digest, so that no other object gets its identity.
    """
    found = _DIGESTS.get(id(page))
    if found is None:
        if len(_DIGESTS) >= DIGESTS_MAX:
            _DIGESTS.clear()
        found = _DIGESTS[id(page)] = _digest_of_schema(page.schema), page
    return found[0]


@lru_cache(maxsize=DIGESTS_MAX)  # the empty pages of a function are objects of their own
def _digest_of_schema(schema: pa.Schema) -> str:
    return _digest_of(schema.append(DELETED_AT).empty_table())


def _digest_of(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return blake2b(sink.getvalue(), digest_size=12).hexdigest()


def deletions(schema: pa.Schema, columns: Mapping[str, Sequence[Any]], *, at: float) -> pa.Table:
    """Rows that delete rows. Only the given columns are filled.

    Args:
        schema: Schema of the entity's rows, including the columns of this package.
        columns: Column -> values, all of one length.
        at: Time at which the deletion was found.
    """
    size = len(next(iter(columns.values())))
    marks: dict[str, Sequence[Any]] = {
        SYNCED_AT.name: [instant(at)] * size,
        DELETED_AT.name: [instant(at)] * size,
    }
    given = {**columns, **marks}
    arrays = [
        pa.array(given[f.name], f.type) if f.name in given else pa.nulls(size, f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def zero(kind: pa.DataType) -> Any:
    """The emptiest value of a key column's type."""
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_boolean(kind):
        return False
    return instant(0).replace(tzinfo=None) if pa.types.is_timestamp(kind) else 0


def mark_deleted(stored: pa.Table, schema: pa.Schema, *, at: float) -> pa.Table:
    """Stored rows again, marked as deleted: they stay, with ``_deleted_at`` set.

    Columns that the schema lacks (dropped fields) would be emptied by the merge, so they are kept.
    """
    size = stored.num_rows
    arrays, fields = [], []
    for f in schema:
        if f.name in (SYNCED_AT.name, DELETED_AT.name):
            arrays.append(pa.repeat(pa.scalar(instant(at), INSTANT), size))
        elif f.name in stored.column_names:
            arrays.append(stored.column(f.name).cast(f.type))
        else:
            arrays.append(pa.nulls(size, f.type))
        fields.append(f)
    for f in stored.schema:
        if f.name not in schema.names and not f.name.startswith("_dlt"):
            arrays.append(stored.column(f.name))
            fields.append(f)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def again(stored: pa.Table, schema: pa.Schema) -> pa.Table:
    """Stored rows again, unchanged, in the types in which they were loaded."""
    types = {f.name: f.type for f in schema}
    kept = [n for n in stored.column_names if not n.startswith("_dlt")]
    columns = {n: stored.column(n).cast(types.get(n, stored.column(n).type)) for n in kept}
    return pa.table(columns)


def with_stored(
    table: pa.Table, stored: Sequence[pa.Table], keys: Sequence[str], kept: pa.Schema
) -> pa.Table:
    """The rows with the columns ``kept``, filled from the stored rows with the same keys."""
    schema = pa.schema([*(table.schema.field(k) for k in keys), *kept])
    held = pa.concat_tables(
        [schema.empty_table(), *(t.select(schema.names).cast(schema) for t in stored)]
    )
    return table.join(held, list(keys), join_type="left outer") if table.num_rows else table


def newest_of_each(table: pa.Table, keys: Sequence[str], version: str | None) -> pa.Table:
    """One row for each key: the one with the highest version, or without versions the last one.

    A scan can return one row twice, in two states (API 3.2, 4.4).
    """
    size = table.num_rows
    if size < 2:  # noqa: PLR2004
        return table
    names = list(keys)
    if table.group_by(names).aggregate([]).num_rows == size:
        return table
    place = pa.array(range(size), pa.int64())
    at = pa.nulls(size, pa.int64()) if version is None else versions(table, version)
    ordered = (
        table.select(names)
        .append_column("_at", pc.fill_null(at, -1))
        .append_column("_place", place)
        .sort_by([("_at", "ascending"), ("_place", "ascending")])
    )
    last = ordered.group_by(names, use_threads=False).aggregate([("_place", "last")])
    return table.take(last.column("_place_last").combine_chunks().sort())


def copied(table: pa.Table) -> pa.Table:
    """A copy of the rows: a slice would keep the whole table in memory."""
    return table.filter(pa.repeat(True, table.num_rows))


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of several; missing columns are null."""
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def with_required(table: pa.Table, names: set[str]) -> pa.Table:
    """The rows with these columns declared not null, as dlt declares key columns."""
    fields = [f.with_nullable(False) if f.name in names else f for f in table.schema]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields))
