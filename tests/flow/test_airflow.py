"""The DAG of ``pipelines/airflow_dag.py`` run by Airflow itself, and what its tasks tell Airflow."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.airflow_kit import Airflow, tell_real_time
from tests.conftest import MakeWorld

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Calls the function of the mapped task, which raises what Airflow acts upon.
TASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions.dag import DAG
import books
"""


@pytest.fixture
def airflow(make_world: MakeWorld, tmp_path: Path) -> Airflow:
    world = make_world(companies=3)
    world.box.state.limits.minute_limit = 1000
    tell_real_time(world)
    warehouse = {"conn_type": "duckdb", "host": str(tmp_path / "exact.duckdb")}
    return Airflow(tmp_path / "airflow", world, warehouse)


def test_a_dag_run_brings_all_companies_up_to_date(airflow: Airflow) -> None:
    """Airflow 3 gives a cron schedule a data interval of no length, which must not matter."""
    airflow.write_dag(groups=2, entities=["accounts", "items"])
    assert airflow.run("db", "migrate").returncode == 0
    done = airflow.run("dags", "test", "books")

    assert done.returncode == 0, done.stdout[-3000:]
    assert "state=success" in done.stdout
    assert done.stdout.count("'loads': 1") == 2
    world = airflow.world
    with duckdb.connect(airflow.warehouse["host"]) as database:
        counts = "SELECT division, count(*) FROM exact_online.accounts GROUP BY 1"
        loads = "SELECT count(*) FROM exact_online._dlt_loads"
        found = dict(database.execute(counts).fetchall())
        assert database.execute(loads).fetchall() == [(2,)]
    assert found == {d: len(world.box.rows("crm/Accounts", d)) for d in world.box.divisions}
