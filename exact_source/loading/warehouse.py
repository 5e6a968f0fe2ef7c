"""Queries on the tables of earlier loads: ``engine.ports.Destination`` for dlt's SQL destinations.

Deletions need them. They are queried first and yielded as rows, so that dlt's load package contains
them and commits them together with the data and the cursor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import dlt
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationException
from dlt.common.schema.typing import TColumnSchema

from ..catalogue import snake
from ..engine.ports import WINDOW
from ..errors import ConfigurationError
from ..odata.columns import INSTANT, KEPT
from ..odata.page_schema import COMPANIONS
from .failed_jobs import refuse_silent_failures, with_failed_jobs
from .loaded_tables import LoadedTables, NothingLoaded
from .sync_columns import SYNCS_TABLE

T = TypeVar("T")

# Values bound in one statement; DuckDB and Postgres accept more, BigQuery is faster with fewer.
CHUNK = 500
REJECTED_TABLE = "_exact_rejected"
STATE_TABLE = "_dlt_pipeline_state"
# Type of a loaded column -> type code of the catalogue that is loaded into it.
TYPE_CODES: Mapping[tuple[str | None, int | None], str] = {
    ("text", None): "s",
    ("bigint", None): "l",
    ("bigint", 32): "i",
    ("bigint", 16): "h",
    ("decimal", 38): "m",
    ("double", None): "f",
    ("bool", None): "b",
    ("timestamp", None): "t",
}


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The rows of one division in a table.

    Attributes:
        count: Number of rows, including rows marked as deleted.
        last_synced: The highest ``_synced_at``; ``None`` without rows.
        first_synced: The lowest ``_synced_at``.
    """

    count: int = 0
    last_synced: datetime | None = None
    first_synced: datetime | None = None


NOTHING_STORED = StoredRows()


