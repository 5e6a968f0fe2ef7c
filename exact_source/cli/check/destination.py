"""Checks whether tables and rows can be written to the destination."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from ...errors import ExactError
from ...loading.failed_jobs import refuse_silent_failures
from ...loading.strategy import need_table_format
from ...loading.warehouse import Warehouse
from ...source import make_options
from .._output.database_errors import DestinationError, reaching
from .._output.stored_syncs import database_file

if TYPE_CHECKING:
    import dlt

    from .findings import Findings

PROBE = "_exact_check"


def check_destination(findings: Findings, pipeline: dlt.Pipeline) -> None:
    """Whether tables can be created and filled; the check leaves nothing behind."""
    name = pipeline.destination.destination_name
    try:
        refuse_silent_failures(pipeline)
        table_format = make_options().table_format
        if table_format and pipeline.destination.destination_type.endswith(".filesystem"):
            need_table_format(table_format)
        file = database_file(pipeline)
        with reaching(pipeline):
            if file is None:
                write_probe(pipeline)
            else:
                check_file(file)
    except ExactError as error:
        findings.fail("destination", error)
        return
    place = name if file is None else f"{name} file {file}"
    findings.add("destination", "ok", f"{place}, dataset {pipeline.dataset_name}: can be written")


def check_file(file: Path) -> None:
    """Open a DuckDB file for reading, and check whether a sync could write it.

    Raises:
        DestinationError: If the file or its folder cannot be written.
    """
    for path in (file, file.parent):
        if path.exists() and not os.access(path, os.W_OK):
            raise DestinationError(
                f"destination duckdb: {path} cannot be written; give the user of this process the "
                "right to write the file and its folder"
            )
    if file.exists():
        # A reader in another process refuses a sync, but no second reader; DuckDB's error names the process.
        duckdb.connect(str(file), read_only=not is_locked(file)).close()


def is_locked(file: Path) -> bool:
    """Whether another process has the DuckDB file open; DuckDB locks it by ``fcntl``."""
    with file.open("rb+") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def write_probe(pipeline: dlt.Pipeline) -> None:
    """Create a table, write a row, and remove both."""
    stored = Warehouse(pipeline)
    try:
        stored.check()
    finally:
        stored.close()
    with pipeline.sql_client() as client:
        existed = client.has_dataset()
        if not existed:
            client.create_dataset()
        table = client.make_qualified_table_name(PROBE)
        try:
            client.drop_tables(PROBE)  # Synapse has no DROP TABLE IF EXISTS
            client.execute_sql(f"CREATE TABLE {table} (n BIGINT)")
            client.execute_sql(f"INSERT INTO {table} VALUES (1)")
            client.execute_sql(f"DROP TABLE {table}")
        finally:
            if not existed:
                client.drop_dataset()
