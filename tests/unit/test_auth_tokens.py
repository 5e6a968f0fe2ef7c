from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source.auth import TokenData, TokenDataError
from exact_source.auth.token_response import Answer, TokenOutcome
from exact_source.errors import ConfigurationError

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
AT = NOON.timestamp()
moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
texts = st.text(min_size=1, max_size=900)


def make(**changes: Any) -> TokenData:
    fields = {"access_token": "aaaa", "refresh_token": "rrrr", "token_type": "bearer"}
    return TokenData(**{**fields, "expires_at": NOON, **changes})


def received(at: float = AT, *, sent_at: float = AT, date: float | None = None) -> TokenData:
    reply = {"access_token": "aaaa", "refresh_token": "rrrr", "expires_in": "600"}
    answer = Answer(TokenOutcome.TOKENS, server_date=date, sent_at=sent_at, received_at=at)
    return TokenData.from_reply(
        reply, sent_at=sent_at, received_at=at, server_offset_s=answer.server_offset_s
    )


def test_a_naive_expiry_is_refused_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match="expires_at must be a datetime with a time zone"):
        make(expires_at=datetime(2026, 5, 1, 12))  # noqa: DTZ001


def test_an_expiry_in_another_zone_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="expires_at must be in UTC"):
        make(expires_at=datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))))


@pytest.mark.parametrize("value", ["2026-05-01T12:00:00Z", 1_700_000_000, None])
def test_an_expiry_that_is_no_datetime_is_refused(value: object) -> None:
    with pytest.raises(TokenDataError, match="expires_at"):
        make(expires_at=value)


@pytest.mark.parametrize("field", ["access_token", "refresh_token"])
@pytest.mark.parametrize("value", ["", None, 7])
def test_a_token_that_is_missing_is_refused(field: str, value: object) -> None:
    with pytest.raises(TokenDataError, match=field):
        make(**{field: value})


def test_no_token_is_in_the_repr() -> None:
    assert not re.search("aaaa|rrrr", repr(make()) + str(make()))


@given(texts, texts, texts, moments, moments, st.floats(0, 1e10), st.none() | st.floats(-1e6, 1e6))
def test_json_brings_back_every_field(
    access: str,
    refresh: str,
    kind: str,
    expires: datetime,
    issued: datetime,
    at: float,
    offset: float | None,
) -> None:
    pair = TokenData(
        access, refresh, kind, expires, issued_at=issued, server_offset_s=offset, received_at=at
    )

    assert TokenData.from_json(pair.to_json()) == pair


@given(st.text() | st.from_regex(r'\{"access_token": "aaaa".*', fullmatch=True))
def test_text_that_holds_no_pair_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(TokenDataError) as caught:
        TokenData.from_json(text)

    assert "aaaa" not in str(caught.value)


@pytest.mark.parametrize(
    "expires_in", ["600", 600, 600.0, "", "ten minutes", None, -1, "nan", [], "1e999"]
)
def test_an_odd_lifetime_does_not_cost_the_pair(expires_in: object) -> None:
    reply = {"access_token": "aaaa", "refresh_token": "rrrr", "expires_in": expires_in}

    pair = TokenData.from_reply(reply, sent_at=AT, received_at=AT, server_offset_s=None)

    assert pair.expires_at == NOON + timedelta(seconds=600)


def test_a_pair_of_four_fields_is_issued_600_seconds_before_it_expires() -> None:
    assert make().issued_at == NOON - timedelta(seconds=600)


@pytest.mark.parametrize(
    ("age_s", "is_due"), [(0, False), (569.9, False), (570, True), (9e6, True)]
)
def test_a_refresh_is_due_from_570_seconds_on(age_s: float, is_due: bool) -> None:
    assert received().is_due(AT + age_s) is is_due


@given(st.floats(1e9, 3e9))
def test_the_570_seconds_are_counted_from_the_very_moment_of_receipt(at: float) -> None:
    pair = TokenData.from_json(received(at, sent_at=at).to_json())

    assert pair.received_at == at
    assert pair.is_due(at + 570.000001)
    assert not pair.is_due(at + 569.999999)


def test_a_slow_answer_does_not_make_the_refresh_early() -> None:
    slow = received(AT + 20, sent_at=AT)

    assert not slow.is_due(AT + 589)
    assert slow.is_due(AT + 590)
    assert slow.expires_at == NOON + timedelta(seconds=600)


@pytest.mark.parametrize(
    ("expires_in", "due_s"),
    [
        ("1", 0.9),
        ("40", 36),
        ("299", 269.1),
        ("300", 270),
        ("590", 560),
        ("600", 570),
        ("3600", 3570),
    ],
)
def test_a_refresh_is_due_at_the_end_of_the_life_that_exact_states(
    expires_in: str, due_s: float
) -> None:
    reply = {"access_token": "aaaa", "refresh_token": "rrrr", "expires_in": expires_in}
    pair = TokenData.from_reply(reply, sent_at=AT, received_at=AT, server_offset_s=None)

    assert not pair.is_due(AT + due_s - 0.01)
    assert pair.is_due(AT + due_s + 0.01)


def test_a_pair_that_claims_to_be_expired_from_the_beginning_is_due() -> None:
    pair = TokenData("aaaa", "rrrr", "bearer", NOON, issued_at=NOON + timedelta(hours=1))

    assert pair.is_due(NOON.timestamp() + 3600)


@example(true_age=569.95, step=3600.0, latency=1.5)  # both dates round to the wrong side
@example(true_age=565.5, step=4.5, latency=0.0)  # too small to be told from the rounding
@given(
    true_age=st.floats(0, 3000),
    step=st.floats(-1e5, 1e5) | st.floats(-12, 12),
    latency=st.floats(0, 2),
)
def test_no_step_of_the_clock_makes_a_refresh_early(
    true_age: float, step: float, latency: float
) -> None:
    """Dates count whole seconds and are as old as the answer's way back, at which Exact issued."""
    pair = received(date=float(int(AT - latency)))
    offset = int(AT + true_age - latency) - (AT + true_age + step)

    if pair.is_due(AT + true_age + step, offset):
        assert true_age + latency >= 570 - 1e-3
    if true_age > 600:
        assert pair.is_due(AT + true_age + step, offset)
