from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.auth.masking import SECRETS
from exact_source.auth.token_response import Answer, TokenOutcome, parse_answer

EARLY = "Rate limit exceeded: access_token not expired"
LOGIN_PAGE = (
    b'<html><head><title>Object moved</title></head><body><h2>Object moved to <a href="/x">'
)


def test_a_secret_is_masked_before_what_is_quoted_is_cut() -> None:
    SECRETS.learn("the-secret")

    answer = parse_answer(
        400, "the-secret", body("invalid_grant", "x " * 95 + "the-secret is wrong")
    )

    assert "the-s" not in answer.detail
    assert answer.detail.endswith("/ ***")


def body(error: str, description: str) -> bytes:
    return json.dumps({"error": error, "error_description": description}).encode()


CASES = [
    # The answers that were seen in production (API 1.3, 1.4).
    (200, "", b'{"access_token":"a","refresh_token":"r","expires_in":"600"}', TokenOutcome.TOKENS),
    (
        400,
        f"TooEarlyToRefreshTokens: {EARLY}",
        body("access_denied", EARLY),
        TokenOutcome.TOO_EARLY,
    ),
    (400, f"TooEarlyToRefreshTokens: {EARLY}", b"", TokenOutcome.TOO_EARLY),
    (400, "", body("access_denied", EARLY), TokenOutcome.TOO_EARLY),
    (401, "", body("access_denied", "Access Token not expired"), TokenOutcome.TOO_EARLY),
    (401, "", b"Access Token not expired", TokenOutcome.TOO_EARLY),
    (429, "", body("access_denied", EARLY), TokenOutcome.TOO_EARLY),
    (401, "", body("unauthorized_client", "Old refresh token used."), TokenOutcome.USED),
    (400, "", body("unauthorized_client", "Old refresh token used."), TokenOutcome.USED),
    (
        400,
        "",
        body("invalid_request", "The refresh token expired at 3/1/2026 and it is now 5/1/2026."),
        TokenOutcome.EXPIRED,
    ),
    (
        400,
        "",
        body("invalid_grant", "Token is not allowed, because of invalid or empty chainId"),
        TokenOutcome.CHAIN_BROKEN,
    ),
    (400, "", body("invalid_client", "Client authentication failed."), TokenOutcome.CLIENT_REFUSED),
    (401, "", body("invalid_client", ""), TokenOutcome.CLIENT_REFUSED),
    (
        400,
        "",
        body("invalid_grant", "The redirect_uri does not match."),
        TokenOutcome.CLIENT_REFUSED,
    ),
    (
        400,
        "",
        body("invalid_grant", "The authorization code has expired."),
        TokenOutcome.CODE_REFUSED,
    ),
    (400, "", body("invalid_grant", "something new"), TokenOutcome.GRANT_REFUSED),
    (400, "", body("invalid_request", ""), TokenOutcome.REFUSED),
    (403, "", b"", TokenOutcome.REFUSED),
    # Of a firewall or a proxy on the way, whatever words its page holds.
    (403, "", b"<html>error code 403: old refresh token used</html>", TokenOutcome.LOST),
    (401, "", b" \n<html>client credentials are needed</html>", TokenOutcome.LOST),
    (404, "", b"<!doctype html>", TokenOutcome.LOST),
    (429, "", b"<html></html>", TokenOutcome.BUSY),
    (401, f"TooEarlyToRefreshTokens: {EARLY}", b"<html></html>", TokenOutcome.TOO_EARLY),
    (200, "", b"[" * 200_000, TokenOutcome.LOST),
    (429, "", b"", TokenOutcome.BUSY),
    (200, "", b"", TokenOutcome.LOST),
    (200, "", b"   ", TokenOutcome.LOST),
    (200, "", LOGIN_PAGE, TokenOutcome.LOST),
    (200, "", b'{"access_token":"a","refresh_', TokenOutcome.LOST),
    (200, "", b'["access_token"]', TokenOutcome.LOST),
    (200, "", b'{"error":"server_error"}', TokenOutcome.LOST),
    (302, "", LOGIN_PAGE, TokenOutcome.LOST),
    (408, "", b"", TokenOutcome.LOST),
    (500, "", b'{"fault":{"faultstring":"ExtractAccessToken"}}', TokenOutcome.LOST),
    (503, "", b"", TokenOutcome.LOST),
    (599, "", b"", TokenOutcome.LOST),
]


@pytest.mark.parametrize(("status", "reason", "content", "kind"), CASES)
def test_every_answer_is_classified(
    status: int, reason: str, content: bytes, kind: TokenOutcome
) -> None:
    assert parse_answer(status, reason, content).outcome is kind


@given(st.integers(100, 599), st.text(), st.binary())
def test_no_answer_is_too_odd_to_be_classified(status: int, reason: str, content: bytes) -> None:
    assert "\n" not in parse_answer(status, reason, content).detail


def test_a_token_that_is_echoed_back_is_not_shown() -> None:
    answer = parse_answer(400, "", body("invalid_grant", f"bad token {'x' * 300}"))

    assert "xxx" not in answer.detail


@pytest.mark.parametrize(
    ("date", "sent_at", "received_at", "offset"),
    [
        (1000.0, 1000.2, 1000.4, -0.4),
        (1000.0, 4600.2, 4600.4, -3600.4),
        (None, 1000.2, 1000.4, None),
        (1000.0, 1000.2, 1020.0, None),  # a slow answer, or a clock set forward on the way
        (1000.0, 1000.2, 400.0, None),  # a clock set back on the way
    ],
)
def test_the_clocks_are_compared_only_by_a_quick_answer(
    date: float | None, sent_at: float, received_at: float, offset: float | None
) -> None:
    answer = Answer(TokenOutcome.TOKENS, server_date=date, sent_at=sent_at, received_at=received_at)

    assert answer.server_offset_s == pytest.approx(offset)