class Warehouse:
    """Reads from the destination of a pipeline, over one connection that the first read opens.

    Args:
        pipeline: The pipeline whose run is extracting.
        names: Entity -> name of its table, if they differ.
        repairs: Whether to create a table again that was dropped, when it is first read.
    """

    def __init__(
        self,
        pipeline: dlt.Pipeline,
        names: Mapping[str, str] | None = None,
        *,
        repairs: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._tables = LoadedTables(pipeline, names or {}, repairs=repairs)
        self._known_rows: dict[str, Mapping[int, StoredRows]] = {}
        self.failures: tuple[type[Exception], ...] = (DestinationException,)

    def close(self) -> None:
        """Close the connection, if one was opened."""
        self._known_rows.clear()
        self._tables.close()

    @property
    def pipeline(self) -> dlt.Pipeline:
        """The pipeline whose run is extracting."""
        return self._pipeline

    def check(self) -> None:
        """Refuse settings with which dlt would fail or lose rows, before the first call.

        Raises:
            ConfigurationError: If a DuckDB file and its dataset have the same name, or if dlt is set to
                list a package with a failed job as loaded.
        """
        refuse_silent_failures(self._pipeline)
        if not str(self._pipeline.destination.destination_type).endswith(".duckdb"):
            return
        found: Any = self._tables.client.execute_sql("SELECT current_database()")
        catalog = str((found or [[""]])[0][0])
        if catalog.lower() == str(self._pipeline.dataset_name).lower():
            raise ConfigurationError(
                f"the DuckDB file and the dataset are both called {catalog}, which DuckDB cannot tell "
                'apart; give the file another name: dlt.destinations.duckdb("exact.duckdb")'
            )

    def completed_loads(self, load_ids: Iterable[str]) -> set[str]:
        """The ``load_ids`` whose packages are completely loaded."""
        wanted = sorted(set(load_ids))
        found: set[str] = set()
        for chunk in _chunks(wanted):
            sql = f"SELECT load_id FROM {{table}} WHERE status = 0 AND load_id IN ({_marks(chunk)})"
            found.update(str(row[0]) for row in self._tables.rows("_dlt_loads", sql, chunk))
        return found - with_failed_jobs(self._pipeline, found)

    def loads(self) -> int:
        """Number of completed loads into the dataset, by this pipeline and others."""
        found = self._tables.rows("_dlt_loads", "SELECT count(*) FROM {table}", [])
        return int(found[0][0]) if found else 0

    def pipelines(self) -> set[str]:
        """Names of the pipelines whose state is in the dataset, this one included."""
        sql = "SELECT DISTINCT pipeline_name FROM {table}"
        return {str(row[0]) for row in self._tables.rows(STATE_TABLE, sql, [])}

    def versions(
        self,
        table: str,
        division: int,
        key: str,
        values: Sequence[str],
        version: str,
        *,
        marked: bool,
    ) -> dict[str, Any]:
        """Key -> version, for the rows of one division with these keys.

        Args:
            table: Table name.
            division: Code of the division.
            key: Name of the key column.
            values: Keys to look for.
            version: Column with the version of a row.
            marked: Whether to include rows that are marked as deleted.
        """
        unmarked = "" if marked else " AND _deleted_at IS NULL"
        found: dict[str, Any] = {}
        for chunk in _chunks(values):
            sql = (
                f"SELECT {self._tables.quote(key)}, {self._tables.quote(version)} FROM {{table}} "
                f"WHERE division = %s AND {self._tables.quote(key)} IN ({_marks(chunk)}){unmarked}"
            )
            found.update(
                (str(k), _value(v)) for k, v in self._tables.rows(table, sql, [division, *chunk])
            )
        return found

    def synced_before(
        self,
        table: str,
        division: int,
        keys: Sequence[str],
        before: datetime | None,
        *,
        marked: bool,
    ) -> pa.Table | None:
        """Keys of the rows of one division last synced before a given time, or of all its rows.

        ``marked``: whether to include rows that are marked as deleted.

        Returns:
            A table with the columns ``keys``; ``None`` if the table does not exist.
        """
        columns = ", ".join(map(self._tables.quote, keys))
        unmarked = "" if marked else " AND _deleted_at IS NULL"
        dated = "" if before is None else " AND _synced_at < %s"
        sql = f"SELECT {columns} FROM {{table}} WHERE division = %s{dated}{unmarked}"
        return self._tables.arrow(table, sql, [division] if before is None else [division, before])

    def marked(self, table: str, division: int, keys: Sequence[str]) -> pa.Table | None:
        """Keys of the rows of one division that are marked as deleted; as ``synced_before`` returns them."""
        columns = ", ".join(map(self._tables.quote, keys))
        sql = f"SELECT {columns} FROM {{table}} WHERE division = %s AND _deleted_at IS NOT NULL"
        return self._tables.arrow(table, sql, [division])

    def distinct(self, table: str, division: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """The distinct values of some columns in the rows of one division that are not deleted."""
        names = ", ".join(map(self._tables.quote, columns))
        sql = f"SELECT DISTINCT {names} FROM {{table}} WHERE division = %s AND _deleted_at IS NULL"
        return [tuple(row) for row in self._tables.rows(table, sql, [division])]

    def rows(
        self, table: str, division: int, key: str, values: Sequence[str | int]
    ) -> Iterator[pa.Table]:
        """Whole rows of one division by their keys, a chunk at a time."""
        column = self._tables.quote(key)
        for chunk in _chunks(values):
            sql = f"SELECT * FROM {{table}} WHERE division = %s AND {column} IN ({_marks(chunk)})"
            found = self._tables.arrow(table, sql, [division, *chunk])
            if found is not None:
                yield found

    def all_rows(self, table: str) -> pa.Table | None:
        """Whole rows of all divisions, deleted ones included; ``None`` if the table does not exist."""
        return self._tables.arrow(table, "SELECT * FROM {table}", [])

    def columns(self, table: str) -> Mapping[str, TColumnSchema]:
        """Columns of a table as earlier loads declared them; empty if there were none."""
        return self._tables.columns(table)

    def read_as_log(self, table: str, keys: Sequence[str], *, marked: bool) -> None:
        """Read only the last row of each key from a table that contains all states.

        Args:
            table: Table name.
            keys: Its key columns.
            marked: Whether to include rows that are marked as deleted.
        """
        self._tables.read_as_log(table, keys, marked=marked)

    def has_column(self, table: str, column: str) -> bool:
        """Whether a column was loaded before."""
        return column in self.columns(table)

    def kept_columns(self, table: str, fields: Iterable[str], live: Collection[str]) -> pa.Schema:
        """The loaded columns of fields that are no longer requested, in their loaded types.

        Args:
            table: Table name.
            fields: Exact's names of the fields; their companions are kept with them.
            live: Columns that are still requested.
        """
        names = [snake(field) + ending for field in fields for ending in ("", *COMPANIONS)]
        known = self.columns(table) if names else {}
        kept = (known[name] for name in dict.fromkeys(names) if name in known and name not in live)
        types = [(column["name"], loaded_type(column)) for column in kept]
        return pa.schema([(name, kind) for name, kind in types if kind is not None])

    def highest(self, table: str, division: int, column: str) -> int | None:
        """The highest value of a column in rows that are not deleted; ``None`` without values."""
        if not self.has_column(table, column):
            return None
        sql = (
            f"SELECT MAX({self._tables.quote(column)}) FROM {{table}} "
            "WHERE division = %s AND _deleted_at IS NULL"
        )
        found = self._tables.rows(table, sql, [division])
        return int(found[0][0]) if found and found[0][0] is not None else None

    def divisions(self, table: str, *, marked: bool) -> set[int]:
        """Divisions that have rows; ``marked``: whether to include rows that are marked as deleted."""
        unmarked = "" if marked else " WHERE _deleted_at IS NULL"
        return {
            int(row[0])
            for row in self._tables.rows(
                table, f"SELECT DISTINCT division FROM {{table}}{unmarked}", []
            )
        }

    def count(self, table: str, division: int | None = None) -> int:
        """Rows of a table, or of one division in it, including rows marked as deleted."""
        mine = [] if division is None else [division]
        where = " WHERE division = %s" if mine else ""
        found = self._tables.rows(table, f"SELECT COUNT(*) FROM {{table}}{where}", mine)
        return int(found[0][0]) if found else 0

    def counts(self, table: str) -> Mapping[int, int] | None:
        """Division -> number of rows, deleted ones included; empty if the table does not exist."""
        return {code: stored.count for code, stored in self._stored(table).items()}

    def window_rows(self, table: str, division: int, since: float) -> int:
        """Upper bound of the rows that windows have loaded since a time (seconds since the epoch)."""
        sql = (
            f"SELECT SUM({self._tables.quote('rows')}) FROM {{table}} WHERE entity = %s AND division = %s "
            "AND feed LIKE %s AND ended_at >= %s"
        )
        values = [table, division, f"%{WINDOW}%", datetime.fromtimestamp(since, UTC)]
        found = self._tables.rows(SYNCS_TABLE, sql, values)
        return int(found[0][0] or 0) if found else 0

    def last_synced(self, table: str, division: int) -> datetime | None:
        """The highest ``_synced_at`` of a division; ``None`` without rows."""
        return self._stored(table).get(division, NOTHING_STORED).last_synced

    def first_synced(self, table: str, division: int) -> datetime | None:
        """The lowest ``_synced_at`` of a division; ``None`` without rows."""
        return self._stored(table).get(division, NOTHING_STORED).first_synced

    def _stored(self, table: str) -> Mapping[int, StoredRows]:
        """The rows of each division; queried once per extraction, during which nothing is loaded."""
        if table not in self._known_rows:
            sql = (
                "SELECT division, COUNT(*), MAX(_synced_at), MIN(_synced_at) "
                "FROM {table} GROUP BY division"
            )
            self._known_rows[table] = {
                int(code): StoredRows(int(count), as_instant(last), as_instant(first))
                for code, count, last, first in self._tables.rows(table, sql, [])
            }
        return self._known_rows[table]

    def repeated(self, table: str, keys: Sequence[str]) -> pa.Table | None:
        """Number of duplicate keys of a table; ``None`` if the table does not exist."""
        columns = ", ".join(map(self._tables.quote, keys))
        sql = f"SELECT {columns} FROM {{table}} GROUP BY {columns} HAVING COUNT(*) > 1"
        return self._tables.arrow(table, sql, [])

    def calls_since(self, moment: datetime) -> int:
        """Calls of all runs into this destination since a time, according to the sync log."""
        sql = "SELECT COALESCE(SUM(calls + shared_calls), 0) FROM {table} WHERE ended_at >= %s"
        found = self._tables.rows(SYNCS_TABLE, sql, [moment])
        return int(found[0][0]) if found else 0

    def has_rows(self, table: str, division: int) -> bool:
        """Whether the destination has rows of a division."""
        return division in self._stored(table)


class NoTables(Warehouse):
    """The destination of a resource that is iterated without a pipeline: nothing was ever loaded."""

    def __init__(self) -> None:
        self.failures = ()
        self._tables = NothingLoaded()
        self._known_rows: dict[str, Mapping[int, StoredRows]] = {}

    def completed_loads(self, load_ids: Iterable[str]) -> set[str]:  # noqa: ARG002
        """None, so that reading starts again."""
        return set()


def _value(value: Any) -> Any:
    """A version as the destination returns it; SQLite's dates, which are text, become dates."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def as_instant(value: datetime | str | None) -> datetime | None:
    """A time from a destination: SQLite returns text, and others return UTC without a zone."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def loaded_type(column: TColumnSchema) -> pa.DataType | None:
    """The Arrow type of a loaded column; ``None`` if it is not a type of this package."""
    type_code = TYPE_CODES.get((column.get("data_type"), column.get("precision")))
    if type_code == "t" and column.get("timezone", True):
        return INSTANT
    return None if type_code is None else KEPT[type_code]


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))


def _chunks(values: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), CHUNK):
        yield list(values[start : start + CHUNK])
