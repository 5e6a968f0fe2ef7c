"""The limiter against a model of Exact's limits, over minutes and days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source.client.limits import Limits
from exact_source.errors import ConfigurationError, LimitError
from tests.support.tiers import examples

DIVISION = 7
MINUTE_S, DAY_S = 60, 86_400
START = 20_000 * DAY_S + 41_234.5  # some day, in the middle of a minute


@dataclass
class Server:
    """Counts calls as API 2.1 says; its clock is the true one."""

    minute_limit: int = 60
    daily_limit: int = 5000
    silent: frozenset[str] = frozenset()
    minutes: dict[int, int] = field(default_factory=dict)
    days: dict[int, int] = field(default_factory=dict)
    refused: int = 0

    def consume(self, at: float, calls: int) -> None:
        minute, day = int(at // MINUTE_S), int(at // DAY_S)
        self.minutes[minute] = self.minutes.get(minute, 0) + calls
        self.days[day] = self.days.get(day, 0) + calls

    def call(self, at: float) -> tuple[int, dict[str, str]]:
        minute, day = int(at // MINUTE_S), int(at // DAY_S)
        if self.days.get(day, 0) >= self.daily_limit:
            self.refused += 1
            return 429, self._headers(at, "day")
        if self.minutes.get(minute, 0) >= self.minute_limit:
            self.refused += 1
            return 429, self._headers(at, "minute")
        self.consume(at, 1)
        return 200, self._headers(at, "day", "minute")

    def _headers(self, at: float, *which: str) -> dict[str, str]:
        minute, day = int(at // MINUTE_S), int(at // DAY_S)
        left = max(0, self.daily_limit - self.days.get(day, 0))
        found = {"Date": formatdate(int(at), usegmt=True)}
        if "day" in which:
            found |= {
                "X-RateLimit-Limit": str(self.daily_limit),
                "X-Ratelimit-Remaining": str(left),
                "x-ratelimit-reset": str((day + 1) * DAY_S * 1000),
            }
        if "minute" in which:
            left = max(0, self.minute_limit - self.minutes.get(minute, 0))
            found |= {
                "X-RateLimit-Minutely-Limit": str(self.minute_limit),
                "X-RateLimit-Minutely-Remaining": str(left),
                "X-RateLimit-Minutely-Reset": str((minute + 1) * MINUTE_S * 1000),
            }
        return {k: v for k, v in found.items() if k.lower() not in self.silent}


@dataclass
class Caller:
    """A client with work left, whose clock is ``skew_s`` behind the server's."""

    server: Server
    limits: Limits = field(default_factory=Limits)
    latency_s: float = 0.2
    skew_s: float = 0.0
    at: float = START
    answered: int = 0
    days_over: list[float] = field(default_factory=list)

    def work(self, until: float, others: Iterable[tuple[float, int]] = ()) -> None:
        """Make calls until then, by the server's clock."""
        others = iter(others)
        next_other = next(others, None)
        while self.at < until:
            while next_other is not None and next_other[0] <= self.at:
                self.server.consume(*next_other)
                next_other = next(others, None)
            self._step()

    def _step(self) -> None:
        now = self.at - self.skew_s
        try:
            wait_s = self.limits.wait_s(DIVISION, now)
        except LimitError as error:
            self.days_over.append(error.resumes_at + self.skew_s)
            self.at = max(self.at, error.resumes_at + self.skew_s)
            return
        if wait_s > 0:
            self.at += wait_s
            return
        self.limits.spend(DIVISION)
        self.at += self.latency_s / 2
        status, headers = self.server.call(self.at)
        self.answered += status == 200
        self.at += self.latency_s / 2
        self.limits.observe(DIVISION, status, headers, self.at - self.skew_s)


latencies = st.floats(0.02, 0.9)
skews = st.floats(-4000, 4000) | st.floats(-2, 2)
HEADERS = [
    "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-minutely-limit",
    "x-ratelimit-minutely-remaining", "x-ratelimit-minutely-reset",
]  # fmt: skip


