"""Memory and files of a load; dlt's own settings take precedence."""

from __future__ import annotations

from typing import Any

import dlt
from dlt.common.destination.configuration import ParquetFormatConfiguration

# By default DuckDB uses four fifths of the machine's memory as a cache; merges and appends need far less. It
# also uses all cores for one file, but two cores took twice the CPU seconds of one and no less time. dlt
# loads several files in parallel anyway.
DUCKDB_SETTINGS = {"memory_limit": "1GB", "threads": "1"}
# Destination -> capabilities that replace dlt's defaults.
CAPABILITIES: dict[str, dict[str, Any]] = {
    # dlt copies with ADBC, which holds all rows of a file in memory. Files are therefore small, and fewer
    # than dlt's default of twenty are copied at once.
    "postgres": {"recommended_file_size": 8 << 20, "max_parallel_load_jobs": 4},
    # A file is read once, shortly after it is written, so compression costs more than it saves. The rows of
    # a large round go into several files, which are loaded in parallel. Smaller files would fill DuckDB's row
    # groups (122,880 rows) only partly, and DuckDB would join them when it closes; that takes longer.
    "duckdb": {
        "parquet_format": ParquetFormatConfiguration(compression="none"),
        "preferred_loader_file_format": "parquet",
        "recommended_file_size": 128 << 20,
    },
}


def bound_engine(client: Any) -> None:
    """Limit DuckDB's memory and threads until its file is closed.

    ``memory_limit`` and ``threads`` in ``global_config`` of the credentials take precedence.

    Args:
        client: dlt's client, with the file open.
    """
    for setting in DUCKDB_SETTINGS.keys() - (client.credentials.global_config or {}).keys():
        client.execute_sql(f"SET {setting} = '{DUCKDB_SETTINGS[setting]}'")


def choose_file_formats(pipeline: dlt.Pipeline) -> None:
    """Choose the file size and format that the destination loads at the lowest cost.

    Arguments of the destination take precedence.
    """
    kind = str(pipeline.destination.destination_type).rpartition(".")[2]
    given = pipeline.destination.caps_params
    pipeline.destination.caps_params = CAPABILITIES.get(kind, {}) | given
