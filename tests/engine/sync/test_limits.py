"""Call limits are kept, waited out, and used; what does not fit in a day goes on the next."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from exact_source.client.limits import Limits
from exact_source.errors import LimitError, TooFewCallsError
from tests.support.fixtures import MakeWorld
from tests.support.world import MIDDAY, World, billed, feed_path

DAY_S = 86_400.0
MIDNIGHT = MIDDAY.timestamp() - MIDDAY.timestamp() % DAY_S + DAY_S


def test_a_load_over_many_minutes_is_never_refused(make_world: MakeWorld) -> None:
    world = make_world(minute_limit=3)
    outcome = world.sync("accounts", "transaction_lines", "journals")

    assert outcome.exit_code == 0
    assert {c.status for c in world.box.requests} == {200}
    world.assert_equal("transaction_lines")


def test_minutes_that_others_used_up_are_waited_out(make_world: MakeWorld) -> None:
    world = make_world(minute_limit=5)
    run = world.make_run()
    turn = iter([True, False] * 20)

    def others_call(_result: Any) -> None:
        if next(turn, False):
            world.box.consume(world.division, 5)

    run.log.on_progress = others_call
    outcome = world.sync_with(run, "accounts", "journals")

    assert outcome.exit_code == 0
    assert 429 in {c.status for c in world.box.requests}
    world.assert_equal("accounts")
    world.assert_equal("journals")


def test_a_refusal_without_any_header_is_waited_out(world: World) -> None:
    world.box.fault(429, path="sync/CRM/Accounts", times=4)
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    world.assert_equal("accounts")


def test_the_end_of_the_day_stops_cleanly_and_the_next_day_goes_on(make_world: MakeWorld) -> None:
    world = make_world(daily_limit=5, companies=1)
    read: list[str] = []
    for _ in range(10):
        with world.watch() as calls:
            outcome = world.sync("transaction_lines")
        asked = [c.query for c in calls.to(feed_path("transaction_lines"))]
        read += [str(q.get("$skiptoken")) for q in asked if "1900" in q["$filter"]]
        assert set(calls.statuses()) <= {200, 429}
        if outcome.exit_code == 0:
            break
        assert outcome.exit_code == 3
        assert outcome.resumes_at is not None
        assert outcome.resumes_at % DAY_S < 2
        assert 0 < outcome.resumes_at - world.clock.now() <= DAY_S
        assert {r.status for r in outcome.results} == {"waiting"}
        world.clock.sandbox.set(outcome.resumes_at)
    else:
        pytest.fail("the load never ended")

    world.assert_equal("transaction_lines")
    assert len(read) == len(set(read)), "a page was read twice"


@pytest.mark.parametrize("named", [True, False])
def test_a_division_whose_day_is_over_does_not_hold_up_the_others(
    make_world: MakeWorld, named: bool
) -> None:
    world = make_world(daily_limit=100)
    if not named:
        world.sync("accounts")
    world.box.consume(world.division, 100)
    options = {"divisions": world.box.divisions} if named else {}
    with world.watch() as calls:
        outcome = world.sync("accounts", "journals", **options)

    assert outcome.exit_code == 3
    by_division = {(r.division, r.status) for r in outcome.results}
    assert by_division == {(world.division, "waiting"), (world.other, "complete")}
    assert calls.statuses().count(429) <= 1
    assert outcome.resumes_at is not None
    world.clock.sandbox.set(outcome.resumes_at + 1)
    assert world.sync("accounts", "journals").exit_code == 0
    world.assert_equal("accounts")


def test_max_calls_is_a_limit_to_the_call(make_world: MakeWorld) -> None:
    world = make_world()
    for most in (1, 3, 6):
        with world.watch() as calls:
            outcome = world.sync("transaction_lines", limits=Limits(max_calls=most))
        assert len(billed(calls.all)) <= most
        assert outcome.exit_code == 3
        assert isinstance(outcome.error, LimitError | None)
    assert world.sync("transaction_lines").exit_code == 0
    world.assert_equal("transaction_lines")


@pytest.mark.parametrize("limit", ["max_calls", "contract_cap"])
def test_a_limit_below_the_list_of_companies_is_said_to_be_too_small(
    make_world: MakeWorld, limit: str
) -> None:
    world = make_world(companies=5, page_size=1)
    for most in (1, 4):
        outcome = world.sync("accounts", limits=Limits(**{limit: most}))
        assert (outcome.calls, outcome.exit_code) == (most, 3)
        assert f"--{limit.replace('_', '-')} {most} is too small" in str(outcome.error)
        world.clock.sandbox.advance(DAY_S)
        world.login()

    enough = world.sync("accounts", limits=Limits(**{limit: 100}))
    assert enough.exit_code == 0


@pytest.mark.parametrize("limit", ["max_calls", "contract_cap"])
def test_a_limit_that_leaves_no_call_for_a_table_is_said_to_be_too_small(
    make_world: MakeWorld, limit: str
) -> None:
    world = make_world(companies=1)
    for most in (1, 2):  # the list of companies, and that of deletions
        outcome = world.sync("divisions", "accounts", limits=Limits(**{limit: most}))
        assert (outcome.calls, outcome.exit_code) == (most, 3)
        assert isinstance(outcome.error, TooFewCallsError)
        world.clock.sandbox.advance(DAY_S)
        world.login()

    enough = world.sync("divisions", "accounts", limits=Limits(**{limit: 3}))
    assert (enough.error, enough.exit_code) == (None, 3)
    assert sum(r.rows for r in enough.results if r.entity == "accounts") > 0


def test_a_reserve_of_the_day_is_left_to_others(make_world: MakeWorld) -> None:
    world = make_world(daily_limit=10, companies=1)
    outcome = world.sync("transaction_lines", limits=Limits(reserve=6))

    assert outcome.exit_code == 3
    assert world.box.state.limits.used(world.division)[1] == 4
    assert 429 not in {c.status for c in world.box.requests}


def test_a_cap_for_the_contract_counts_all_divisions(make_world: MakeWorld) -> None:
    world = make_world()
    outcome = world.sync("transaction_lines", limits=Limits(contract_cap=7))

    assert outcome.exit_code == 3
    assert len(billed(world.box.requests)) == 7
    assert outcome.resumes_at == pytest.approx(MIDNIGHT, abs=2)


def test_the_end_of_a_runs_minutes_stops_it_safely(make_world: MakeWorld) -> None:
    world = make_world(minute_limit=2, companies=1, large_page_size=1)
    run = world.make_run()
    run.rounds.stop_by(run.clock.now() + 150)
    outcome = world.sync_with(run, "transaction_lines")

    assert outcome.exit_code == 3
    assert {r.status for r in outcome.results} <= {"incomplete", "waiting"}
    assert run.clock.now() - run.started_at < 150 + 62
    held = len(world.table("transaction_lines"))
    assert 0 < held < len(world.keys(feed_path("transaction_lines")))
    assert world.sync("transaction_lines").exit_code == 0
    world.assert_equal("transaction_lines")


def test_a_round_ends_after_its_rows(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    outcome = world.sync("transaction_lines", "accounts", round_rows=10)

    rows = len(world.keys(feed_path("transaction_lines"))) + len(world.keys("crm/Accounts"))
    assert rows // (10 + 6) <= outcome.rounds <= rows // 10 + 3
    for entity in ("transaction_lines", "accounts"):
        world.assert_equal(entity)


def test_a_reserve_above_the_usual_day_is_of_the_real_one(make_world: MakeWorld) -> None:
    world = make_world(daily_limit=20_000, companies=1)
    outcome = world.sync("accounts", limits=Limits(reserve=6_000))

    assert outcome.exit_code == 0
    world.assert_equal("accounts")


def test_streams_take_turns_in_the_order_of_their_ranks(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    names = ["journals", "accounts", "transaction_lines"]
    with world.watch() as calls:
        world.sync(*names)
    asked = [c.path for c in calls.all]
    firsts = [asked.index(feed_path(name)) for name in names]
    lasts = [len(asked) - asked[::-1].index(feed_path(name)) for name in names]
    assert firsts == sorted(firsts)
    assert lasts == sorted(lasts)


def test_a_load_over_midnight_uses_both_days(make_world: MakeWorld) -> None:
    world = make_world(daily_limit=8, minute_limit=2, companies=1)
    world.clock.sandbox.set(MIDNIGHT - 240)
    outcome = world.sync("accounts", "transaction_lines")

    assert outcome.exit_code == 0
    assert {c.status for c in world.box.requests} == {200}
    world.assert_equal("transaction_lines")


def test_a_limit_that_exact_changes_is_followed(make_world: MakeWorld) -> None:
    world = make_world(minute_limit=2, companies=1)
    world.sync("journals")
    world.box.state.limits.minute_limit = 10
    start = len(world.box.requests)
    world.sync("transaction_lines")

    calls = [c.at for c in world.box.requests[start:] if c.division is not None]
    assert {c.status for c in world.box.requests} == {200}
    # After the first answers told of ten a minute, a minute holds more than two.
    assert any(
        c - a < 60 and int(a // 60) == int(c // 60) for (a, _), (_, c) in pairwise(pairwise(calls))
    )


NAMES = ("accounts", "journals", "gl_accounts", "items")


@pytest.mark.parametrize("limit", ["max_calls", "contract_cap"])
@pytest.mark.parametrize("most", [5, 9])
def test_runs_with_few_calls_read_the_streams_in_turn(
    make_world: MakeWorld, limit: str, most: int
) -> None:
    """Else each run would spend its calls on the streams that are up to date already."""
    world = make_world(companies=3, large_page_size=1000)
    unread = {(name, code) for name in NAMES for code in world.box.divisions}
    for _ in range(len(unread)):
        before = len(unread)
        outcome = world.sync(*NAMES, limits=Limits(**{limit: most}))
        unread -= {(r.entity, r.division) for r in outcome.results if r.status == "complete"}
        assert outcome.calls <= most
        assert outcome.exit_code == 3
        assert len(unread) < before
        if not unread:
            break

    for name in NAMES:
        world.assert_equal(name)


def test_runs_with_few_calls_follow_changes_in_turn(make_world: MakeWorld) -> None:
    world = make_world(companies=3, large_page_size=1000)
    world.sync(*NAMES)
    asked: Counter[tuple[str, int]] = Counter()
    for _ in range(20):
        with world.watch() as calls:
            world.sync(*NAMES, limits=Limits(max_calls=5))
        asked.update((c.path, c.division) for c in calls.all)

    streams = [asked[feed_path(name), code] for name in NAMES for code in world.box.divisions]
    assert min(streams) >= 1
    assert max(streams) - min(streams) <= 2


def test_streams_asked_longest_ago_go_first_at_the_end_of_a_day(make_world: MakeWorld) -> None:
    world = make_world(companies=1, daily_limit=5, large_page_size=1000)
    unread = set(NAMES)
    for _ in NAMES:
        outcome = world.sync(*NAMES)
        unread -= {r.entity for r in outcome.results if r.status == "complete"}
        world.clock.sandbox.advance(DAY_S)
        world.login()

    assert not unread


def test_functions_with_few_calls_are_read_in_turn(make_world: MakeWorld) -> None:
    world = make_world(companies=2, large_page_size=1000)
    names = ("items", "stock_position", "journals")
    for _ in range(20):
        world.sync(*names, limits=Limits(max_calls=10))
    found = [len(world.table("stock_position", code)) for code in world.box.divisions]
    world.sync(*names)

    assert found == [len(world.table("stock_position", code)) for code in world.box.divisions]
