"""The ``state`` of a login: random and signed, so that a later process recognises it without storage."""

from __future__ import annotations

import hmac
import secrets

LIFE_S = 15 * 60.0  # a person logs in, with a second factor; the code itself lives 3 minutes


def new_state(client_secret: str, now: float) -> str:
    """A random text with a signature by the client secret."""
    payload = f"{int(now):x}.{secrets.token_urlsafe(12)}"
    return f"{payload}.{_sign(payload, client_secret)}"


def is_own_state(state: str, client_secret: str, now: float) -> bool:
    """Whether ``new_state`` made the text with this secret in the last ``LIFE_S`` seconds."""
    payload, _, signature = state.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _sign(payload, client_secret).encode()):
        return False
    return abs(now - int(payload.partition(".")[0], 16)) <= LIFE_S


def _sign(payload: str, client_secret: str) -> str:
    return hmac.digest(client_secret.encode(), f"state {payload}".encode(), "sha256").hex()[:32]
