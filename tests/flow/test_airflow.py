"""The DAG of ``pipelines/airflow_dag.py`` run by Airflow itself, and what its tasks tell Airflow."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from exact_source.alone import only_one
from tests.airflow_kit import Airflow, postgres_connection, tell_real_time
from tests.conftest import MakeWorld

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Calls the function of the mapped task, and shows what it raises for Airflow to act upon.
TASK = """
import runpy, sys, json, os
from airflow.sdk import Context
assert "task_reschedule_count" in Context.__annotations__  # the task reads it, if it is there
from airflow.sdk.exceptions import (
    AirflowException, AirflowFailException, AirflowRescheduleException,
)
dag = runpy.run_path(sys.argv[1])["dag"]
function = dag.get_task("sync_group").python_callable
for group in json.loads(sys.argv[2]):
    try:
        said = {"returned": function(group)}
    except AirflowRescheduleException as error:
        said = {"again": error.reschedule_date.timestamp()}
    except AirflowFailException as error:
        said = {"fail": str(error)}
    except AirflowException as error:
        said = {"retry": str(error)}
    said["left"] = [name for name in os.environ if name.startswith("SOURCES__")]
    print("SAID", json.dumps(said))
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


def tell(airflow: Airflow, *groups: list[int]) -> list[dict[str, Any]]:
    """What the task of each group tells Airflow, run one after the other."""
    given = [{"name": f"{n}_of_9", "divisions": codes} for n, codes in enumerate(groups)]
    dag = str(airflow.home / "dags" / "books.py")
    done = airflow.run("-c", TASK, dag, json.dumps(given))
    said = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert len(said) == len(groups), done.stdout + done.stderr
    return [json.loads(line.removeprefix("SAID ")) for line in said]


def test_airflow_is_told_when_a_task_can_go_on(airflow: Airflow) -> None:
    world = airflow.world
    box, (a, b, c) = world.box, world.box.divisions
    airflow.write_dag(entities=["accounts"])
    box.state.limits.daily_limit = 4
    midnight = (box.clock.now() // 86_400 + 1) * 86_400

    said = tell(airflow, [a], [a], [b, c], [1])

    assert said[0]["returned"]["rows"] == len(box.rows("crm/Accounts", a))
    assert midnight <= said[1]["again"] <= midnight + 5  # the calls of the day are used up
    assert said[2]["returned"]["loads"] == 1
    assert "division 1: Exact Online answered 403" in said[3]["fail"]


def test_a_task_fails_at_once_where_a_person_is_needed_and_is_retried_where_time_helps(
    airflow: Airflow,
) -> None:
    world = airflow.world
    airflow.write_dag(entities=["accounts"])
    world.box.clock.set(time.time() - 900)
    world.login()  # with a token that is due by now
    world.base_url = "http://127.0.0.1:9"  # where nobody listens
    (said,) = tell(airflow, [world.division])
    assert "Exact Online could not be reached" in said["retry"]

    (world.folder / "tokens.json").unlink()
    (said,) = tell(airflow, [world.division])
    assert "exact-source login" in said["fail"]
    assert said["left"] == []  # the settings of a connection are not left to the next task


def test_settings_that_a_connection_lacks_come_from_elsewhere(
    airflow: Airflow, postgres: str
) -> None:
    """A password may hold whatever an address may not."""
    box = airflow.world.box
    airflow.app = {"login": None, "password": None}
    airflow.variables = {
        "SOURCES__EXACT_ONLINE__CLIENT_ID": box.client_id,
        "SOURCES__EXACT_ONLINE__CLIENT_SECRET": box.client_secret,
    }
    airflow.warehouse = postgres_connection(postgres) | {"password": "p@ss/w%rd:?#"}
    airflow.write_dag(entities=["accounts"])

    (said,) = tell(airflow, box.divisions)

    truth = sum(len(box.rows("crm/Accounts", d)) for d in box.divisions)
    assert said["returned"]["rows"] == truth
    assert sorted(said["left"]) == sorted(airflow.variables)
    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM exact_online.accounts")
        assert cursor.fetchone() == (truth,)


def test_a_warehouse_of_another_kind_is_refused(airflow: Airflow) -> None:
    airflow.warehouse = {"conn_type": "mysql", "host": "127.0.0.1", "password": "not shown"}
    airflow.write_dag(entities=["accounts"])

    with airflow.world.watch() as calls:
        (said,) = tell(airflow, [airflow.world.division])

    assert said["fail"].startswith("connection exact_warehouse is of type mysql; use duckdb or")
    assert calls.all == []


def test_a_task_that_airflow_lost_and_that_goes_on_is_not_run_twice_at_once(
    airflow: Airflow,
) -> None:
    airflow.write_dag(entities=["accounts"])
    with only_one("exact_online_0_of_9", 0.0, airflow.home / "dlt" / "pipelines"):
        before = time.time()
        with airflow.world.watch() as calls:
            (said,) = tell(airflow, [airflow.world.division])

    assert said["again"] >= before + 60
    assert calls.all == []
