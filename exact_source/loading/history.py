"""Tables with every state of a row and its period of validity, by dlt's ``scd2``.

``accounts_history`` gets the rows of ``accounts`` in the same load. It is a separate table, so that a sum
over ``accounts`` does not count a customer twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import dlt
import duckdb
import pyarrow as pa
from dlt.common.schema.typing import TColumnSchema, TScd2StrategyDict
from dlt.destinations.impl.bigquery.bigquery_adapter import CLUSTER_COLUMNS_HINT

from ..engine import rows
from ..engine.shape import Shape
from .tables import ALL_ROWS

SUFFIX = "_history"
# Identity of a row and of its state, each in one column, which dlt compares.
KEY, VERSION = "_key", "_version"
# Columns that are not part of a state: Exact's row version, UTC copies of columns, and our own stamps.
_NO_STATE = {
    "timestamp", "created_utc", "modified_utc", rows.SYNCED_AT.name, rows.DELETED_AT.name,
}  # fmt: skip
SCD2: TScd2StrategyDict = {
    "disposition": "merge",
    "strategy": "scd2",
    "row_version_column_name": VERSION,
}


class History:
    """The rows of one load, held until its end: dlt takes each key once per load.

    ``Rounds.must_stop`` ends a round before there are too many.

    Args:
        shape: Shape of the entity's rows.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._held: list[pa.Table] = []

    def hold(self, batch: pa.Table) -> None:
        """Add rows and deletions of the entity's own table."""
        self._held.append(batch)

    def item(self, hint: Any) -> Any | None:
        """All rows as an item for dlt; ``None`` if there are none.

        Args:
            hint: Converts an Arrow field to dlt's column hint.
        """
        if not self._held:
            return None
        by = "timestamp" if self._shape.version == "timestamp" else rows.SYNCED_AT.name
        keys = ["division", *self._shape.keys]
        table = last_states(self._held, keys, by)
        columns: dict[str, TColumnSchema] = {f.name: hint(f) for f in table.schema}
        hints = dlt.mark.make_hints(
            table_name=self._shape.entity.name + SUFFIX,
            write_disposition=SCD2,
            primary_key=(),
            merge_key=KEY,
            columns=columns,
            file_format="parquet",
            schema_contract=ALL_ROWS,
            # On BigQuery a company's rows are clustered, as in the entity's own table.
            additional_table_hints={CLUSTER_COLUMNS_HINT: keys},
        )
        return dlt.mark.with_hints(table, hints, create_table_variant=True)


def last_states(tables: Iterable[pa.Table], keys: Sequence[str], by: str) -> pa.Table:
    """One row per key, the one that the merge into the entity's own table keeps.

    Args:
        tables: Rows and deletions, in any order.
        keys: Columns that identify a row.
        by: Column whose highest value marks the last state.

    Returns:
        The rows with ``_key`` and ``_version``. Null values do not affect the version, so a new column does
        not create new states of rows that have no value in it. The order of columns does not matter
        either, because a withdrawn column is filled in from the destination as the last one.
    """
    held = rows.concat(list(tables))
    # Sorted by name, because a withdrawn column moves to the end, which must not create a new state.
    state = [f"'{c}=' || \"{c}\"" for c in sorted({*held.column_names} - _NO_STATE)]
    deleted = f"CASE WHEN \"{rows.DELETED_AT.name}\" IS NOT NULL THEN 'gone' END"
    named = ", ".join(f'"{k}"' for k in keys)
    sql = (
        f"SELECT *, concat_ws('/', {named}) AS {KEY}, "
        f"md5(concat_ws(chr(31), {', '.join([*state, deleted])})) AS {VERSION} "
        f'FROM held QUALIFY row_number() OVER (PARTITION BY {named} ORDER BY "{by}" DESC NULLS LAST) = 1'
    )
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("held", held)
        found: pa.Table = connection.sql(sql).to_arrow_table()
    # DuckDB keeps the values but not the types of the columns. Only the version is declared not null
    # in the hints, and dlt warns of other nullability in the data.
    fields = [field.with_nullable(True) for field in [*held.schema, pa.field(KEY, pa.string())]]
    return found.cast(pa.schema([*fields, pa.field(VERSION, pa.string(), False)]))
