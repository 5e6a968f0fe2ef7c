"""What an orchestrator is told after each kind of outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.engine.result import StreamResult
from exact_source.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    ExactError,
    HeldError,
    LeaseStoreError,
    LimitError,
    LoadError,
    RefusedError,
    RemoteError,
    TokenStoreError,
    TooFewCallsError,
)
from exact_source.orchestration import HELD_PAUSE_S, PAUSE_S, advise, advise_error, division_groups
from exact_source.sync.outcome import Outcome

NOW = 1_000_000.0


def stream(status: Any, *, at: float | None = None, permanent: bool = False) -> StreamResult:
    return StreamResult(
        1, "accounts", "sync", NOW, status=status, error=status, resumes_at=at, permanent=permanent
    )


def outcome(*results: StreamResult, error: ExactError | None = None, rounds: int = 1) -> Outcome:
    return Outcome(list(results), rounds, 5, error)


COMPLETE, REFUSED = stream("complete"), stream("refused", permanent=True)
FAILED = stream("failed")


@pytest.mark.parametrize(
    ("results", "action", "at"),
    [
        ([COMPLETE, stream("skipped")], "done", None),
        ([COMPLETE, REFUSED], "done", None),  # asking again only costs calls
        ([COMPLETE, stream("waiting", at=NOW + 40_000), REFUSED], "again", NOW + 40_000),
        ([stream("waiting", at=NOW + 9000), stream("waiting", at=NOW + 7000)], "again", NOW + 7000),
        ([COMPLETE, stream("incomplete")], "again", NOW + PAUSE_S),
        ([COMPLETE, FAILED], "again", NOW + PAUSE_S),
        ([COMPLETE, stream("incomplete", permanent=True)], "done", None),
        ([FAILED, REFUSED], "retry", None),
        ([REFUSED], "fail", None),
        ([stream("failed", permanent=True)], "fail", None),
    ],
)
def test_advice_on_streams(results: list[StreamResult], action: str, at: float | None) -> None:
    advice = advise(outcome(*results), NOW)
    assert (advice.action, advice.at) == (action, at)
    wrong = [r for r in results if r.status not in {"complete", "skipped"}]
    assert all(r.error in advice.reason for r in wrong)


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (ConfigurationError("x"), "fail"),
        (AuthenticationError("x"), "fail"),
        (TokenStoreError("x"), "retry"),
        (LeaseStoreError("x", resumes_at=NOW), "retry"),
        (RemoteError("x"), "retry"),
        (LoadError("x"), "retry"),
        (ContractError("x"), "fail"),
        (RefusedError("x", status=403), "fail"),
        (LimitError("x", resumes_at=NOW + 7200), "again"),
        (TooFewCallsError("x", resumes_at=NOW + 7200), "fail"),
    ],
)
def test_advice_on_an_error_that_ended_all(error: ExactError, action: str) -> None:
    advice = advise(outcome(COMPLETE, error=error), NOW)
    assert (advice.action, advice.reason) == (action, "x")
    assert advice.at == (NOW + 7200 if action == "again" else None)


def test_who_found_the_pipeline_held_has_spent_nothing_and_comes_back_soon() -> None:
    held = HeldError("x", resumes_at=NOW + 90)
    assert advise(outcome(error=held, rounds=0), NOW).at == NOW + 90
    assert advise(outcome(error=held), NOW).at == NOW + PAUSE_S


def test_nobody_comes_back_at_once() -> None:
    """A holder renews its lease, so the named end is always near."""
    held = HeldError("x", resumes_at=NOW)
    assert advise(outcome(error=held, rounds=0), NOW).at == NOW + HELD_PAUSE_S
    assert advise_error(held, NOW).at == NOW + HELD_PAUSE_S


def test_what_failed_is_tried_again_once_and_what_waits_for_as_long_as_it_takes() -> None:
    """Each time the whole group is read again, and a stream may fail for months."""
    first, second = (advise(outcome(COMPLETE, FAILED), NOW, repeats=n) for n in (0, 1))
    assert (first.action, second.action, second.reason) == ("again", "done", FAILED.error)
    waits = stream("waiting", at=NOW + 9000)
    assert advise(outcome(FAILED, COMPLETE, waits), NOW, repeats=5).at == NOW + 9000


@given(st.sets(st.integers(1, 10**7), max_size=60), st.integers(1, 30))
def test_a_division_is_in_one_group_and_stays_there(codes: set[int], groups: int) -> None:
    found = division_groups(codes, groups)
    assert sorted(code for group in found.values() for code in group) == sorted(codes)
    assert len(found) <= groups
    for name, members in division_groups(sorted(codes)[::2], groups).items():
        assert set(members) <= set(found[name])
