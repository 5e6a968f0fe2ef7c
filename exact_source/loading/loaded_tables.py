"""Runs the queries of ``warehouse.py``: the connection, table names, and missing tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema.typing import TColumnSchema, TSchemaTables
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import SqlClientBase

TURN = "exact_turn"  # column that numbers the states of a key, the last one first


class LoadedTables:
    """The tables of a pipeline, over one connection that the first query opens.

    ``{table}`` in a statement stands for the table; a table that does not exist has no rows.

    Args:
        pipeline: The pipeline.
        names: Entity -> name of its table, if they differ.
        repairs: Whether to create a table again that was dropped, when it is first read.
    """

    def __init__(
        self, pipeline: dlt.Pipeline, names: Mapping[str, str], *, repairs: bool = False
    ) -> None:
        self._pipeline = pipeline
        self._names = names
        self._repairs = repairs
        self._created: set[str] = set()
        self._logs: dict[str, str] = {}
        self._opened = ExitStack()
        self._client: SqlClientBase[Any] | None = None

    def close(self) -> None:
        """Close the connection, if one was opened."""
        self._client = None
        self._opened.close()

    @property
    def client(self) -> SqlClientBase[Any]:
        """The open connection."""
        if self._client is None:
            # dlt takes tens of milliseconds to open a connection; a query on DuckDB takes one.
            client: Any = self._pipeline.sql_client()
            self._client = self._opened.enter_context(client)
        return self._client

    def columns(self, table: str) -> Mapping[str, TColumnSchema]:
        """Columns of a table as earlier loads declared them; empty if there were none."""
        return self._declared.get(self._names.get(table, table), {}).get("columns", {})

    def quote(self, name: str) -> str:
        """A column name as the database quotes it."""
        return self.client.escape_column_name(name)

    def read_as_log(self, table: str, keys: Sequence[str], *, marked: bool) -> None:
        """Read only the last row of each key; see ``Warehouse.read_as_log``."""
        named = ", ".join(map(self.quote, keys))
        unmarked = "" if marked else " AND _deleted_at IS NULL"
        self._logs[table] = (
            "(SELECT * FROM (SELECT log.*, ROW_NUMBER() OVER "
            f"(PARTITION BY {named} ORDER BY _synced_at DESC) AS {TURN} FROM {{}} log) turns "
            f"WHERE {TURN} = 1{unmarked}) states"
        )

    def rows(self, table: str, sql: str, params: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The result of a query on a table, as rows."""
        client = self.client
        try:
            found: Any = client.execute_sql(sql.format(table=self._table(table)), *params)
        except (DatabaseUndefinedRelation, DestinationUndefinedEntity) as missing:
            _forget_frames(missing)
            self._create_again(table)
            return []
        return list(found) if found else []

    def arrow(self, table: str, sql: str, params: Sequence[Any]) -> pa.Table | None:
        """The result of a query on a table; ``None`` if the table does not exist."""
        client = self.client
        text = sql.format(table=self._table(table))
        try:
            with client.execute_query(text, *params) as cursor:
                # The whole result: BigQuery returns it in pages.
                everything: Any = None  # dlt's signature requires a number, but 0 never ends
                found = whole(cursor.iter_arrow(chunk_size=everything))
        except (DatabaseUndefinedRelation, DestinationUndefinedEntity) as missing:
            _forget_frames(missing)
            return None
        if found is None:
            return None
        found = self._with_own_names(table, found)
        return found.drop_columns([TURN]) if TURN in found.column_names else found

    @cached_property
    def _declared(self) -> TSchemaTables:
        """Cached, because dlt hashes the whole schema at every access, which takes milliseconds."""
        name: Any = self._pipeline.default_schema_name
        if name is None or name not in self._pipeline.schemas:
            return {}
        return self._pipeline.schemas[name].tables

    def _table(self, name: str) -> str:
        table = self.client.make_qualified_table_name(self._names.get(name, name))
        return self._logs.get(name, "{}").format(table)

    def _create_again(self, entity: str) -> None:
        """Create a table that was loaded before: dlt creates tables only if its schema has changed."""
        table = self._names.get(entity, entity)
        if not self._repairs or table in self._created or table not in self._declared:
            return
        self._created.add(table)
        with self._pipeline.destination_client() as client:
            if isinstance(client, SqlJobClientBase) and _is_loaded(client):
                client.update_stored_schema(only_tables=[table], force=True)

    def _with_own_names(self, table: str, found: pa.Table) -> pa.Table:
        """A result with the column names of the dlt schema: Snowflake folds names to upper case."""
        fold = self.client.capabilities.casefold_identifier
        names = {fold(name): name for name in (*self.columns(table), TURN)}
        return found.rename_columns([names.get(name, name) for name in found.column_names])


class NothingLoaded(LoadedTables):
    """No tables and no connection: nothing was ever loaded."""

    def __init__(self) -> None:
        """Without a pipeline."""

    def close(self) -> None:
        """Do nothing, because nothing is open."""

    def columns(self, table: str) -> Mapping[str, TColumnSchema]:  # noqa: ARG002
        """None."""
        return {}

    def quote(self, name: str) -> str:
        """The name itself."""
        return name

    def rows(self, table: str, sql: str, params: Sequence[Any]) -> Sequence[Sequence[Any]]:  # noqa: ARG002
        """None."""
        return []

    def arrow(self, table: str, sql: str, params: Sequence[Any]) -> pa.Table | None:  # noqa: ARG002
        """No table."""
        return None


def whole(pieces: Iterable[pa.Table | pa.RecordBatch | None]) -> pa.Table | None:
    """One table of all pieces of a result; ``None`` if there are none."""
    tables = [
        pa.Table.from_batches([piece]) if isinstance(piece, pa.RecordBatch) else piece
        for piece in pieces
        if piece is not None  # Snowflake's driver returns no table for no rows
    ]
    return pa.concat_tables(tables) if tables else None


def _is_loaded(client: SqlJobClientBase) -> bool:
    """Whether the schema is that of a load; a changed one creates its tables with the next load."""
    schema = client.schema
    if schema.is_modified:
        return False
    return client.get_stored_schema_by_hash(schema.stored_version_hash) is not None


def _forget_frames(error: BaseException) -> None:
    """Clear the frames of an error, which refer to the error and are freed only by the garbage collector.

    Otherwise the first batch of a first load, 57 MB, stays in memory.
    """
    inner: BaseException | None = error
    while inner is not None:
        inner.__traceback__ = None
        inner = inner.__context__
