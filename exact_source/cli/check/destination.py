"""Whether the destination takes tables and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ExactError
from ...loading.warehouse import Warehouse
from .._output.stored_syncs import database_file, reaching

if TYPE_CHECKING:
    import dlt

    from .findings import Findings

PROBE = "_exact_check"


def check_destination(findings: Findings, pipeline: dlt.Pipeline) -> None:
    """Whether tables can be made and filled; what the check made is gone afterwards."""
    name = pipeline.destination.destination_name
    try:
        file = database_file(pipeline)
        is_new = file is not None and not file.exists()
        with reaching(pipeline):
            write_probe(pipeline)
        if is_new and file is not None:
            file.unlink(missing_ok=True)
    except ExactError as error:
        findings.fail("destination", error)
        return
    place = name if file is None else f"{name} file {file}"
    findings.add("destination", "ok", f"{place}, dataset {pipeline.dataset_name}: can be written")


def write_probe(pipeline: dlt.Pipeline) -> None:
    """Make a table, write a row, and remove what was made."""
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
            client.execute_sql(f"DROP TABLE IF EXISTS {table}")
            client.execute_sql(f"CREATE TABLE {table} (n BIGINT)")
            client.execute_sql(f"INSERT INTO {table} VALUES (1)")
            client.execute_sql(f"DROP TABLE {table}")
        finally:
            if not existed:
                client.drop_dataset()
