"""Exact Online's webhooks report changes, so that an unchanged company costs no calls.

``topics`` and ``signed`` are pure. ``receiver`` is the ASGI app that accepts webhooks, ``server`` serves it,
``notices`` is the table in which they are recorded, and ``subscriptions`` makes the calls to subscribe. A
webhook has a key but no row, and some get lost (API 7). Its content is therefore never loaded; it only makes
the next sync read the entity.
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
