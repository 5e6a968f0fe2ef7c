"""Streams that Exact does not offer: asked for once, remembered for a week, listed as one group."""

from __future__ import annotations

from typing import Any

import pytest

from exact_source.engine.cursors import DENIED_S
from exact_source.engine.starts import PROOF_S, REFUSALS_PER_HOUR
from exact_source.orchestration import advise
from tests.support.fixtures import MakeWorld
from tests.support.refusals import MODULES, PATHS, deny_modules, lack_modules, later
from tests.support.world import World


def test_missing_modules_cost_one_call_and_are_no_failure(world: World) -> None:
    lack_modules(world)


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


def test_a_stream_refused_three_times_says_why_and_when_it_is_asked_again(world: World) -> None:
    world.box.deny(world.division, PATHS["journals"], "LicenseExpired")
    for _ in range(REFUSALS_PER_HOUR):
        world.sync("accounts", "journals")
        later(world, 60)
    with world.watch() as calls:
        outcomes = [world.sync("accounts", "journals", retry_refused=r) for r in (False, True)]

    assert not calls.to(PATHS["journals"], world.division)
    for outcome in outcomes:
        (mine,) = [r for r in outcome.results if r.status != "complete"]
        assert (outcome.exit_code, mine.status, mine.permanent) == (3, "refused", False)
        assert outcome.resumes_at == mine.resumes_at
        assert mine.error.startswith(f"{mine.where}: ")
        assert "LicenseExpired" in mine.error
    assert mine.resumes_at is not None
    later(world, mine.resumes_at - world.clock.now() + 1)
    world.box.allow(world.division)
    assert world.sync("accounts", "journals").exit_code == 0


def test_only_the_refusals_of_the_last_hour_are_kept(make_world: MakeWorld) -> None:
    """The state of a company without a module does not become longer with each year."""
    world = make_world(companies=1)
    world.box.deny(world.division, PATHS["projects"])
    asked = []
    for _ in range(2):
        with world.watch() as calls:
            world.sync("projects")
        asked.append(len(calls.to(PATHS["projects"])))
        later(world, DENIED_S)

    assert asked == [1, 1]
    assert len(world.ledger.cursors["projects", world.division].refused_at) == 1


@pytest.mark.parametrize("way", ["403", "module", "NoDivisionAccess"])
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
    assert world.sync("accounts", strict=True, **options).exit_code == 3


def test_a_company_that_is_blocked_during_a_sync_is_read_once_it_is_open(world: World) -> None:
    world.box.deny(world.division, PATHS["journals"], "DivisionBlocked")
    outcome = world.sync("accounts", "journals")

    (mine,) = [r for r in outcome.results if r.status != "complete"]
    assert (outcome.exit_code, mine.status, mine.code) == (0, "skipped", "blocked")
    world.box.allow(world.division)
    assert world.sync("accounts", "journals").exit_code == 0
    world.assert_equal("journals")


def test_the_only_company_is_skipped_without_a_call_and_read_once_it_is_open(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=1)
    world.box.block_division(world.division)
    with world.watch() as calls:
        outcome = world.sync("accounts", "journals", divisions=[world.division])

    assert (outcome.exit_code, {r.code for r in outcome.results}) == (1, {"blocked"})
    assert {c.path for c in calls.all} == {"current/Me", "system/Divisions"}
    world.box.block_division(world.division, 0)
    assert world.sync("accounts", "journals", divisions=[world.division]).exit_code == 0
    world.assert_equal("journals")


@pytest.mark.parametrize("names", [["accounts"], ["divisions", "accounts"]])
def test_if_all_companies_are_blocked_the_sync_failed(world: World, names: list[str]) -> None:
    world.box.block_division(world.other)

    outcome = world.sync(*names, divisions=[world.other])

    assert outcome.exit_code == 1
    advice = advise(outcome, world.clock.now())
    assert (advice.action, str(world.other) in advice.reason) == ("done", True)


def test_orchestrators_finish_and_get_one_report(world: World) -> None:
    deny_modules(world)
    advice = advise(world.sync("accounts", *MODULES), world.clock.now())

    assert advice.action == "done"
    assert advice.reason.count("not available") == 1
