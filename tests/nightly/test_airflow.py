"""The DAGs of ``exact_source.airflow`` run by Airflow itself, and what their tasks tell Airflow."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dlt
import duckdb
import psycopg2
import pytest
from cryptography.fernet import Fernet

from exact_source.auth import SqlTokenStorage
from exact_source.catalogue import load_catalogue
from exact_source.sync.pipeline_lock import named_lock
from tests.support.airflow_kit import ROOT, Airflow, postgres_connection, tell_real_time
from tests.support.bigquery import PROJECT, bigquery_settings
from tests.support.environments import environment
from tests.support.fixtures import MakeWorld
from tests.support.refusals import PATHS

pytestmark = [pytest.mark.timeout(600)]

PAGE = (Path(__file__).parents[2] / "docs" / "airflow.md").read_text()
# A command goes on to the next one, or to the end of its block.
COMMANDS = [
    shlex.split(text)
    for text in re.findall(
        r"^ *(airflow (?:.|\n)+?)(?=\n *(?:airflow|```))", PAGE.replace("\\\n", " "), re.MULTILINE
    )
]

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


# Makes the DAG of a file as Airflow's parser does, and says what that imported.
PARSED = """
import json, runpy, sys
made = runpy.run_path(sys.argv[1])["dag"]
heavy = [name for name in ("dlt", "pyarrow", "duckdb") if name in sys.modules]
from exact_source.airflow import bigquery_of
def place_of(**key):
    google = bigquery_of({**key, "project": "books", "location": "EU"})
    found = google.configuration(google.spec(), accept_partial=True)
    return [found.credentials.client_email, found.credentials.project_id, found.location]
key = json.dumps({"private_key": "k", "client_email": "e@x.example", "project_id": "of the key"})
with open("key.json", "w") as file:
    file.write(key)
print("SAID", json.dumps({
    "heavy": heavy, "tags": sorted(made.tags), "doc": made.doc_md, "tasks": made.task_ids,
    "retries": made.get_task("sync_group").retries, "pool": made.get_task("sync_group").pool,
    "callback": made.has_on_failure_callback,
    "outlets": [asset.name for asset in made.get_task("tables").outlets],
    "bigquery": [place_of(keyfile_dict=key), place_of(key_path="key.json")],
}))
"""


# A DAG with the task group, and tasks after it that note that they ran.
GROUPED = """
import os
from pathlib import Path
from airflow.sdk import dag, task
from exact_source.airflow import exact_online_tasks

def note(line):
    with Path(os.environ["AIRFLOW_HOME"], "noted.txt").open("a") as file:
        file.write(line + "\\n")

@dag(schedule=None)
def grouped():
    @task
    def changed():
        note("changed")

    @task(trigger_rule="none_failed")
    def always():
        note("always")

    exact_online_tasks(entities=["accounts"], groups=1) >> [changed(), always()]

dag = grouped()
"""
# Prints the rows of a query to BigQuery.
ASKED = """
import json, sys
from google.cloud import bigquery
rows = bigquery.Client(sys.argv[1]).query_and_wait(sys.argv[2])
print(json.dumps([list(row.values()) for row in rows]))
"""
# The callback of the page's snippet, in a DAG that cannot succeed.
CALLED_BACK = """
import os
from pathlib import Path
from exact_source.airflow import exact_online_dag

def tell_somebody(context):
    Path(os.environ["AIRFLOW_HOME"], "told.txt").write_text(context["dag"].dag_id)

"""
# Runs DAGs as `airflow dags test` does, one after the other.
RUNS = """
import json, runpy, sys
said = []
for file in sys.argv[1:]:
    made = runpy.run_path(file)["dag"]
    run = made.test()
    tasks = {t.task_id: [str(t.state), t.try_number] for t in run.get_task_instances()}
    retries = {t.task_id: t.retries for t in made.tasks}
    said.append({"state": str(run.state), "tasks": tasks, "retries": retries})
