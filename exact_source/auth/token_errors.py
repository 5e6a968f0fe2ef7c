"""The errors of token requests that returned no tokens: what happened, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime

from ..errors import AuthenticationError, ConfigurationError, RemoteError
from ..settings import SECTION
from .token_response import Answer, TokenOutcome

LOGIN = "run `exact-source login`"
KEPT = "the stored tokens are kept, run again later"
TRY_LATER = (
    "run again in 10 minutes, and if the stored tokens are refused then, run `exact-source login`"
)

_MEANING = {
    TokenOutcome.USED: (
        "the stored refresh token was used before, by another program that shares this connection "
        "or by a run that was killed or cut off before it could store the reply"
    ),
    TokenOutcome.EXPIRED: "the stored refresh token went unused for 30 days and has expired",
    TokenOutcome.CHAIN_BROKEN: "the token chain is broken: a token or code was used twice at once",
}


def exchange_error(answer: Answer) -> AuthenticationError | RemoteError | ConfigurationError:
    """The error if a code was not exchanged."""
    if answer.outcome in {TokenOutcome.UNREACHABLE, TokenOutcome.BUSY}:
        return RemoteError(f"the code was not exchanged: {_why_not(answer)}")
    if answer.outcome is TokenOutcome.CLIENT_REFUSED:
        return _client_error(answer)
    if answer.outcome is TokenOutcome.LOST:
        return AuthenticationError(
            f"the reply to the code exchange was lost ({answer.detail}), and a code works only "
            f"once: {LOGIN} again"
        )
    return AuthenticationError(
        f"Exact Online refuses the code ({answer.detail}); a code works once, within 3 minutes: "
        f"{LOGIN} again"
    )


def refresh_error(
    answer: Answer, lost: Answer | None, resumes_at: float | None = None
) -> AuthenticationError | RemoteError | ConfigurationError:
    """The error of a refresh.

    Args:
        answer: The last answer.
        lost: An earlier request whose reply was lost.
        resumes_at: Time from which Exact issues new tokens again; seconds since the epoch (UTC), ``None``
            if unknown.
    """
    if answer.outcome is TokenOutcome.CLIENT_REFUSED:
        return _client_error(answer)
    if answer.outcome in {TokenOutcome.UNREACHABLE, TokenOutcome.BUSY, TokenOutcome.LOST}:
        return _passing_error(answer, lost)
    if answer.outcome is not TokenOutcome.TOO_EARLY:
        return AuthenticationError(f"{refusal_reason(answer, lost)}: {LOGIN}")
    if resumes_at is None:
        return _newer_tokens_error(answer, lost)
    at = datetime.fromtimestamp(resumes_at, UTC)
    return RemoteError(
        f"Exact Online does not issue new tokens before {at:%Y-%m-%d %H:%M:%S} UTC "
        f"({answer.detail}); {KEPT}",
        resumes_at=resumes_at,
    )


def refusal_reason(answer: Answer, lost: Answer | None) -> str:
    """Why the stored refresh token was refused, with Exact's message."""
    meaning = _MEANING.get(answer.outcome, "Exact Online refuses the stored refresh token")
    if lost is not None:
        meaning = f"{_loss(lost)} and the refresh token is spent"
    return f"{meaning} ({answer.detail})"


def _why_not(answer: Answer) -> str:
    if answer.outcome is TokenOutcome.UNREACHABLE:
        return f"Exact Online could not be reached ({answer.detail}), nothing was sent"
    return f"Exact Online is limiting token requests ({answer.detail})"


def _loss(lost: Answer) -> str:
    at = datetime.fromtimestamp(lost.sent_at, UTC)
    return f"the reply to the token refresh of {at:%Y-%m-%d %H:%M:%S} UTC was lost ({lost.detail})"


def _passing_error(answer: Answer, lost: Answer | None) -> RemoteError:
    """The error of a refresh that failed temporarily, or whose reply was lost."""
    if lost is None:
        message = f"the tokens were not refreshed: {_why_not(answer)}; {KEPT}"
    elif answer.outcome is TokenOutcome.LOST:
        message = f"{_loss(lost)}, and the reply to the second attempt was lost too ({answer.detail}); {KEPT}"
    elif answer.outcome is TokenOutcome.UNREACHABLE:
        message = (
            f"{_loss(lost)}, and then Exact Online could not be reached ({answer.detail}); {KEPT}"
        )
    else:
        message = f"{_loss(lost)}, and then {_why_not(answer)}; {KEPT}"
    return RemoteError(message)


def _newer_tokens_error(answer: Answer, lost: Answer | None) -> RemoteError:
    """The error if Exact has issued a token of this connection that is not stored here (API 1.3)."""
    if lost is None:
        message = (
            "Exact Online recently issued newer tokens than the stored ones, to another program or in "
            f"a lost reply, and does not issue others yet ({answer.detail}): {TRY_LATER}"
        )
    else:
        message = (
            f"{_loss(lost)}; Exact Online has issued the new tokens and does not issue others yet "
            f"({answer.detail}): {TRY_LATER}"
        )
    return RemoteError(message)


def _client_error(answer: Answer) -> ConfigurationError:
    return ConfigurationError(
        f"Exact Online refuses the app ({answer.detail}): check {SECTION}.client_id, "
        "client_secret, redirect_uri and the region they were registered in"
    )
