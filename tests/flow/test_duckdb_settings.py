"""A sync bounds what DuckDB takes of the machine, and keeps to what the user set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

from exact_source.alone import held_open


@pytest.mark.parametrize(
    ("config", "taken"),
    [
        (None, ("953.6 MiB", 1)),
        ({"memory_limit": "2GB"}, ("1.8 GiB", 1)),
        ({"threads": 2}, ("953.6 MiB", 2)),
    ],
)
def test_what_duckdb_takes_is_bounded_unless_the_user_says_otherwise(
    tmp_path: Path, config: dict[str, Any] | None, taken: tuple[str, int]
) -> None:
    credentials = DuckDbCredentials(str(tmp_path / "exact.duckdb"), global_config=config)
    pipeline = dlt.pipeline(
        "exact_online", destination=dlt.destinations.duckdb(credentials), dataset_name="books",
        pipelines_dir=str(tmp_path / "pipelines"),
    )  # fmt: skip
    with held_open(pipeline, 0), pipeline.sql_client() as client:
        settings = "SELECT current_setting('memory_limit'), current_setting('threads')"
        assert client.execute_sql(settings) == [taken]