print()
print("SAID", json.dumps(said))
"""


@pytest.fixture
def airflow(make_world: MakeWorld, tmp_path: Path) -> Airflow:
    world = make_world(companies=3)
    world.box.state.limits.minute_limit = 1000
    tell_real_time(world)
    warehouse = {"conn_type": "duckdb", "host": str(tmp_path / "exact.duckdb")}
    return Airflow(tmp_path / "airflow", world, warehouse)


def test_the_commands_of_the_page_bring_all_companies_up_to_date(
    airflow: Airflow, postgres: str
) -> None:
    """Airflow 3 gives a cron schedule a data interval of no length, which must not matter."""
    world = airflow.world
    airflow.is_set_up, airflow.token_url = False, postgres
    airflow.token_key = Fernet.generate_key().decode()
    tokens = world.storage.get_tokens()
    assert tokens is not None
    SqlTokenStorage(postgres, key=airflow.token_key).save_tokens(tokens)
    airflow.write_dag("exact_online", groups=2, entities=["accounts", "items"], pool="exact_online")
    assert airflow.run("db", "migrate").returncode == 0
    said = {}
    for command in COMMANDS:
        done = airflow.run(*filled_in(command, airflow, postgres_connection(postgres)))
        assert done.returncode == 0, f"{command[1:3]}: {done.stdout[-3000:]}"
        said[" ".join(command[1:3])] = done.stdout

    assert list(said) == ["connections add", "pools set", "dags test", "dags unpause"]
    assert "state=success" in said["dags test"]
    assert said["dags test"].count("'loads': 1") == 2
    world.pipeline = world.new_pipeline(destination=dlt.destinations.postgres(postgres))
    world.assert_equal("accounts")
    assert world.sql("SELECT count(*) FROM exact_online._dlt_loads") == [(2,)]


def filled_in(command: list[str], airflow: Airflow, warehouse: dict[str, Any]) -> list[str]:
    """A command of the page with this test's places and secrets in it."""
    app = airflow.app_connection
    given = {
        "--conn-login": app["login"],
        "--conn-password": app["password"],
        "--conn-extra": json.dumps(app["extra"]),
        "--conn-json": json.dumps(warehouse),
    }
    pairs = zip(["", *command], command, strict=False)
    return [given.get(option, word) for option, word in pairs][1:]


def tell(airflow: Airflow, *groups: list[int]) -> list[dict[str, Any]]:
    """What the task of each group tells Airflow, run one after the other."""
    given = [{"name": f"{n}_of_9", "divisions": codes} for n, codes in enumerate(groups)]
    dag = str(airflow.home / "dags" / "books.py")
    done = airflow.run("-c", TASK, dag, json.dumps(given))
    said = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert len(said) == len(groups), done.stdout + done.stderr
    return [json.loads(line.removeprefix("SAID ")) for line in said]


