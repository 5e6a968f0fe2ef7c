"""What else dlt can be told, by settings or by a script, loses no row without a word."""

from __future__ import annotations

from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import exact_online, run_to_end
from exact_source.client.limits import Limits
from exact_source.errors import ConfigurationError, own_error
from exact_source.loading.session import Session
from exact_source.source import run_source
from tests.support.cli_fixtures import Cli
from tests.support.fixtures import MakeWorld
from tests.support.tiers import variants
from tests.support.world import World, feed_path

ACCOUNTS = feed_path("accounts")


@pytest.mark.parametrize(
    "contract",
    [
        *variants(["discard_row", "discard_value", "freeze"]),
        {"tables": "discard_row", "columns": "freeze"},
    ],
    ids=str,
)
def test_a_contract_drops_no_table_of_ours(world: World, contract: Any) -> None:
    for name in ("first", "second"):
        world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": name})
        run = world.make_run(history=["accounts"])
        world.pipeline.run(run_source(Session(run), ["accounts"]), schema_contract=contract)
    world.assert_equal("accounts")
    rows = len(world.table("accounts"))
    assert len(world.table("accounts_history")) == rows + 1
    assert len(world.outcomes()) == 2 * len(world.box.divisions)


@pytest.mark.parametrize("contract", variants(["discard_row", "discard_value", "freeze"], "freeze"))
def test_a_contract_drops_no_row_that_does_not_fit(make_world: MakeWorld, contract: Any) -> None:
    world = make_world(companies=1)
    path, too_large = "documents/DocumentTypes", 2**40  # for their columns
    world.sync("document_types")
    for odd in ({"ID": too_large}, {"ID": 4711, "TypeCategory": too_large}):
        world.box.insert(path, world.division, {"Description": "odd one", **odd})
    source = run_source(Session(world.make_run()), ["document_types"])
    world.pipeline.run(source, schema_contract=contract)

    assert len(world.table("_exact_rejected")) == 1
    rows = {row["id"]: row for row in world.table("document_types")}
    assert len(rows) == len(world.keys(path)) - 1
    assert str(too_large) in rows[4711]["_extra"]


@pytest.mark.parametrize("refresh", ["drop_data", "drop_resources", "drop_sources"])
def test_a_sync_refuses_to_drop_what_its_rounds_loaded(
    world: World, monkeypatch: pytest.MonkeyPatch, refresh: str
) -> None:
    world.sync("transaction_lines", "accounts")
    monkeypatch.setenv("REFRESH", refresh)
    world.pipeline = world.new_pipeline()
    with world.watch() as calls:
        outcome = world.sync("transaction_lines", max_pages=1, limits=Limits(max_calls=30))
    assert outcome.exit_code == 2
    assert f"dlt's refresh is {refresh}" in str(outcome)
    assert not len(calls)
    world.assert_equal("transaction_lines")


def test_a_configured_address_holds_beside_a_configured_region(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = cli.world
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__REGION", "nl")  # dlt passes it as an argument
    world.pipeline.run(exact_online(entities=["accounts"], clock=world.clock))
    world.assert_equal("accounts")
    with pytest.raises(ConfigurationError, match=r"region be .* base_url"):
        exact_online(entities=["accounts"], clock=world.clock, region="be")


def test_one_run_of_ones_own_may_refresh(cli: Cli) -> None:
    world = cli.world
    for _ in range(2):
        source = exact_online(entities=["accounts"], clock=world.clock)
        world.pipeline.run(source, refresh="drop_data")
        world.assert_equal("accounts")


@pytest.mark.parametrize("hints", [{"primary_key": "division"}, {"merge_key": "division"}], ids=str)
def test_rows_are_not_merged_by_another_key(cli: Cli, hints: dict[str, str]) -> None:
    world = cli.world
    world.sync("accounts")
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": "later"})
    source = exact_online(entities=["accounts"], clock=world.clock)
    with pytest.raises(ConfigurationError, match="division, id"):
        source.resources["accounts"].apply_hints(**hints)  # type: ignore[arg-type]

    source = exact_online(entities=["accounts"], clock=world.clock)
    assert run_to_end(world.pipeline, source).exit_code == 0
    world.assert_equal("accounts")


def test_a_script_that_ignores_the_outcome_is_not_silent(
    cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    world = cli.world
    world.box.state.limits.daily_limit = 2
    outcome = run_to_end(world.pipeline, exact_online(entities=["accounts"], clock=world.clock))

    assert outcome.exit_code != 0
    (said,) = [r.getMessage() for r in caplog.records if r.name == "exact_source.sync.runner"]
    assert len(said.splitlines()) == 1
    assert "accounts" in said


def test_the_argument_of_a_run_is_no_other_way(cli: Cli) -> None:
    world = cli.world
    source = exact_online(entities=["accounts"], clock=world.clock)
    with world.watch() as calls, pytest.raises(PipelineStepFailed) as failed:
        world.pipeline.run(source, primary_key="division")
    assert "accounts: primary_key is division" in str(own_error(failed.value))
    assert not len(calls)


def test_a_resource_with_another_name_loads_into_a_table_of_that_name(world: World) -> None:
    source = run_source(Session(world.make_run()), ["accounts"])
    world.pipeline.run(source.accounts.with_name("clients"))

    keys = {str(row["id"]) for row in world.table("clients", world.division)}
    assert keys == {str(key).lower() for key in world.keys("sync/CRM/Accounts")}


def test_not_even_the_state_goes_into_duckdb_as_inserts(world: World) -> None:
    for _ in range(2):
        assert world.sync("accounts").exit_code == 0

    jobs = world.last_jobs()
    assert "_dlt_pipeline_state" in {job.table_name for job in jobs}
    assert not [job.table_name for job in jobs if job.file_format == "insert_values"]
