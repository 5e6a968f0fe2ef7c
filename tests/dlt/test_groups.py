"""What a group of companies costs the warehouse, whatever their number; docs/many-companies.md as it is."""

from __future__ import annotations

import logging.handlers
import re
import tomllib
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import dlt
import duckdb
import pytest

from exact_source.errors import ConfigurationError
from exact_source.orchestration import advise, advise_error, division_groups, sync_divisions
from exact_source.settings import Settings
from exact_source.sync.outcome import Outcome
from exact_source.workers.leases import leases_from_settings
from tests.support.fixtures import MakeWorld
from tests.support.world import World, export_settings

PAGE = (Path(__file__).parents[2] / "docs" / "many-companies.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
MINUTES = pytest.mark.proofs
ENTITIES = ("accounts", "items", "journals")
# One file for each table with rows of any company, and one merge for all of them.
JOBS = ["_dlt_pipeline_state", "_exact_syncs", "accounts", "accounts"]


def jobs_of(world: World) -> list[str]:
    """The tables of the jobs of the last load, a name for each job."""
    return sorted(job.table_name for job in world.last_jobs())


@pytest.mark.parametrize("companies", [1, 24, pytest.param(500, marks=MINUTES)])
def test_a_sync_in_which_little_changed_is_one_load_of_a_few_jobs(
    make_world: MakeWorld, companies: int
) -> None:
    world = make_world(companies=companies, invoices=1, page_size=60, large_page_size=1000)
    assert world.sync(*ENTITIES).rounds == 1
    for division in world.box.divisions:
        key = world.keys("crm/Accounts", division)[0]
        world.box.update("crm/Accounts", division, key, {"Name": "changed"})

    outcome = world.sync(*ENTITIES)

    assert (outcome.exit_code, outcome.rounds) == (0, 1)
    assert sum(result.rows for result in outcome.results) >= companies
    assert jobs_of(world) == JOBS
    world.assert_equal("accounts")


def test_the_snippets_of_the_page() -> None:
    exec(compile(BLOCKS["python"], "many-companies.md", "exec"), {})
    given = tomllib.loads(BLOCKS["toml"])["sources"]["exact_online"]
    plain: dict[str, Any] = dict.fromkeys(("base_url", "client_id", "client_secret"), "")
    assert leases_from_settings(Settings(redirect_uri="", **plain, **given)) is not None


# -- another number of groups --------------------------------------------------------------------------


def sync_in_groups(
    world: World, number: int, only: int | None = None, **options: Any
) -> list[Outcome]:
    """What the tasks of a DAG do, one after the other, each in a folder that is empty before."""
    outcomes = []
    chosen = world.box.divisions if only is None else [only]
    for name, divisions in division_groups(chosen, number).items():
        world.clock.sandbox.advance(120)
        with TemporaryDirectory(dir=world.folder) as folder:
            pipeline = dlt.pipeline(
                f"exact_online_{name}",
                destination=dlt.destinations.duckdb(str(world.folder / "exact.duckdb")),
                dataset_name=world.dataset,
                pipelines_dir=folder,
            )
            outcomes.append(
                sync_divisions(pipeline, divisions, ["accounts"], clock=world.clock, **options)
            )
    return outcomes


def change(world: World, text: str) -> None:
    """In each company a row is renamed, and another is deleted."""
    for division in world.box.divisions:
        first, *_, last = world.keys("crm/Accounts", division)
        world.box.update("crm/Accounts", division, first, {"Name": text})
        world.box.delete("crm/Accounts", division, last)


@pytest.fixture
def loaded(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two companies, loaded in two groups, with settings in the environment."""
    world: World = make_world(page_size=60, large_page_size=1000)
    export_settings(world, monkeypatch)
    sync_in_groups(world, 2)
    return world


def test_another_number_of_groups_is_refused_before_a_call_is_spent(loaded: World) -> None:
    assert "10_of_12" in division_groups(loaded.box.divisions, 12)
    for division in loaded.box.divisions:
        with loaded.watch() as calls, pytest.raises(ConfigurationError) as refused:
            sync_in_groups(loaded, 12, only=division)
        assert len(calls) == 0
        assert "in 2 groups of divisions, not in 12" in str(refused.value)
        assert "regroup=True" in str(refused.value)
        assert advise_error(refused.value, 0.0).action == "fail"

    assert [outcome.exit_code for outcome in sync_in_groups(loaded, 2)] == [0, 0]


@pytest.mark.nightly
def test_another_number_of_groups_reads_all_rows_again(loaded: World) -> None:
    """There and back: nothing is lost or stored twice, and rows deleted meanwhile are deleted."""
    for number, options in ((12, {"regroup": True}), (12, {}), (2, {})):
        change(loaded, f"by {number}")
        assert {outcome.exit_code for outcome in sync_in_groups(loaded, number, **options)} == {0}
        loaded.assert_equal("accounts")


def test_a_load_that_the_database_refuses_quotes_no_row(
    loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task raises, its log shows."""
    with duckdb.connect(str(loaded.folder / "exact.duckdb")) as database:
        database.execute(f"CREATE UNIQUE INDEX one ON {loaded.dataset}.accounts (division, code)")
    code = loaded.box.rows("crm/Accounts", loaded.division)[1]["Code"]
    key = loaded.keys("crm/Accounts")[0]
    loaded.box.update("crm/Accounts", loaded.division, key, {"Code": code})

    of_dlt, queue = logging.getLogger("dlt"), SimpleQueue[logging.LogRecord]()
    logged = logging.handlers.QueueHandler(queue)
    of_dlt.addHandler(logged)
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "ERROR")
    of_dlt.setLevel(logging.ERROR)
    (outcome,) = sync_in_groups(loaded, 2, only=loaded.division)
    of_dlt.removeHandler(logged)
    of_dlt.setLevel(logging.CRITICAL)  # as conftest.py sets it

    advice = advise(outcome, 0.0)
    assert advice.action == "retry"
    assert "table accounts: duckdb.ConstraintException" in advice.reason
    said = [advice.reason]
    while not queue.empty():
        said.append(queue.get().getMessage())
    assert not [line for line in said if f"code: {code.strip()}" in line]