def test_airflow_learns_when_a_task_can_continue(airflow: Airflow) -> None:
    world = airflow.world
    box, (a, b, c) = world.box, world.box.divisions
    airflow.write_dag(entities=["accounts"])
    box.state.limits.daily_limit = 4
    midnight = (box.clock.now() // 86_400 + 1) * 86_400

    said = tell(airflow, [a], [a], [b, c], [1])

    assert said[0]["returned"]["rows"] == len(box.rows("crm/Accounts", a))
    assert midnight <= said[1]["again"] <= midnight + 5  # the calls of the day are used up
    assert said[2]["returned"]["loads"] == 1
    assert "accounts of division 1;" in said[3]["fail"]


def test_a_module_that_a_company_lacks_is_no_failure_and_is_not_asked_for_again(
    airflow: Airflow,
) -> None:
    box, (first, *_) = airflow.world.box, airflow.world.box.divisions
    airflow.write_dag(entities=["accounts", "journals"])
    box.deny(first, PATHS["journals"], "module")

    said = []
    for asked in (1, 0):
        with airflow.world.watch() as calls:
            said += tell(airflow, [first])
        assert len(calls.to(PATHS["journals"])) == asked

    assert [one["returned"]["rows"] for one in said] == [len(box.rows("crm/Accounts", first)), 0]


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

    assert "exact_warehouse" in said["fail"]
    assert "mysql" in said["fail"]
    assert "not shown" not in said["fail"]
    assert calls.all == []


def test_another_number_of_groups_fails_unless_it_is_meant(airflow: Airflow) -> None:
    world = airflow.world
    world.pipeline = dlt.pipeline(
        "exact_online_0_of_8",
        destination=dlt.destinations.duckdb(airflow.warehouse["host"]),
        dataset_name=world.dataset,
        pipelines_dir=str(airflow.home),
    )
    assert world.sync("accounts").exit_code == 0
    airflow.write_dag(entities=["accounts"])
    (refused,) = tell(airflow, [world.division])
    airflow.write_dag(entities=["accounts"], regroup=True)
    (anew,) = tell(airflow, [world.division])

    assert "in 8 groups of divisions, not in 9" in refused["fail"]
    assert anew["returned"]["rows"] == len(world.box.rows("crm/Accounts", world.division))


def test_a_task_that_airflow_lost_and_that_goes_on_is_not_run_twice_at_once(
    airflow: Airflow,
) -> None:
    airflow.write_dag(entities=["accounts"])
    with named_lock("exact_online_0_of_9", 0.0, airflow.home / "dlt" / "pipelines"):
        before = time.time()
        with airflow.world.watch() as calls:
            (said,) = tell(airflow, [airflow.world.division])

    assert said["again"] >= before + 60
    assert calls.all == []


def test_a_dag_file_is_parsed_quickly_and_says_what_it_makes(airflow: Airflow) -> None:
    (airflow.home / "dags" / "own.py").write_text(
        "from exact_source.airflow import exact_online_dag\n"
        "dag = exact_online_dag('own', tags=['books'], entities=['accounts', 'journals'], pool='own',"
        " dag_options={'default_args': {'retries': 7}, 'on_failure_callback': print})\n"
    )
    done = airflow.run("-c", PARSED, str(airflow.home / "dags" / "own.py"))
    (line,) = [text for text in done.stdout.splitlines() if text.startswith("SAID ")] or [
        done.stderr
    ]
    said = json.loads(line.removeprefix("SAID "))

    assert said["heavy"] == []
    assert (said["tags"], said["retries"], said["pool"]) == (["books"], 7, "own")
    assert said["callback"]
    assert "exact_online" in said["doc"]
    assert said["tasks"] == ["list_groups", "sync_group", "tables"]
    assert said["outlets"] == ["exact_online.accounts", "exact_online.journals"]
    assert said["bigquery"] == [["e@x.example", "books", "EU"]] * 2


def test_the_snippets_of_the_page_make_dags(airflow: Airflow) -> None:
    """``airflow dags list-import-errors`` would name a file that cannot be parsed."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    given = "from exact_source.airflow import exact_online_dag\ntell_somebody = print\n"
    for number, block in enumerate(blocks):
        (airflow.home / "dags" / f"{number}.py").write_text(given + block)
        done = airflow.run("-c", PARSED, str(airflow.home / "dags" / f"{number}.py"))
        assert "SAID" in done.stdout, done.stderr
    assert len(blocks) == 2


def test_tasks_follow_the_group_and_a_callback_is_called(airflow: Airflow) -> None:
    dags = airflow.home / "dags"
    (dags / "grouped.py").write_text(GROUPED)
    (_, snippet) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    given = "exact_online_dag('failing', divisions=[1], entities=['accounts'], groups=1,"
    (dags / "failing.py").write_text(CALLED_BACK + snippet.replace("exact_online_dag(", given))
    assert airflow.run("db", "migrate").returncode == 0

    files = [str(dags / name) for name in ("grouped.py", "grouped.py", "failing.py")]
    done = airflow.run("-c", RUNS, *files)
    (line,) = [text for text in done.stdout.splitlines() if text.startswith("SAID ")] or [
        done.stdout[-3000:] + done.stderr[-3000:]
    ]
    first, unchanged, failed = json.loads(line.removeprefix("SAID "))

    inside = {f"exact_online.{name}" for name in ("list_groups", "sync_group", "tables")}
    assert first["retries"] == dict.fromkeys(inside, 3) | {"changed": 0, "always": 0}
    assert {name: state for name, (state, _) in first["tasks"].items()} == dict.fromkeys(
        inside | {"changed", "always"}, "success"
    )
    assert unchanged["tasks"]["exact_online.tables"][0] == "skipped"
    assert (airflow.home / "noted.txt").read_text().split().count("changed") == 1
    assert (airflow.home / "noted.txt").read_text().split().count("always") == 2
    assert failed["state"] == "failed"
    assert failed["tasks"]["sync_group"] == ["failed", 1]  # of five retries none is used
    assert (airflow.home / "told.txt").read_text() == "failing"


@pytest.mark.xdist_group("bigquery")
def test_a_google_connection_without_a_key_loads_into_its_project(airflow: Airflow) -> None:
    """With the credentials of the machine; the emulator knows no keys."""
    airflow.warehouse = {
        "conn_type": "google_cloud_platform",
        "extra": {"project": PROJECT, "location": "EU"},
    }
    airflow.variables = {**bigquery_settings(), "GOOGLE_CLOUD_PROJECT": "of-the-machine"}
    airflow.write_dag(entities=["accounts"], dataset="of_airflow")

    (said,) = tell(airflow, airflow.world.box.divisions)

    truth = {d: len(airflow.world.box.rows("crm/Accounts", d)) for d in airflow.world.box.divisions}
    query = "SELECT division, count(*) FROM of_airflow.accounts GROUP BY 1"
    done = airflow.run("-c", ASKED, PROJECT, query)
    assert done.returncode == 0, done.stderr
    assert said["returned"]["rows"] == sum(truth.values())
    assert dict(json.loads(done.stdout.splitlines()[-1])) == truth


@pytest.mark.timeout(1800)
def test_assets_are_updated_when_rows_changed_and_the_dbt_package_is_built_on_them(
    airflow: Airflow,
) -> None:
    """No scheduler runs here: the task of the second DAG is called directly."""
    database = airflow.warehouse["host"]
    airflow.write_dag("exact_online", groups=1)
    shutil.copy(ROOT / "pipelines" / "airflow_dbt_dag.py", airflow.home / "dags")
    dbt = environment("dbt", ROOT / "pipelines" / "dbt" / "requirements.txt")
    airflow.variables = {
        "EXACT_DBT": str(dbt.with_name("dbt")),
        "EXACT_DBT_PACKAGE": str(shutil.copytree(ROOT / "pipelines" / "dbt", airflow.home / "dbt")),
        "EXACT_DUCKDB": database,
    }
    assert airflow.run("db", "migrate").returncode == 0
    assert airflow.run("dags", "reserialize").returncode == 0
    assert airflow.run("dags", "unpause", "exact_online_dbt").returncode == 0
    names = set(load_catalogue().core)

    first = airflow.run("dags", "test", "exact_online")
    assert first.returncode == 0, first.stdout[-3000:]
    assert updates(airflow) == dict.fromkeys((f"exact_online.{name}" for name in names), 1)
    assert waiting_for_the_scheduler(airflow) == {("exact_online_dbt", len(names))}
    again = airflow.run("dags", "test", "exact_online")
    assert again.returncode == 0, again.stdout[-3000:]
    assert set(updates(airflow).values()) == {1}  # nothing had changed
    built = airflow.run("dags", "test", "exact_online_dbt")

    assert built.returncode == 0, built.stdout[-3000:]
    with duckdb.connect(database, read_only=True) as books:
        lines = books.sql("SELECT count(*) FROM exact_online.transaction_lines").fetchall()
        ledger = books.sql(
            "SELECT count(*) FROM exact_finance.exact_online__general_ledger"
        ).fetchall()
    assert 0 < ledger[0][0] <= lines[0][0]


def waiting_for_the_scheduler(airflow: Airflow) -> set[tuple[str, int]]:
    """DAGs of which assets were updated, and how many; once all are, the scheduler starts a run."""
    with sqlite3.connect(airflow.home / "airflow.db") as database:
        rows = database.execute(
            "SELECT target_dag_id, count(*) FROM asset_dag_run_queue GROUP BY 1"
        )
        return set(rows.fetchall())


def updates(airflow: Airflow) -> dict[str, int]:
    """How often each asset was updated."""
    with sqlite3.connect(airflow.home / "airflow.db") as database:
        rows = database.execute(
            "SELECT asset.name, count(*) FROM asset_event JOIN asset ON asset.id = asset_id GROUP BY 1"
        )
        return dict(rows.fetchall())


def test_ruff_finds_nothing_that_airflow_advises_against() -> None:
    files = [ROOT / "exact_source" / "airflow.py", *(ROOT / "pipelines").glob("airflow*.py")]
    command = ["ruff", "check", "--isolated", "--preview", "--select", "AIR", *map(str, files)]
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
