"""Settings of the receiver; it needs neither the app's client secret nor a token."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import ConfigurationError
from ..settings import SECTION, configured

DEFAULT_URL = "sqlite:///.dlt/exact_online_notices.db"
DEFAULT_PATH = "/exact"


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Settings of webhooks.

    Attributes:
        secret: Webhook secret of the app, from the app centre.
        notices_url: SQLAlchemy URL of the database for the table of notices.
        path: Path of the callback URL.
    """

    secret: str | None = field(default=None, repr=False)
    notices_url: str = field(default=DEFAULT_URL, repr=False)
    path: str = DEFAULT_PATH


def load_webhook_settings() -> WebhookSettings:
    """``webhook_secret``, ``webhook_path`` and ``notices_url`` from dlt's providers.

    Raises:
        ConfigurationError: If the path does not begin with a slash.
    """
    path = configured("webhook_path") or DEFAULT_PATH
    if not path.startswith("/"):
        raise ConfigurationError(f"{SECTION}.webhook_path must begin with a slash, such as /exact")
    return WebhookSettings(
        secret=configured("webhook_secret") or None,
        notices_url=configured("notices_url") or DEFAULT_URL,
        path=path,
    )
