"""The arithmetic of ``exact-source plan``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.cli.plan.schedule import (
    Allowance,
    StreamPlan,
    allowance_of,
    calls_by_division,
    duration,
    in_order,
    share,
    usual_calls,
)
from exact_source.client.limits import Limits
from exact_source.engine.key_sync import calls_for

MIDNIGHT = 1_700_006_400.0  # 2023-11-15T00:00:00Z
DAY_S = 86_400


@pytest.mark.parametrize(
    ("rows", "page", "calls"), [(0, 60, 1), (59, 60, 1), (60, 60, 2), (120, 60, 3), (2500, 1000, 3)]
)
def test_a_full_last_page_costs_one_call_more(rows: int, page: int, calls: int) -> None:
    assert calls_for(rows, page) == calls


def test_usual_calls_round_up_and_are_never_none() -> None:
    assert usual_calls([]) == 1
    assert usual_calls([0, 0]) == 1
    assert usual_calls([1, 2]) == 2
    assert usual_calls([3, 3, 3]) == 3


def test_what_is_read_once_counts_on_the_first_division() -> None:
    streams = [
        StreamPlan(0, "divisions", "regular", 60, 2, 1, "one call"),
        StreamPlan(8, "accounts", "sync", 1000, 2500, 3, "count"),
        StreamPlan(7, "accounts", "sync", 1000, 1000, 2, "count"),
        StreamPlan(7, "journals", "regular", 60, 5, 1, "count"),
    ]

    assert calls_by_division(streams, [7, 8, 9]) == {7: 4, 8: 3, 9: 0}
    assert calls_by_division(streams[:1], []) == {}


def test_nothing_to_do_takes_no_time() -> None:
    took = duration({1: 0}, {}, now=MIDNIGHT)
    assert (took.calls, took.minutes, took.days, took.ends_at) == (0, 0, 0, MIDNIGHT)


def test_sixty_calls_go_in_a_minute_and_one_more_needs_another() -> None:
    assert duration({1: 60}, {}, now=MIDNIGHT).minutes == 1
    took = duration({1: 61}, {}, now=MIDNIGHT)
    assert (took.minutes, took.days, took.ends_at) == (2, 1, MIDNIGHT + 120)


def test_divisions_run_side_by_side() -> None:
    took = duration({1: 120, 2: 600, 3: 60}, {}, now=MIDNIGHT)
    assert (took.calls, took.minutes, took.days) == (780, 10, 1)


def test_the_day_limit_carries_over_to_the_next_midnight() -> None:
    took = duration({1: 12_000}, {}, now=MIDNIGHT + 3600)
    assert took.days == 3
    assert took.minutes == 84 + 84 + 34
    assert took.ends_at == MIDNIGHT + 2 * DAY_S + 34 * 60


def test_what_is_left_today_and_what_is_reserved_count() -> None:
    allowed = {1: Allowance(day=5000, left=700, reserve=500)}
    took = duration({1: 4700}, allowed, now=MIDNIGHT)
    assert took.days == 2  # 200 today, 4,500 tomorrow
    assert duration({1: 4701}, allowed, now=MIDNIGHT).days == 3


def test_a_used_up_day_begins_tomorrow() -> None:
    took = duration({1: 60}, {1: Allowance(left=0)}, now=MIDNIGHT + 60)
    assert took.ends_at == MIDNIGHT + DAY_S + 60


def test_the_evening_has_few_minutes_left() -> None:
    took = duration({1: 300}, {}, now=MIDNIGHT + DAY_S - 120)
    assert took.days == 2
    assert took.ends_at == MIDNIGHT + DAY_S + 3 * 60


def test_the_contract_caps_all_divisions_together() -> None:
    calls = dict.fromkeys(range(10), 5000)
    assert duration(calls, {}, now=MIDNIGHT).days == 1
    assert duration(calls, {}, now=MIDNIGHT, contract_cap=20_000).days == 3


def test_what_was_spent_of_the_contract_counts_today_only() -> None:
    def days(calls: int) -> int:
        cap = {"contract_cap": 1_000, "contract_spent": 900}
        return duration({1: calls}, {}, now=MIDNIGHT, **cap).days

    assert [days(n) for n in (100, 101, 1_100, 1_101)] == [1, 2, 2, 3]


def test_higher_limits_from_headers_are_used() -> None:
    took = duration({1: 9000}, {1: Allowance(minute=300, day=50_000)}, now=MIDNIGHT)
    assert (took.minutes, took.days) == (30, 1)


def test_a_plan_that_can_never_end_is_refused() -> None:
    with pytest.raises(ValueError, match="division 1"):
        duration({1: 1}, {1: Allowance(reserve=5000)}, now=MIDNIGHT)
    with pytest.raises(ValueError, match="contract"):
        duration({1: 1}, {}, now=MIDNIGHT, contract_cap=0)


@given(
    st.dictionaries(st.integers(1, 50), st.integers(0, 5000), min_size=1), st.integers(1, 20_000)
)
def test_sharing_gives_nobody_too_much_and_leaves_nothing_unused(
    wanted: dict[int, int], cap: int
) -> None:
    given_ = share(wanted, cap)
    assert sum(given_.values()) == min(cap, sum(wanted.values()))
    assert all(given_[code] <= n for code, n in wanted.items())


@given(
    st.dictionaries(st.integers(1, 20), st.integers(0, 30_000), min_size=1),
    st.one_of(st.none(), st.integers(100, 20_000)),
    st.floats(0, DAY_S),
)
def test_a_plan_ends_after_its_days_and_a_cap_never_makes_it_shorter(
    calls: dict[int, int], cap: int | None, seconds: float
) -> None:
    now = MIDNIGHT + seconds
    free = duration(calls, {}, now=now)
    took = duration(calls, {}, now=now, contract_cap=cap)
    assert took.days >= free.days
    assert took.ends_at >= now
    if took.days:
        assert took.days - 1 <= (took.ends_at - MIDNIGHT) / DAY_S <= took.days + 1


def test_the_order_is_by_division_and_turn() -> None:
    def stream(division: int, entity: str) -> StreamPlan:
        return StreamPlan(division, entity, "sync", 1000, None, 1, "unknown")

    found = in_order(
        [stream(2, "items"), stream(1, "items"), stream(1, "accounts"), stream(0, "divisions")],
        {"accounts": 0, "items": 1, "divisions": 2},
    )
    assert [(s.division, s.entity) for s in found] == [
        (0, "divisions"),
        (1, "accounts"),
        (1, "items"),
        (2, "items"),
    ]


def test_headers_say_what_a_division_may_and_one_that_was_not_asked_may_as_much() -> None:
    limits, now = Limits(reserve=10), MIDNIGHT + 5
    assert allowance_of(limits, 1) == Allowance(reserve=10)
    headers = {
        "X-RateLimit-Minutely-Limit": "300", "X-RateLimit-Minutely-Remaining": "7",
        "X-RateLimit-Minutely-Reset": str(int(MIDNIGHT + 60) * 1000),
        "X-RateLimit-Limit": "9000", "X-RateLimit-Remaining": "800",
        "X-RateLimit-Reset": str(int(MIDNIGHT + DAY_S) * 1000),
    }  # fmt: skip
    limits.wait_s(1, now)
    limits.spend(1)
    limits.observe(1, 200, headers, now)

    assert allowance_of(limits, 1) == Allowance(300, 9000, 800, 10)
    assert allowance_of(limits, 2) == Allowance(300, 9000, reserve=10)
