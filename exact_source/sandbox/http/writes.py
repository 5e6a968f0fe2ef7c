"""The writes that the sandbox accepts: webhook subscriptions are created and deleted (API 7)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from ..data.catalogue import Row
from ..odata.literals import parse_key
from ..server import LOOPBACK
from ..state import State
from .errors import EXISTS, NOT_FOUND, RefusedError, bad_request
from .target import Target
from .webhooks import ALL_TOPICS, SUBSCRIPTIONS

WRITABLE = {"webhooks/WebhookSubscriptions": frozenset({"POST", "DELETE"})}


def check_method(method: str, target: Target) -> None:
    """Refuse everything except reads and the writes that the sandbox accepts."""
    if method not in {"GET", *WRITABLE.get(target.path, ())}:
        raise RefusedError(405, "The sandbox is read with GET.")


def write(state: State, target: Target, method: str, sent: bytes) -> Row | None:
    """Create or delete a subscription; returns the row that was created."""
    division = target.division or 0
    if method == "DELETE":
        _delete(state, division, target.key or "")
        return None
    topic, url = _parse(sent)
    rows = state.store.table(division, SUBSCRIPTIONS).rows.values()
    if any(row["Topic"] == topic for row in rows):
        raise RefusedError(500, EXISTS)  # and not a 4xx
    row = {
        "CallbackURL": url, "Topic": topic, "ClientID": state.oauth.client_id, "UserID": state.user,
        "IsInstant": False,
    }  # fmt: skip
    made = state.store.insert(division, SUBSCRIPTIONS, row)
    state.webhooks.post(url)
    return made


def _delete(state: State, division: int, key: str) -> None:
    found = tuple(literal.value for literal in parse_key(key, ("ID",)))
    if found not in state.store.table(division, SUBSCRIPTIONS).rows:
        raise RefusedError(404, NOT_FOUND)
    state.store.delete(division, SUBSCRIPTIONS, found)


def _parse(sent: bytes) -> tuple[str, str]:
    """Parse topic and address of a new subscription; the address must be https or loopback."""
    try:
        body: Any = json.loads(sent)
        topic, url = body["Topic"], body["CallbackURL"]
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme, parts.hostname) == ("http", LOOPBACK)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise bad_request() from None
    if topic not in ALL_TOPICS or not is_safe:
        raise bad_request("Bad Request - CallbackURL or Topic is not valid.")
    return topic, url
