"""When a round ends, when a run ends, and what is read again."""

from __future__ import annotations

from typing import Any

import pytest

from exact_source.client.call import Call
from exact_source.engine.result import PausedError, StreamResult, recording
from exact_source.engine.rounds import Rounds
from exact_source.errors import (
    ConfigurationError,
    ContractError,
    LimitError,
    RefusedError,
    RemoteError,
    StreamError,
)
from exact_source.source import make_options

CALL = Call(7, "crm/Accounts", "accounts", may_pause=True)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1_773_144_000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def make_rounds(**options: Any) -> tuple[Rounds, Time]:
    clock = Time()
    rounds = Rounds(make_options(**options), clock)
    rounds.begin()
    return rounds, clock


def test_a_round_ends_after_its_seconds_and_not_before() -> None:
    rounds, clock = make_rounds(round_s=300)
    clock.at += 299
    assert not rounds.must_stop()

    clock.at += 1
    assert rounds.must_stop()


def test_a_stop_is_requested_once_it_is() -> None:
    rounds, _ = make_rounds()
    before = rounds.is_stop_requested
    rounds.request_stop()

    assert (before, rounds.is_stop_requested) == (False, True)
    assert rounds.is_stopped()


def test_what_stopped_a_run_is_a_request_or_its_deadline() -> None:
    rounds, clock = make_rounds()
    rounds.stop_by(clock.at + 60)
    found = [rounds.stopped_by]
    clock.at += 60
    found.append(rounds.stopped_by)
    rounds.request_stop("Ctrl-C")
    found.append(rounds.stopped_by)

    before, at_the_deadline, on_request = found
    assert (before, on_request) == ("", "Ctrl-C")
    assert at_the_deadline not in {before, on_request}


def test_a_stream_that_ended_is_settled_whatever_webhooks_say() -> None:
    rounds, _ = make_rounds()
    rounds.settle("accounts", 7)
    rounds.read_only("items", [7])

    assert rounds.is_settled("accounts", 7)
    assert not rounds.is_settled("accounts", 8)
    assert rounds.is_settled("items", 8)
    assert not rounds.is_settled("items", 7)


def test_a_stream_that_waits_is_paused_only_while_pages_wait_for_a_load() -> None:
    rounds, _ = make_rounds(max_pages=1)
    waits: list[str] = []
    rounds.on_wait = lambda _call, _until, why: waits.append(why)
    rounds.wait_or_stop(CALL, 0.0, "a minute")
    rounds.raise_if_round_over(CALL)

    rounds.count_page()
    with pytest.raises(PausedError):
        rounds.wait_or_stop(CALL, 0.0, "another")
    with pytest.raises(PausedError):
        rounds.raise_if_round_over(CALL)
    assert waits == ["a minute"]

    rounds.request_stop()
    with pytest.raises(LimitError):
        rounds.raise_if_round_over(CALL)


def test_an_error_of_all_streams_is_raised_unless_pages_wait_for_a_load() -> None:
    rounds, _ = make_rounds()
    first, second = ConfigurationError("first"), ConfigurationError("second")
    with pytest.raises(ConfigurationError):
        rounds.give_up(first)
    before = rounds.fatal
    rounds.count_page()
    rounds.give_up(first)
    rounds.give_up(second)

    assert [before, rounds.fatal] == [None, first]
    assert rounds.must_stop()
    assert not rounds.go_on([StreamResult(7, "accounts", "sync", 0.0, status="incomplete")])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ContractError("a page that cannot be right"), "failed"),
        (RefusedError("a wrong query", status=400), "refused"),
        (RemoteError("no reply"), "failed"),
    ],
)
def test_a_stream_that_failed_says_whether_it_would_fail_again(
    error: StreamError, status: str
) -> None:
    rounds, _ = make_rounds()
    result = StreamResult(7, "accounts", "sync", 0.0)

    def fail() -> None:
        raise error

    with recording(result, rounds, ()):
        fail()

    assert (result.status, result.code) == (status, error.code)
    assert result.permanent is error.is_permanent is not isinstance(error, RemoteError)
