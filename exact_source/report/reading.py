"""Reads the figures through a pipeline: finds the tables, and reports missing ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..loading.sync_columns import SYNCS_TABLE
from ..options import Companies
from .figures import Figures, Reader, Rows
from .models import Models, models_folder

if TYPE_CHECKING:
    import dlt
    from dlt.destinations.sql_client import SqlClientBase

WITHOUT_LIMIT = {"fabric", "mssql", "synapse"}  # T-SQL
EVERY_COMPANY = Companies()
NEEDED = "gl_accounts and transaction_lines"


def read_figures(
    pipeline: dlt.Pipeline,
    *,
    day: date,
    made_at: datetime,
    divisions: Sequence[int] = (),
    companies: Companies = EVERY_COMPANY,
    marts: str | None = None,
) -> Figures:
    """The figures of the report.

    Args:
        pipeline: Pipeline with the destination and the dataset of the loaded tables.
        day: Day for which open items are aged, and the last day whose entries count.
        made_at: The current time.
        divisions: Companies to report; empty for all.
        companies: The same by code and name.
        marts: Schema of the tables that dbt built. They are read only if they cover the same day, all
            entries up to it and the latest load. Otherwise, or if ``None``, everything is computed from
            the loaded tables.

    Raises:
        ConfigurationError: If the tables that the report needs are not loaded, or the database has no
            ``LIMIT`` and ``date_trunc``.
    """
    dialect = str(pipeline.destination.destination_type).rsplit(".", 1)[-1]
    if dialect in WITHOUT_LIMIT:
        raise ConfigurationError(
            f"the report does not run on {dialect}, whose SQL differs; it runs on DuckDB, Postgres and "
            "BigQuery"
        )
    with pipeline.sql_client() as client:
        database = Database(client, dialect, day)
        is_built = marts is not None and database.shows_marts(marts)
        figures = Figures(day=day, made_at=made_at, built=is_built)
        ask = database.asker(marts if is_built else None)
        if companies != EVERY_COMPANY:
            every = Figures(day=day, made_at=made_at)
            names = Reader(ask(True), ask(False), (), every).names()
            divisions = companies.choose_loaded(names)
        return Reader(ask(True), ask(False), divisions, figures).read()


class Database:
    """Queries one database.

    Args:
        client: Open SQL client.
        dialect: dbt's name for the database.
        day: Day of the report.
    """

    def __init__(self, client: SqlClientBase[Any], dialect: str, day: date) -> None:
        self._client = client
        self._dialect = dialect
        self._day = day
        self._loaded: dict[str, bool] = {}

    def shows_marts(self, marts: str) -> bool:
        """Whether dbt built its tables for this day, from the latest load, with the default settings.

        These tables contain all entries, so they cannot be used if there are entries after the day.
        """
        from dlt.destinations.exceptions import DatabaseException

        sql = self._models().query(
            "as_of",
            built=self._built(marts),
            syncs=self._client.make_qualified_table_name(SYNCS_TABLE),
        )
        try:
            return bool(self._rows(sql))
        except DatabaseException:  # tables of a different release
            return False

    def asker(self, marts: str | None) -> Callable[[bool], Callable[..., Any]]:
        """Makes functions that run a query of the report.

        Args:
            marts: Schema of the tables that dbt built; ``None`` to compute them.
        """
        built = None if marts is None else self._built(marts)
        models = self._models(built, exact_entries_until=self._day.isoformat())

        def choose(required: bool) -> Callable[..., Any]:
            def ask(query: str, **values: Any) -> Rows | None:
                rows = self._rows(models.query(query, **values))
                if rows is None and required:
                    raise ConfigurationError(
                        f"tables that the report needs are not loaded; sync at least {NEEDED}"
                    )
                return rows

            return ask

        return choose

    def _models(self, built: Callable[[str], str] | None = None, **variables: Any) -> Models:
        known = {
            "exact_as_of": self._day.isoformat(),
            "exact_dataset": self._client.dataset_name,
        }
        return Models(
            models_folder(),
            self._dialect,
            self._client.make_qualified_table_name,
            built=built,
            variables=known | variables,
            quote=self._client.escape_column_name,
            is_loaded=self._is_loaded,
        )

    def _is_loaded(self, table: str) -> bool:
        if table not in self._loaded:
            name = self._client.make_qualified_table_name(table)
            self._loaded[table] = self._rows(f"SELECT 1 FROM {name} WHERE 1 = 0") is not None
        return self._loaded[table]

    def _built(self, marts: str) -> Callable[[str], str]:
        def qualified(name: str) -> str:
            with self._client.with_alternative_dataset_name(marts) as client:
                return client.make_qualified_table_name(name)

        return qualified

    def _rows(self, sql: str) -> Rows | None:
        from dlt.common.destination.exceptions import DestinationUndefinedEntity
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        # Without arguments the drivers do not interpret percent signs.
        try:
            return list(self._client.execute_sql(sql) or ())
        except (DatabaseUndefinedRelation, DestinationUndefinedEntity):
            return None
