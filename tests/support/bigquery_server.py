"""The emulator of BigQuery on a free port of loopback; run in its own environment, not imported.

Prints its port when it is ready, and ends when its input closes, so that it never outlives a test run.

One reply is corrected to that of BigQuery: the job of a `CREATE TABLE ... AS` names the table
it wrote as its destination, which dbt asks for, and has no rows of its own.

Its storage is made quicker, because tests of an hour have few rows and thousands of statements. It writes
each table to files, each job to a disk, and lists every table and column, also those of all earlier
results, to say whether one exists. Here all is in memory, and one table is asked for itself.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import uvicorn
from local_bigquery import app
from local_bigquery.api import jobs as api
from local_bigquery.engine import database
from local_bigquery.jobs import query
from local_bigquery.settings import settings
from local_bigquery.sql import native
from local_bigquery.sql.dialect import FUNCTIONS, MACRO

FILLED = "CREATE_TABLE_AS_SELECT"
COLUMNS_OF_ONE = (
    "duckdb_columns() WHERE database_name = ? AND schema_name = ? AND table_name = ? AND"
)
VIEW = """
SELECT view_name, 'VIEW', 0 FROM duckdb_views()
WHERE database_name = ? AND schema_name = ? AND view_name = ? AND NOT internal
"""
execute, results = query.execute, api.results
fetch, objects = database.fetch, database.objects
# DuckDB looks for it in all folders for each parameter of a query, and it is not installed.
sys.modules["pandas"] = None  # type: ignore[assignment]


def execute_and_name(*arguments: Any, **options: Any) -> Any:
    statistics, children, destination = execute(*arguments, **options)
    if statistics.statementType == FILLED:
        destination = statistics.ddlTargetTable
    return statistics, children, destination


def results_of_queries(job: Any, *page: Any) -> Any:
    if job.status.state == "DONE" and job.statistics.query.statementType == FILLED:
        asked = job.configuration.query.replace(destinationTable=None)
        job = job.replace(configuration=job.configuration.replace(query=asked))
    return results(job, *page)


query.execute, api.results = execute_and_name, results_of_queries


@cache
def connect() -> Any:
    """The databases of the emulator, in memory."""
    connection = duckdb.connect(config={"TimeZone": "UTC", "threads": 1})
    connection.execute("ATTACH ':memory:' AS emulator")
    connection.execute("ATTACH ':memory:' AS bq")
    connection.execute(database.EMULATOR_SCHEMA)
    native.register(connection)
    for path in FUNCTIONS:
        connection.execute(MACRO.sub(r"CREATE MACRO bq.main.\1", path.read_text()))
    attach(connection, settings.default_project_id)
    default = database.quote(settings.default_project_id, settings.default_dataset_id)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {default}")
    return connection


def attach(connection: Any, project_id: str) -> None:
    connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {database.quote(project_id)}")
    database._attached.add(project_id)


def projects() -> list[str]:
    return sorted(database._attached)


def objects_quickly(project_id: str, dataset_id: str, table_id: str | None = None) -> Any:
    """The tables and views of a dataset; one table is counted, which only a table can be by row ID."""
    if table_id is None:
        return objects(project_id, dataset_id)
    name = database.quote(project_id, dataset_id, table_id)
    try:
        ((rows,),) = fetch(f"SELECT count(rowid) FROM {name}")
    except duckdb.Error:
        return fetch(VIEW, [project_id, dataset_id, table_id])
    return [(table_id, "TABLE", rows)]


def fetch_quickly(sql: str, parameters: Any = None) -> Any:
    """Rows of a query; a question for columns of one table goes to that table."""
    if COLUMNS_OF_ONE not in sql:
        return fetch(sql, parameters)
    name = database.quote(*parameters[:3]).replace("'", "''")
    sql = sql.replace(COLUMNS_OF_ONE, f"pragma_table_info('{name}') WHERE")
    sql = sql.replace("column_name", "name").replace("NOT is_nullable", '"notnull"')
    try:
        return fetch(sql, parameters[3:])
    except duckdb.CatalogException:
        return []


database._connect, database._attach, database.projects = connect, attach, projects
database.objects, database.fetch = objects_quickly, fetch_quickly


class Server(uvicorn.Server):
    """Prints its port on startup."""

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    settings.data_dir = Path(sys.argv[1])
    threading.Thread(target=end_with_input, daemon=True).start()
    Server(uvicorn.Config(app, port=0, log_level="warning")).run()
