"""A load job that fails for good loses no row, whatever dlt was told to make of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dlt.destinations.exceptions import DatabaseTerminalException
from dlt.destinations.impl.duckdb.duck import DuckDbCopyJob
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import exact_online, run_to_end
from exact_source.errors import ConfigurationError, own_error
from exact_source.loading.session import Session
from exact_source.source import run_source
from tests.support.cli_fixtures import Cli
from tests.support.isolation import forget_settings
from tests.support.world import World, feed_path

ACCOUNTS = feed_path("accounts")
# Where dlt looks for it: for the pipeline and for all, in the section of a load and above it.
PLACES = [
    "LOAD__RAISE_ON_FAILED_JOBS",
    "RAISE_ON_FAILED_JOBS",
    "EXACT_ONLINE__LOAD__RAISE_ON_FAILED_JOBS",
    "EXACT_ONLINE__RAISE_ON_FAILED_JOBS",
]
MESSAGE = "load.raise_on_failed_jobs is not true"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Tables whose jobs the destination refuses for good; each once."""
    tables = {"accounts"}
    load = DuckDbCopyJob.run

    def run(job: DuckDbCopyJob) -> None:
        if job.load_table_name in tables:
            tables.remove(job.load_table_name)
            raise DatabaseTerminalException(ValueError("this file cannot be loaded"))
        load(job)

    monkeypatch.setattr(DuckDbCopyJob, "run", run)
    return tables


def write_settings(name: str, text: str) -> None:
    folder = Path(os.environ["DLT_PROJECT_DIR"]) / ".dlt"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    forget_settings()


def wanted(world: World) -> int:
    return sum(len(world.keys(ACCOUNTS, division)) for division in world.box.divisions)


# -- the setting is refused before anything is done ------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_the_command_refuses_it_before_a_call(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(place, "false")
    with cli.world.watch() as calls:
        refused = cli("sync", cli.destination, "--entities=accounts")
    assert refused.code == 2
    assert MESSAGE in refused.err
    assert refused.err.count("\n") == 1
    assert not len(calls)


def test_a_load_that_failed_without_it_is_repeated_by_the_next_command(
    cli: Cli, failing: set[str]
) -> None:
    assert cli("sync", cli.destination, "--entities=accounts").code == 1
    assert not failing
    assert cli("sync", cli.destination, "--entities=accounts").code == 0
    cli.world.assert_equal("accounts")


@pytest.mark.parametrize("value", ["false", "perhaps"])
@pytest.mark.parametrize("place", PLACES)
def test_a_script_is_refused_before_a_call(
    cli: Cli, failing: set[str], monkeypatch: pytest.MonkeyPatch, place: str, value: str
) -> None:
    world = cli.world
    monkeypatch.setenv(place, value)
    with world.watch() as calls, pytest.raises(PipelineStepFailed) as failed:
        world.pipeline.run(exact_online(entities=["accounts"], clock=world.clock))
    error = own_error(failed.value)
    assert isinstance(error, ConfigurationError)
    assert MESSAGE in str(error)
    assert not len(calls)


@pytest.mark.parametrize("section", ["load", "exact_online.load"])
@pytest.mark.parametrize("name", ["config.toml", "secrets.toml"])
def test_it_is_refused_in_a_settings_file(cli: Cli, section: str, name: str) -> None:
    write_settings(name, f"[{section}]\nraise_on_failed_jobs = false\n")
    with cli.world.watch() as calls:
        refused = cli("sync", cli.destination, "--entities=accounts", "--json")
    assert (refused.code, refused.json["code"]) == (2, "configuration")
    assert MESSAGE in refused.json["error"]
    assert not len(calls)


def test_a_check_tells_of_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACES[0], "false")
    found = cli("check", cli.destination, "--entities=accounts")
    assert found.code == 2
    assert MESSAGE in found.err


def test_run_to_end_refuses_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    world = cli.world
    monkeypatch.setenv(PLACES[0], "false")
    with world.watch() as calls:
        outcome = run_to_end(world.pipeline, exact_online(entities=["accounts"], clock=world.clock))
    assert outcome.exit_code == 2
    assert MESSAGE in str(outcome)
    assert not len(calls)


def test_one_pipeline_may_differ_from_all_others(
    cli: Cli, failing: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACES[0], "false")
    write_settings("config.toml", "[exact_online.load]\nraise_on_failed_jobs = true\n")
    assert cli("sync", cli.destination, "--entities=accounts").code == 1
    assert not failing
    assert cli("sync", cli.destination, "--entities=accounts").code == 0
    cli.world.assert_equal("accounts")


def test_what_an_earlier_process_left_is_not_loaded_under_it(
    world: World, failing: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pipeline.extract(run_source(Session(world.make_run()), ["accounts"]))
    world.pipeline.normalize()
    monkeypatch.setenv(PLACES[0], "false")
    assert world.sync("accounts").exit_code == 2
    assert failing  # no load was tried
    assert world.pipeline.has_pending_data

    monkeypatch.delenv(PLACES[0])
    failing.clear()
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


# -- a package of which a job failed does not count ------------------------------------------------


def load_in_spite(world: World) -> None:
    """One's own steps, with what dlt's ``load`` takes as an argument and no setting tells of."""
    world.pipeline.extract(run_source(Session(world.make_run()), ["accounts", "journals"]))
    world.pipeline.normalize()
    assert world.pipeline.load(raise_on_failed_jobs=False).has_failed_jobs


def test_rows_that_a_script_gave_up_are_read_again(world: World, failing: set[str]) -> None:
    load_in_spite(world)
    assert world.table("accounts") == []

    with world.watch() as calls:
        outcome = world.sync("accounts", "journals")
    assert outcome.exit_code == 0
    assert sum(r.rows for r in outcome.results if r.entity == "accounts") == wanted(world)
    assert calls.to(ACCOUNTS, world.division)[0].query["$filter"] == "Timestamp gt 1L"
    for entity in ("accounts", "journals"):
        world.assert_equal(entity)
    assert sum(r.rows for r in world.sync("accounts", "journals").results) == 0


def test_a_change_that_a_script_gave_up_is_read_again(world: World, failing: set[str]) -> None:
    failing.clear()
    world.sync("accounts", "journals")
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": "later"})
    world.box.delete(ACCOUNTS, world.other, world.keys(ACCOUNTS, world.other)[0])
    failing.add("accounts")
    load_in_spite(world)

    outcome = world.sync("accounts", "journals")
    assert outcome.exit_code == 0
    assert sum((r.rows + r.deleted) for r in outcome.results) == 2
    world.assert_equal("accounts")


def test_rows_of_a_job_that_a_person_gave_up_are_read_again(cli: Cli, failing: set[str]) -> None:
    world = cli.world
    source = exact_online(entities=["accounts"], clock=world.clock)
    with pytest.raises(PipelineStepFailed):
        world.pipeline.run(source)
    (load_id,) = world.pipeline.list_normalized_load_packages()
    for path, _ in world.pipeline.list_pending_retry_jobs_in_package(load_id):
        world.pipeline.fail_pending_job(load_id, Path(path).name)
    world.pipeline.load()
    assert world.table("accounts") == []

    world.pipeline.run(exact_online(entities=["accounts"], clock=world.clock))
    world.assert_equal("accounts")
