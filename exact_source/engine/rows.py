"""Arrow operations between a page and the load: stamps, fingerprints, versions, deletions. No I/O."""

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

# Type of ``_synced_at`` and ``_deleted_at``; real UTC times, unlike Exact's wall-clock times (API 3.5).
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
    """Row versions as integers: ``Timestamp`` itself, or the wall-clock milliseconds of ``Modified``."""
    values = table.column(column)
    if pa.types.is_timestamp(values.type):
        return pc.divide(values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64()), 1000)
    return values


def fingerprints(
    table: pa.Table, parts: Sequence[str], column: str, floor: int
) -> dict[str, int] | None:
    """Fingerprint -> version of the rows at or above ``floor``, computed from the columns ``parts``.

    ``None`` if there are more than the cursor can store.
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
    """The rows whose fingerprint, computed from the columns ``parts``, is not in ``known``.

    Only rows up to ``ceiling`` are compared, because higher versions are new.

    ``except_for``: a column, and values; rows with one of them are kept in any case.
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
    """A short hash of a text."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def key_tuples(table: pa.Table, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """The key of every row."""
    if not keys:
        return [()] * table.num_rows
    return list(zip(*(table.column(k).to_pylist() for k in keys), strict=True))


def digest(tables: Sequence[pa.Table]) -> str:
    """A hash of stamped rows that does not depend on their stamps."""
    return _digest_of(concat(tables).drop_columns([SYNCED_AT.name]))


def digest_of_no_rows(page: pa.Table) -> str:
    """``digest`` of a page without rows, which is not stamped.

    All companies share one empty page per query (``PageSchema.no_rows``), so its digest is cached by object
    identity: hashing a wide schema takes 0.2 ms, and thousands of streams may be empty. The page is stored
    with its digest, so that no other object can get its identity.
    """
    found = _DIGESTS.get(id(page))
    if found is None:
        if len(_DIGESTS) >= DIGESTS_MAX:
            _DIGESTS.clear()
        found = _DIGESTS[id(page)] = _digest_of_schema(page.schema), page
    return found[0]


@lru_cache(maxsize=DIGESTS_MAX)  # function endpoints create a new empty page each time
def _digest_of_schema(schema: pa.Schema) -> str:
    return _digest_of(schema.append(DELETED_AT).empty_table())


def _digest_of(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return blake2b(sink.getvalue(), digest_size=12).hexdigest()


def are_stored(table: pa.Table, stored: pa.Table | None, key: str) -> bool:
    """Whether a destination has exactly these stamped rows, except for their stamps.

    Args:
        table: The stamped rows.
        stored: All rows of the destination, of which deleted ones do not count; ``None`` without a table.
        key: A column with a different value in each row.
    """
    names = [name for name in table.column_names if name != SYNCED_AT.name]
    if stored is None or not set(names) <= set(stored.column_names):
        return False
    stored = stored.filter(pc.is_null(stored.column(DELETED_AT.name)))
    others = [name for name in stored.column_names if name not in table.column_names]
    others = [name for name in others if not name.startswith("_dlt_")]
    if any(stored.column(name).null_count < stored.num_rows for name in others):
        return False
    wanted = table.select(names)
    try:
        found = stored.select(names).cast(wanted.schema)
    except pa.ArrowException:  # a type of the destination that has no such values
        return False
    return bool(found.sort_by(key).equals(wanted.sort_by(key)))


def deletions(schema: pa.Schema, columns: Mapping[str, Sequence[Any]], *, at: float) -> pa.Table:
    """Rows that tell the destination to delete rows; all columns but the given ones are empty.

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
    """The zero value of a key column's type, for key columns that may not be null."""
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_boolean(kind):
        return False
    return instant(0).replace(tzinfo=None) if pa.types.is_timestamp(kind) else 0


def mark_deleted(stored: pa.Table, schema: pa.Schema, *, at: float) -> pa.Table:
    """Stored rows to load again with ``_deleted_at`` set, which marks them as deleted.

    Columns that the schema lacks (withdrawn fields) are kept; the merge would empty them.
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
    """Stored rows to load again, unchanged, in the types in which they were loaded."""
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
    """One row per key: the row with the highest version, or the last row if there are no versions.

    A scan can return a row twice, in two states (API 3.2, 4.4).
    """
    size = table.num_rows
    if size < 2:  # noqa: PLR2004
        return table
    names = list(keys)
    # If one column repeats no value, no key is repeated; to check this costs less than grouping. Division,
    # the first column, is checked last, because most rows have the same.
    if any(len(pc.unique(table.column(name))) == size for name in reversed(names)):
        return table
    if table.group_by(names, use_threads=False).aggregate([]).num_rows == size:
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
