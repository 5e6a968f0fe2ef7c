"""Exact Online's webhooks: hints that something changed, so that an idle company costs no calls.

``topics`` and ``signed`` are pure, ``notices`` is the table in which hints wait, ``receiver`` the ASGI app
that accepts them, ``server`` serves it, ``subscriptions`` makes the calls that order them. A webhook has a
key and no row, and some get lost (API 7): its content is never loaded, it only makes the next sync look
sooner.
"""

from .notices import Notices
from .settings import WebhookSettings, load_webhook_settings
from .signed import Notice, SignatureError, read_notice
from .topics import TOPICS, entities_of, topics_for

__all__ = [
    "TOPICS",
    "Notice",
    "Notices",
    "SignatureError",
    "WebhookSettings",
    "entities_of",
    "load_webhook_settings",
    "read_notice",
    "topics_for",
]
