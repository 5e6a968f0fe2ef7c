"""Builds the dbt package in Airflow 3 when a sync has changed its tables; adapt the two paths.

dbt needs its own environment: ``python -m venv /opt/dbt; /opt/dbt/bin/pip install -r requirements.txt``.
The dbt profile reads the database from the worker's environment; see docs/dbt.md.
"""

import os
from datetime import UTC, datetime

from airflow.sdk import dag, task

from exact_source.airflow import table_assets

PACKAGE = os.environ.get("EXACT_DBT_PACKAGE", "/opt/exact-source/pipelines/dbt")
DBT = os.environ.get("EXACT_DBT", "/opt/dbt/bin/dbt")
ENTITIES = None  # the same as in exact_online_dag(entities=...)


@dag(
    schedule=list(table_assets(ENTITIES).values()),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags={"exact_online", "dbt"},
    default_args={"retries": 1},
)
def exact_online_dbt() -> None:
    """Build models and run their tests."""

    @task.bash(append_env=True)
    def build() -> str:
        return f"{DBT} build --project-dir {PACKAGE} --profiles-dir {PACKAGE}"

    build()


exact_online_dbt()
