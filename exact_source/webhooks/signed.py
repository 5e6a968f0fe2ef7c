"""Verifies the signature of a webhook, and parses it."""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from hashlib import sha256

from ..errors import ContractError, ExactError

# The hash covers the raw bytes of Content: a different order or spacing of the same JSON changes it (API 7).
_BODY = re.compile(rb'\s*\{"Content":(.*),"HashCode":"([0-9A-Fa-f]{64})"\}\s*', re.DOTALL)


MAX_DIVISION = 2**31 - 1  # limit of an integer column


class SignatureError(ExactError):
    """The webhook was not signed with this app's webhook secret."""

    code = "signature"
    remedy = (
        "Compare `webhook_secret` with the app's page in the app centre; if they agree, the sender is "
        "not Exact."
    )


@dataclass(frozen=True)
class Notice:
    """The relevant content of a webhook.

    Attributes:
        topic: A name such as ``Accounts``; see ``topics``.
        division: Division code, 1 to ``MAX_DIVISION``.
    """

    topic: str
    division: int


def sign(content: bytes, secret: str) -> str:
    """The ``HashCode`` of the bytes of a ``Content``: HMAC-SHA256 in upper-case hex."""
    return hmac.new(secret.encode(), content, sha256).hexdigest().upper()


def read_notice(body: bytes, secret: str) -> Notice:
    """The content of a webhook, after its signature is verified.

    Args:
        body: Body of the request: ``{"Content":{"Topic":...,"Division":...},"HashCode":"..."}``.
        secret: Webhook secret of the app.

    Raises:
        SignatureError: If the hash is missing or does not match.
        ContractError: If the webhook is signed, but has no topic or division.
    """
    found = _BODY.fullmatch(body)
    content, given = found.groups() if found else (b"", b"")
    # Compared in constant time, even if there is no hash.
    if not hmac.compare_digest(sign(content, secret).encode(), given.upper()):
        raise SignatureError("a webhook came without the hash of this app's webhook secret")
    return _parse(content)


def _parse(content: bytes) -> Notice:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # not JSON, or nested too deeply
        document = None
    match document:
        case {"Topic": str(topic), "Division": int(division)} if _is_code(division):
            return Notice(topic, division)
    raise ContractError("a signed webhook lacks a Topic or a Division")


def _is_code(division: int) -> bool:
    return not isinstance(division, bool) and 0 < division <= MAX_DIVISION
