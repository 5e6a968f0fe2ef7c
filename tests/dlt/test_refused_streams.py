"""Streams that Exact does not offer: asked for once, remembered for a week, listed as one group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest

from exact_source import exact_online, run_to_end
from exact_source.engine.starts import DENIED_S, PROOF_S
from exact_source.orchestration import advise
from tests.conftest import MakeWorld
from tests.support.cli_fixtures import Cli, make_cli
from tests.support.world import World, feed_path

__all__ = ["make_cli"]
MODULES = ("projects", "warehouses", "sales_orders", "purchase_orders", "journals")
PATHS = {name: feed_path(name) for name in MODULES}
DAY_S = 86_400.0


def deny_modules(world: World) -> None:
    for division in world.box.divisions:
        for path in PATHS.values():
            world.box.deny(division, path, "module")


def later(world: World, seconds: float) -> None:
    world.clock.sandbox.advance(seconds)
    world.login()


def lack_modules(world: World) -> None:
    """The acceptance: one call for each stream at first, none later, and both syncs are successes."""
    deny_modules(world)
    streams = len(MODULES) * len(world.box.divisions)
    with world.watch() as first:
        outcome = world.sync("accounts", *MODULES)
    with world.watch() as second:
        again = world.sync("accounts", *MODULES)

    assert (outcome.exit_code, again.exit_code) == (0, 0)
    asked = [c for c in first.all if c.path in PATHS.values()]
    assert {c.status for c in asked} == {403}
    assert len(asked) == streams
    assert not [c for c in second.all if c.path in PATHS.values()]
    for run in (outcome, again):
        (line,) = [text for text in str(run).splitlines() if "not available" in text]
        assert all(name in line for name in MODULES)
        refused = [r for r in run.results if r.code == "unavailable"]
        assert len(refused) == streams
        assert {(r.status, r.permanent) for r in refused} == {("refused", True)}
    world.assert_equal("accounts")


def test_missing_modules_cost_one_call_and_are_no_failure(world: World) -> None:
    lack_modules(world)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_an_accountant_whose_300_companies_lack_five_modules(make_world: MakeWorld) -> None:
    lack_modules(make_world(companies=300, invoices=1))


def test_with_strict_they_count(world: World) -> None:
    deny_modules(world)

    assert world.sync("accounts", *MODULES, strict=True).exit_code == 3
    assert world.sync("accounts", *MODULES, strict=True).exit_code == 3
    assert world.sync("accounts", *MODULES).exit_code == 0


def test_if_exact_offers_nothing_at_all_the_sync_failed(world: World) -> None:
    deny_modules(world)

    assert world.sync(*MODULES).exit_code == 1
    assert world.sync(*MODULES).exit_code == 1


def test_they_are_asked_for_again_after_a_week_or_on_demand(world: World) -> None:
    deny_modules(world)
    world.sync("accounts", "journals")
    for division in world.box.divisions:
        world.box.allow(division, PATHS["journals"])
    later(world, DENIED_S / 2)
    assert world.sync("accounts", "journals").results[-1].code == "unavailable"

    later(world, DENIED_S / 2)
    with world.watch() as calls:
        outcome = world.sync("accounts", *MODULES)

    assert {r.status for r in outcome.results if r.entity == "journals"} == {"complete"}
    world.assert_equal("journals")
    world.box.allow(world.division, PATHS["projects"])
    assert calls.to(PATHS["projects"])
    world.sync("accounts", "projects", retry_refused=True)
    assert len(world.table("projects", world.division)) == len(
        world.box.rows(PATHS["projects"], world.division)
    )
    assert not world.table("projects", world.other)


def test_asking_on_demand_stays_below_the_error_limit(world: World) -> None:
    deny_modules(world)
    with world.watch() as calls:
        codes = [world.sync("accounts", "journals", retry_refused=True).exit_code for _ in range(6)]

    assert codes == [0] * 6
    assert len(calls.to(PATHS["journals"], world.division)) <= 3


@pytest.mark.parametrize("way", ["403", "module", "NoDivisionAccess", "DivisionBlocked"])
def test_each_way_in_which_access_lacks_is_recognised(world: World, way: str) -> None:
    world.box.deny(world.division, PATHS["journals"], way)

    outcome = world.sync("accounts", "journals")

    assert outcome.exit_code == 0
    (mine,) = [r for r in outcome.results if r.status != "complete"]
    assert (mine.division, mine.entity, mine.code) == (world.division, "journals", "unavailable")


@pytest.mark.parametrize(
    "way", ["BlockedUser", "InactiveUser", "BlockedCustomer", "LicenseExpired"]
)
def test_a_blocked_user_or_contract_is_no_missing_module(world: World, way: str) -> None:
    world.box.deny(world.division, PATHS["journals"], way)

    assert world.sync("accounts", "journals").exit_code == 3


def test_an_endpoint_that_is_not_in_the_package_is_remembered_if_it_never_had_rows(
    world: World,
) -> None:
    world.box.drop_endpoint(PATHS["journals"])
    with world.watch() as calls:
        codes = [world.sync("accounts", "journals").exit_code for _ in range(2)]

    assert codes == [0, 0]
    assert len(calls.to(PATHS["journals"])) == len(world.box.divisions)


def test_a_stream_with_rows_counts_until_a_day_of_refusals_has_passed(world: World) -> None:
    """Else rows would become stale unnoticed."""
    world.sync("accounts", "journals")
    world.box.deny(world.division, PATHS["journals"])

    assert world.sync("accounts", "journals").exit_code == 3
    later(world, PROOF_S / 2)
    assert world.sync("accounts", "journals").exit_code == 3
    later(world, PROOF_S / 2)
    assert world.sync("accounts", "journals").exit_code == 0
    with world.watch() as calls:
        assert world.sync("accounts", "journals").exit_code == 0
    assert not calls.to(PATHS["journals"], world.division)
    assert world.table("journals", world.division)


def test_an_answer_ends_the_refusals(world: World) -> None:
    """A refusal of today does not add up with one of last week."""
    world.sync("accounts", "journals")
    for _ in range(2):
        world.box.deny(world.division, PATHS["journals"])
        assert world.sync("accounts", "journals").exit_code == 3
        world.box.allow(world.division)
        later(world, PROOF_S)
        assert world.sync("accounts", "journals").exit_code == 0


def test_an_endpoint_that_vanishes_under_its_rows_counts_always(world: World) -> None:
    world.sync("accounts", "journals")
    world.box.drop_endpoint(PATHS["journals"])
    for _ in range(3):
        later(world, PROOF_S)
        assert world.sync("accounts", "journals").exit_code == 3


@pytest.mark.parametrize("named", [True, False])
def test_a_blocked_company_is_no_failure(world: World, named: bool) -> None:
    world.box.block_division(world.other)
    options: dict[str, Any] = {"divisions": world.box.divisions} if named else {}

    outcome = world.sync("accounts", "journals", **options)

    assert outcome.exit_code == 0
    (line,) = [text for text in str(outcome).splitlines() if "blocked" in text]
    assert str(world.other) in line
    assert world.sync("accounts", strict=True, **options).exit_code == (3 if named else 0)


def test_orchestrators_are_done_and_are_told_once(world: World) -> None:
    deny_modules(world)
    advice = advise(world.sync("accounts", *MODULES), world.clock.now())

    assert advice.action == "done"
    assert advice.reason.count("not available") == 1


def test_the_source_remembers_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a dlt user runs it, without our command."""
    deny_modules(world)
    options: dict[str, Any] = {
        "entities": ["accounts", *MODULES],
        "token_storage": world.storage,
        "base_url": world.base_url,
        "client_id": world.box.client_id,
        "client_secret": world.box.client_secret,
        "redirect_uri": world.box.redirect_uri,
        "clock": world.clock,
    }

    def load() -> int:
        later(world, 120)
        return run_to_end(world.pipeline, exact_online(**options)).exit_code

    assert load() == 0
    with world.watch() as calls:
        assert load() == 0
        world.pipeline.run(exact_online(**options))
    assert not [c for c in calls.all if c.path in PATHS.values()]
    assert run_to_end(world.pipeline, exact_online(**options, strict=True)).exit_code == 3
    assert dlt.current is not None


def test_commands_list_them_once(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli()
    deny_modules(cli.world)
    some = (cli.destination, f"--entities=accounts,{','.join(MODULES)}")

    first, second = cli("sync", *some), cli("sync", *some)
    with cli.world.watch() as calls:
        plan = cli("plan", *some, "--json")
    status, problems = cli("status", cli.destination), cli("status", cli.destination, "--problems")

    assert (first.code, second.code, plan.code) == (0, 0, 0)
    assert not [c for c in calls.all if c.path in PATHS.values()]
    planned = [s for s in plan.json["order"] if s["entity"] in MODULES]
    assert {(s["calls"], s["basis"]) for s in planned} == {(0, "not available")}
    for result in (first, second):
        assert result.err.count("not available") == 1
        assert "error" not in result.err
    assert status.out.count("not available") == 1
    assert "problems" not in problems.out.replace("no problems", "")
    assert cli("sync", *some, "--strict").code == 3
    asked = len(cli.world.box.requests)
    cli("sync", *some, "--retry-refused")
    assert {c.path for c in cli.world.box.requests[asked:]} >= set(PATHS.values())