@given(latency_s=latencies, skew_s=skews)
@example(latency_s=0.9, skew_s=-0.99)
@examples(30)
def test_a_minute_is_used_to_the_full_and_never_overdrawn(latency_s: float, skew_s: float) -> None:
    caller = Caller(Server(), latency_s=latency_s, skew_s=skew_s)
    first = START // MINUTE_S * MINUTE_S + MINUTE_S
    caller.work(first + 12 * MINUTE_S)

    assert caller.server.refused == 0
    full = [caller.server.minutes.get(int(first // MINUTE_S) + n, 0) for n in range(12)]
    assert sum(full) >= 0.98 * 12 * 60


@given(latency_s=latencies, skew_s=skews, daily_limit=st.integers(30, 400))
@examples(40)
def test_a_day_is_used_to_the_full_and_never_overdrawn(
    latency_s: float, skew_s: float, daily_limit: int
) -> None:
    caller = Caller(Server(daily_limit=daily_limit), latency_s=latency_s, skew_s=skew_s)
    caller.work(START // DAY_S * DAY_S + 4 * DAY_S - 60)

    assert caller.server.refused == 0
    assert list(caller.server.days.values()) == [daily_limit] * 4
    assert len(caller.days_over) == 4
    assert all(min(at % DAY_S, DAY_S - at % DAY_S) <= 4 for at in caller.days_over)


def test_the_real_limits_are_used_over_days() -> None:
    caller = Caller(Server(), latency_s=0.3)
    caller.work(START // DAY_S * DAY_S + 3 * DAY_S)

    assert caller.server.refused == 0
    assert list(caller.server.days.values()) == [5000, 5000, 5000]


@given(
    latency_s=latencies,
    skew_s=skews,
    others=st.lists(st.tuples(st.floats(0, 600), st.integers(1, 80)), max_size=12),
)
@examples(30)
def test_what_others_use_is_waited_out(
    latency_s: float, skew_s: float, others: list[tuple[float, int]]
) -> None:
    caller = Caller(Server(), latency_s=latency_s, skew_s=skew_s)
    theirs = sorted((START + after, calls) for after, calls in others)
    caller.work(START + 15 * MINUTE_S, theirs)

    # One refusal at most for each time that others came in between, and calls go on afterwards.
    assert caller.server.refused <= len(others)
    last = int((START + 15 * MINUTE_S) // MINUTE_S) - 1
    assert caller.server.minutes[last] >= 58
    assert not caller.days_over


@given(silent=st.sets(st.sampled_from(HEADERS)), latency_s=latencies, others=st.integers(0, 60))
@examples(30)
def test_headers_that_are_absent_change_nothing_that_is_known(
    silent: set[str], latency_s: float, others: int
) -> None:
    caller = Caller(Server(silent=frozenset(silent)), latency_s=latency_s)
    theirs = [(START + 90.0, others)] if others else []
    caller.work(START + 30 * MINUTE_S, theirs)

    assert not caller.days_over, "an absent header must not read as no calls left"
    assert caller.server.refused <= (6 if others else 0)
    last = int((START + 30 * MINUTE_S) // MINUTE_S) - 1
    assert caller.server.minutes[last] >= 58


@given(reserve=st.integers(0, 50), others=st.integers(0, 30))
@examples(40)
def test_the_reserve_is_left_whatever_others_take(reserve: int, others: int) -> None:
    server = Server(daily_limit=100)
    server.consume(START, others)
    caller = Caller(server, Limits(reserve=reserve))
    caller.work(START // DAY_S * DAY_S + DAY_S - 10)

    # The first answer tells what others took; until then a single call may be one too many.
    assert server.days[int(START // DAY_S)] == max(100 - reserve, others + 1)
    assert server.refused == 0


def test_a_cap_over_all_divisions_ends_at_midnight() -> None:
    limits = Limits(contract_cap=10)
    for n in range(10):
        assert limits.wait_s(n % 3, START) == 0
        limits.spend(n % 3)
    with pytest.raises(LimitError) as over:
        limits.wait_s(1, START)
    midnight = START // DAY_S * DAY_S + DAY_S
    assert over.value.resumes_at == pytest.approx(midnight, abs=1)
    assert limits.wait_s(1, over.value.resumes_at) == 0


def test_max_calls_counts_every_division() -> None:
    limits = Limits(max_calls=2)
    limits.spend(1)
    limits.spend(2)
    with pytest.raises(LimitError, match="max"):
        limits.wait_s(3, START)


@pytest.mark.parametrize("skew_s", [-600.0, 600.0])
def test_max_calls_allows_the_next_run_immediately_by_the_clock_of_this_host(skew_s: float) -> None:
    limits = Limits(max_calls=1)
    limits.spend(1)
    limits.observe(1, 200, {"Date": formatdate(int(START + skew_s), usegmt=True)}, START)
    with pytest.raises(LimitError) as over:
        limits.wait_s(1, START)
    assert abs(over.value.resumes_at - START) < 1


def test_divisions_have_limits_of_their_own() -> None:
    limits = Limits()
    for _ in range(60):
        assert limits.wait_s(1, START) == 0
        limits.spend(1)
    assert limits.wait_s(1, START) == pytest.approx(MINUTE_S - START % MINUTE_S, abs=1.5)
    assert limits.wait_s(2, START) == 0


@pytest.mark.parametrize("order", [["minute", "day"], ["day", "minute"]])
def test_a_429_says_only_which_limit_was_hit(order: list[str]) -> None:
    server = Server()
    for which in order:
        limits = Limits()
        limits.observe(DIVISION, 200, server._headers(START, "day", "minute"), START)
        limits.observe(DIVISION, 429, server._headers(START, which), START)
        if which == "minute":
            assert 0 < limits.wait_s(DIVISION, START) <= MINUTE_S + 1
        else:
            with pytest.raises(LimitError):
                limits.wait_s(DIVISION, START)


def test_a_429_without_headers_waits_longer_each_time_and_never_for_hours() -> None:
    limits, now, waits = Limits(), START, list[float]()
    for _ in range(10):
        limits.observe(DIVISION, 429, {}, now)
        waits.append(limits.wait_s(DIVISION, now))
        now += waits[-1]
    assert 0 < waits[0] <= MINUTE_S + 1
    assert waits[3] > waits[1]
    assert max(waits) <= 3600 + MINUTE_S
    limits.observe(DIVISION, 200, {}, now)
    limits.observe(DIVISION, 429, {}, now)
    assert limits.wait_s(DIVISION, now) <= MINUTE_S + 1


def test_retry_after_is_honoured() -> None:
    limits = Limits()
    limits.observe(DIVISION, 429, {"Retry-After": "200"}, START)
    assert limits.wait_s(DIVISION, START) >= 200


@given(st.lists(st.floats(0, 20_000), max_size=40))
def test_an_endpoint_gets_fewer_errors_an_hour_than_block_the_key(gaps: list[float]) -> None:
    limits, now, errors = Limits(), START, list[float]()
    for gap in sorted(gaps):
        at = now + gap
        if limits.errors_left(DIVISION, "crm/Accounts", at) > 0:
            limits.note_error(DIVISION, "crm/Accounts", at)
            errors.append(at)
    assert all(sum(at - 3600 < e <= at for e in errors) <= 5 for at in errors)
    assert limits.errors_left(DIVISION, "crm/Contacts", now) > 0


@given(st.lists(st.floats(0, 7200), max_size=10))
@example([7200.0, 7199.999999999999])  # the same moment, once added to the start
def test_errors_are_remembered_by_the_next_run(gaps: list[float]) -> None:
    first, second, times = Limits(), Limits(), [START + gap for gap in gaps]
    for at in times:
        first.note_error(DIVISION, "crm/Accounts", at)
    now = START + 7200
    for _ in range(2):
        second.recall_errors(first.errors(now))
    left = [limits.errors_left(DIVISION, "crm/Accounts", now) for limits in (first, second)]
    assert left[0] == left[1] or len(set(times)) < len(times)


def test_a_reserve_above_the_usual_day_waits_for_the_real_limit() -> None:
    server, limits = Server(daily_limit=20_000), Limits(reserve=6_000)

    assert limits.wait_s(DIVISION, START) == 0  # the first call tells
    limits.spend(DIVISION)
    limits.observe(DIVISION, *server.call(START), START)
    assert limits.wait_s(DIVISION, START) == 0
    server.consume(START, 14_000)
    limits.spend(DIVISION)
    limits.observe(DIVISION, *server.call(START + 60), START + 60)
    with pytest.raises(LimitError, match="6000 of them kept"):
        limits.wait_s(DIVISION, START + 60)


def test_a_reserve_that_no_answer_confirms_takes_one_call() -> None:
    limits = Limits(reserve=6_000)
    limits.spend(DIVISION)
    limits.observe(DIVISION, 200, {}, START)
    with pytest.raises(LimitError):
        limits.wait_s(DIVISION, START)


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("text", [f"Fri, 01 May {10**20} 12:00:00 GMT", "²", "never", "-1"])
def test_no_odd_time_in_a_header_stops_a_sync(status: int, text: str) -> None:
    limits = Limits()
    limits.spend(DIVISION)

    limits.observe(DIVISION, status, {"Date": text, "Retry-After": text}, START)

    assert limits.server_time(START) == START
    assert limits.wait_s(DIVISION, START) <= 62


def test_the_calls_that_are_left_heed_reserve_run_and_contract() -> None:
    server, limits = Server(), Limits(reserve=1_000, max_calls=5_000, contract_cap=4_500)
    assert limits.calls_left(DIVISION, START) == 4_500
    limits.spend(DIVISION)
    limits.observe(DIVISION, *server.call(START), START)
    assert limits.calls_left(DIVISION, START) == 3_999
    assert limits.calls_left(8, START) == 4_499
    assert Limits().calls_left(8, START) is None


@pytest.mark.parametrize(
    "limit",
    [{"max_calls": 0}, {"max_calls": -1}, {"contract_cap": 0}, {"reserve": -5}, {"max_calls": "3"}],
    ids=str,
)
def test_a_limit_that_allows_nothing_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Limits(**limit)
