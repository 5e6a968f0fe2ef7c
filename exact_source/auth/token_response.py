"""Classifies replies of the token endpoint by their consequence. Pure: no I/O, no clock."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from .masking import clean_text

LONG_WAY_S = 10.0


class TokenOutcome(Enum):
    """What a reply of the token endpoint means."""

    TOKENS = auto()
    TOO_EARLY = auto()  # 570 s have not passed: continue with the current token (API 1.3)
    USED = auto()  # this refresh token was used before (API 1.4)
    EXPIRED = auto()  # not refreshed for 30 days (API 1.2, 1.4)
    CHAIN_BROKEN = auto()  # parallel use of a code or token (API 1.4)
    CODE_REFUSED = auto()  # older than 3 minutes or used (API 1.2)
    CLIENT_REFUSED = auto()  # client_id, client_secret or redirect_uri
    GRANT_REFUSED = auto()  # invalid_grant with an unknown description (API 12.16)
    REFUSED = auto()  # any other 4xx
    BUSY = auto()  # 429: refused, nothing used up
    LOST = auto()  # sent, but no usable reply: the refresh token may be used up
    UNREACHABLE = auto()  # never sent: nothing used up


@dataclass(frozen=True)
class Answer:
    """One reply.

    Attributes:
        outcome: What it means.
        detail: Status and text of the reply, safe for an error message.
        reply: The decoded body, for ``TokenOutcome.TOKENS``.
        server_date: The ``Date`` header, seconds since the epoch.
        retry_after_s: The ``Retry-After`` header, in seconds.
        sent_at: This host's clock before the request was sent.
        received_at: This host's clock after the reply arrived.
    """

    outcome: TokenOutcome
    detail: str = ""
    reply: Mapping[str, Any] = field(default_factory=dict, repr=False)
    server_date: float | None = None
    retry_after_s: float | None = None
    sent_at: float = 0.0
    received_at: float = 0.0

    @property
    def server_offset_s(self) -> float | None:
        """Exact's clock minus this host's; ``None`` if unknown or if the request took long.

        Adjusting a clock during the request has the same effect as a slow request.
        """
        if self.server_date is None or not 0 <= self.received_at - self.sent_at <= LONG_WAY_S:
            return None
        return self.server_date - self.received_at


# The order matters: "Rate limit exceeded: access_token not expired" contains "expired" as well.
_REFUSALS = (
    (TokenOutcome.TOO_EARLY, re.compile(r"TooEarlyToRefreshTokens|not expired", re.IGNORECASE)),
    (
        TokenOutcome.USED,
        re.compile(r"old refresh token|refresh token.{0,40}(used|revoked)", re.IGNORECASE),
    ),
    (TokenOutcome.EXPIRED, re.compile(r"refresh token.{0,40}expired", re.IGNORECASE)),
    (TokenOutcome.CHAIN_BROKEN, re.compile(r"chain ?id", re.IGNORECASE)),
    (
        TokenOutcome.CLIENT_REFUSED,
        re.compile(r"invalid_client|client.?(id|secret|credentials)|redirect.?uri", re.IGNORECASE),
    ),
    (TokenOutcome.CODE_REFUSED, re.compile(r"authori[sz]ation code|\bcode\b", re.IGNORECASE)),
    (TokenOutcome.GRANT_REFUSED, re.compile(r"invalid_grant", re.IGNORECASE)),
)


def parse_answer(status: int, reason: str, body: bytes) -> Answer:
    """Classify a reply.

    Args:
        status: HTTP status.
        reason: Value of the ``Reason`` header, empty if absent.
        body: Body as received, possibly truncated, empty or HTML.
    """
    document = _document(body)
    if status == HTTPStatus.OK and document.get("access_token"):
        return Answer(TokenOutcome.TOKENS, reply=document)
    words = _words(document, reason) or _shape(body)
    refused = status in range(HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)
    if not refused or status == HTTPStatus.REQUEST_TIMEOUT:
        # 200 without tokens, a redirect, 5xx at night (API 1.4): the effect of the request is unknown.
        return Answer(TokenOutcome.LOST, f"HTTP {status} with {words}")
    is_page = _is_page(body)
    text = reason if is_page else f"{reason} {body[:2000].decode(errors='replace')}"
    for outcome, pattern in _REFUSALS:
        if pattern.search(text):
            return Answer(outcome, f"HTTP {status} {words}")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Answer(TokenOutcome.BUSY, f"HTTP {status} {words}")
    if is_page:
        # Exact answers in JSON, so this comes from a proxy or firewall; it says nothing about the token.
        return Answer(TokenOutcome.LOST, f"HTTP {status} with {words}")
    return Answer(TokenOutcome.REFUSED, f"HTTP {status} {words}")


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _words(document: Mapping[str, Any], reason: str) -> str:
    words = [document.get("error"), document.get("error_description"), reason]
    return " / ".join(clean_text(word) for word in words if word)


def _is_page(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _shape(body: bytes) -> str:
    if not body.strip():
        return "an empty body"
    return "an HTML page" if _is_page(body) else "a body that holds no tokens"
