"""Descriptions of the dlt schema as comments in DuckDB and Postgres, where dlt does not write them.

On BigQuery dlt writes them when it creates a table or a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.destinations.sql_client import SqlClientBase

from ..catalogue.descriptions import HASHED

# Table, column ("" for the table itself) and comment of everything in a dataset.
_HELD = {
    "duckdb": """
        SELECT table_name, '', comment FROM duckdb_tables()
        WHERE database_name = current_database() AND schema_name = %s
        UNION ALL SELECT table_name, column_name, comment FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = %s
    """,
    "postgres": """
        SELECT c.relname, '', obj_description(c.oid, 'pg_class')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relkind IN ('r', 'p')
        UNION ALL SELECT c.relname, a.attname, col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = %s AND c.relkind IN ('r', 'p')
    """,
}

Place = tuple[str, str]


def schema_version(pipeline: dlt.Pipeline) -> str:
    """A value that changes when any table of the schema changes; empty before the first load."""
    name = str(pipeline.default_schema_name)  # "None" before the first run
    return str(pipeline.schemas[name].version_hash) if name in pipeline.schemas else ""


def write_comments(pipeline: dlt.Pipeline) -> int:
    """Write the descriptions of all existing tables and columns whose comments differ.

    Returns:
        Number of written comments; 0 on a destination that is neither DuckDB nor Postgres.

    Raises:
        DatabaseException: If the database refuses, because the user does not own the tables.
    """
    kind = str(pipeline.destination.destination_type).rpartition(".")[2]
    if kind not in _HELD or not schema_version(pipeline):
        return 0
    with pipeline.sql_client() as client:
        held = dict(_held(client, _HELD[kind]))
        outdated = {place: "" for place, text in held.items() if text.endswith(HASHED)}
        wanted = outdated | _descriptions(pipeline)
        new = {place: text for place, text in wanted.items() if held.get(place, text) != text}
        if new:
            with client.begin_transaction():
                client.execute_many([_statement(client, p, text) for p, text in new.items()])
    return len(new)


def _held(client: SqlClientBase[Any], sql: str) -> Iterator[tuple[Place, str]]:
    dataset = client.dataset_name
    for table, column, comment in client.execute_sql(sql, dataset, dataset) or ():
        yield (table, column), comment or ""


def _descriptions(pipeline: dlt.Pipeline) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for name, table in pipeline.default_schema.tables.items():
        texts = {c: hints.get("description") for c, hints in table["columns"].items()}
        texts[""] = table.get("description")
        found |= {(name, column): text for column, text in texts.items() if text}
    return found


def _statement(client: SqlClientBase[Any], place: Place, text: str) -> str:
    table, column = place
    target = f"TABLE {client.make_qualified_table_name(table)}"
    if column:
        name = client.escape_column_name(column)
        target = f"COLUMN {client.make_qualified_table_name(table)}.{name}"
    literal = "'" + text.replace("'", "''") + "'"
    return f"COMMENT ON {target} IS {literal}"
