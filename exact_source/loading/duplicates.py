"""Finds and repairs duplicate keys in a table, before the first load of a sync and after the last.

Two concurrent writers, or a load repeated after a kill, store a row twice, and no later merge repairs it
unless Exact changes the row. A sync therefore checks its tables twice. Before it reads, it compares the
number of rows with that of the last sync, and checks the keys if they differ. After its loads it checks the
keys of the companies that were loaded.

The cost of a check, on one core and per million rows of a checked table:

* counting rows: nothing on DuckDB and BigQuery, up to 160 ms on Postgres;
* checking keys: up to 400 ms on DuckDB and 1,100 ms on Postgres, with the index on the key.

The repair merges the affected rows with themselves in a separate load. It keeps the row with the highest
row version or, if Exact has no versions, the row that was read last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.schema.utils import get_columns_names_with_prop
from dlt.destinations.exceptions import DatabaseTerminalException, DatabaseUndefinedRelation

from ..engine import rows
from ..errors import LoadError
from .first_load import repeated_rows
from .tables import CHANGE_LOG, DELETE_INSERT
from .warehouse import Warehouse, loaded_type

COUNTS = "exact_row_counts.json"  # in the working folder
# Errors of a table that does not exist or has other columns.
NOT_A_TABLE = (DatabaseTerminalException, DatabaseUndefinedRelation, DestinationUndefinedEntity)
TABLES_AT_ONCE = 40  # in one statement

Keys = Mapping[str, Sequence[str]]
Loading = Callable[[], AbstractContextManager[None]]


def keyed_tables(pipeline: dlt.Pipeline, names: Collection[str]) -> dict[str, list[str]]:
    """Key columns of the tables among ``names`` that were loaded before and have a key."""
    name = str(pipeline.default_schema_name)  # "None" before the first load
    if name not in pipeline.schemas:
        return {}
    found = {
        str(table["name"]): get_columns_names_with_prop(table, "primary_key")
        for table in pipeline.schemas[name].data_tables(seen_data_only=True)
        if CHANGE_LOG not in table  # a change log has several rows per key
    }
    return {n: keys for n, keys in found.items() if n in names and "division" in keys}


def repair_unchecked(
    pipeline: dlt.Pipeline, names: Collection[str], divisions: Collection[int], loading: Loading
) -> list[str]:
    """Repair tables that were changed by something other than the last sync from this folder.

    Args:
        pipeline: The pipeline, locked.
        names: Tables to check.
        divisions: Divisions to check; empty for all.
        loading: Creates the context of a load.

    Returns:
        A note for each table that was repaired.

    Raises:
        LoadError: If there are still duplicate keys after the repair.
    """
    tables = keyed_tables(pipeline, names)
    if not tables:
        return []
    noted, counts = _noted(pipeline), _counts(pipeline, tables)
    changed = [name for name in tables if counts.get(name, 0) != noted.get(name, 0)]
    notes = _repair(pipeline, tables, dict.fromkeys(changed, divisions or None), loading)
    if changed:
        _note(pipeline, _counts(pipeline, tables) if notes else counts)
    return notes


def repair_loaded(
    pipeline: dlt.Pipeline,
    loaded: Mapping[str, Collection[int] | None],
    names: Collection[str],
    loading: Loading,
) -> list[str]:
    """Repair duplicates of this sync's loads, and store the number of rows for the next sync.

    Args:
        pipeline: The pipeline, locked.
        loaded: Table -> divisions that were loaded; ``None`` for all.
        names: Tables whose number of rows is stored.
        loading: Creates the context of a load.

    Returns:
        A note for each table that was repaired.

    Raises:
        LoadError: If there are still duplicate keys after the repair.
    """
    tables = keyed_tables(pipeline, names)
    notes = _repair(pipeline, tables, {n: d for n, d in loaded.items() if n in tables}, loading)
    if tables and loaded:
        _note(pipeline, _counts(pipeline, tables))
    return notes


def repeated_keys(
    pipeline: dlt.Pipeline, tables: Keys, where: Mapping[str, Collection[int] | None]
) -> dict[str, int]:
    """Table -> number of duplicate keys, for the tables that have any.

    Args:
        pipeline: Pipeline whose destination is queried.
        tables: Table -> key columns.
        where: Table -> divisions to check; ``None`` for all.
    """

    def statement(client: Any, table: str) -> str:
        keys = ", ".join(map(client.escape_column_name, tables[table]))
        codes = where[table]
        mine = "" if codes is None else f" WHERE division IN ({', '.join(map(str, sorted(codes)))})"
        name = client.make_qualified_table_name(table)
        return f"(SELECT 1 AS n FROM {name}{mine} GROUP BY {keys} HAVING COUNT(*) > 1) AS twice"

    wanted = [name for name, codes in where.items() if codes is None or codes]
    found = _count_rows(pipeline, wanted, statement)
    return {name: count for name, count in found.items() if count}


def _repair(
    pipeline: dlt.Pipeline,
    tables: Keys,
    where: Mapping[str, Collection[int] | None],
    loading: Loading,
) -> list[str]:
    found = repeated_keys(pipeline, tables, where) if where else {}
    for table in found:
        _merge_with_themselves(pipeline, table, tables[table], loading)
    left = repeated_keys(pipeline, tables, dict.fromkeys(found)) if found else {}
    if left:
        table, count = next(iter(left.items()))
        raise LoadError(
            f"table {table} has {count:,} duplicate keys, and merging them did not help; run "
            f"exact-source sync --full-refresh --entities {table}"
        )
    return [
        f"{table}: {count:,} keys were there more than once; the newest row of each was kept"
        for table, count in found.items()
    ]


def _merge_with_themselves(
    pipeline: dlt.Pipeline, table: str, keys: Sequence[str], loading: Loading
) -> None:
    stored = Warehouse(pipeline)
    columns = stored.columns(table)
    types = {name: loaded_type(column) for name, column in columns.items()}
    schema = pa.schema([(name, kind) for name, kind in types.items() if kind is not None])
    newest = "timestamp" if "timestamp" in columns else rows.SYNCED_AT.name
    hints: TTableSchemaColumns = {newest: {"name": newest, "dedup_sort": "desc"}}

    @dlt.resource(
        name=table, primary_key=list(keys), columns=hints, write_disposition=DELETE_INSERT,
        file_format="parquet",
    )  # fmt: skip
    def repeated() -> Iterator[pa.Table]:
        for found in repeated_rows(stored, table, keys):
            yield rows.with_required(rows.again(found, schema), set(keys))

    try:
        pipeline.extract(repeated())
    finally:
        stored.close()
    pipeline.normalize()
    with loading():
        pipeline.load()


def _counts(pipeline: dlt.Pipeline, tables: Collection[str]) -> dict[str, int]:
    def statement(client: Any, table: str) -> str:
        return str(client.make_qualified_table_name(table))

    return _count_rows(pipeline, sorted(tables), statement)


def _count_rows(pipeline: dlt.Pipeline, names: Sequence[str], source: Any) -> dict[str, int]:
    """Number of rows of the tables that ``source`` names; tables that do not exist are left out."""
    found: dict[str, int] = {}
    with pipeline.sql_client() as client:

        def ask(names: Sequence[str]) -> None:
            parts = (f"SELECT '{n}' AS t, COUNT(*) AS n FROM {source(client, n)}" for n in names)
            answer: Any = client.execute_sql(" UNION ALL ".join(parts))
            found.update((str(name), int(count)) for name, count in answer or ())

        for start in range(0, len(names), TABLES_AT_ONCE):
            some = names[start : start + TABLES_AT_ONCE]
            try:
                ask(some)
            except NOT_A_TABLE:
                for name in some:
                    with suppress(*NOT_A_TABLE):
                        ask([name])
    return found


def _note(pipeline: dlt.Pipeline, counts: Mapping[str, int]) -> None:
    before = _noted(pipeline)
    (Path(pipeline.working_dir) / COUNTS).write_text(json.dumps({**before, **counts}))


def _noted(pipeline: dlt.Pipeline) -> dict[str, int]:
    try:
        found = json.loads((Path(pipeline.working_dir) / COUNTS).read_text("utf-8"))
        return {str(name): int(count) for name, count in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
