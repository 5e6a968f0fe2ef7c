"""A sync bounds what DuckDB takes of the machine's memory, and keeps to what the user set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

from exact_source.alone import held_open


@pytest.mark.parametrize(
    ("config", "limit"), [(None, "953.6 MiB"), ({"memory_limit": "2GB"}, "1.8 GiB")]
)
def test_memory_is_bounded_unless_the_user_says_otherwise(
    tmp_path: Path, config: dict[str, Any] | None, limit: str
) -> None:
    credentials = DuckDbCredentials(str(tmp_path / "exact.duckdb"), global_config=config)
    pipeline = dlt.pipeline(
        "exact_online", destination=dlt.destinations.duckdb(credentials), dataset_name="books",
        pipelines_dir=str(tmp_path / "pipelines"),
    )  # fmt: skip
    with held_open(pipeline, 0), pipeline.sql_client() as client:
        assert client.execute_sql("SELECT current_setting('memory_limit')") == [(limit,)]
