"""How much memory a load takes, and in what files, unless the user says otherwise by dlt's settings."""

from __future__ import annotations

from typing import Any

import dlt
from dlt.common.destination.configuration import ParquetFormatConfiguration

# DuckDB would take four fifths of the machine's memory for its cache; merges and appends need far less. It
# would take all cores for one file of rows, and two of them took twice the CPU seconds of one and no less
# time; several files are loaded side by side by dlt in any case.
DUCKDB_SETTINGS = {"memory_limit": "1GB", "threads": "1"}
# Of a kind of destination: what dlt would otherwise do its own way.
CAPABILITIES: dict[str, dict[str, Any]] = {
    # dlt copies by ADBC, which has all rows of a file in memory: so files are small, and fewer than dlt's
    # twenty are copied at once. Some are, since each waits for a connection of its own.
    "postgres": {"recommended_file_size": 8 << 20, "max_parallel_load_jobs": 4},
    # A file is read once, where it was written a moment ago: to compress it costs more than it saves.
    "duckdb": {"parquet_format": ParquetFormatConfiguration(compression="none")},
}


def bound_engine(client: Any) -> None:
    """Have DuckDB take so much at most, until its file closes.

    ``memory_limit`` and ``threads`` in ``global_config`` of the credentials say otherwise.

    Args:
        client: dlt's, with the file open.
    """
    for setting in DUCKDB_SETTINGS.keys() - (client.credentials.global_config or {}).keys():
        client.execute_sql(f"SET {setting} = '{DUCKDB_SETTINGS[setting]}'")


def choose_file_formats(pipeline: dlt.Pipeline) -> None:
    """Have files be of the size and form that the destination loads at the least cost.

    The same arguments of the destination say otherwise.
    """
    kind = str(pipeline.destination.destination_type).rpartition(".")[2]
    given = pipeline.destination.caps_params
    pipeline.destination.caps_params = CAPABILITIES.get(kind, {}) | given
