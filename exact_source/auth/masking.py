"""Keeps secrets out of log records, whoever writes them."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from urllib.parse import quote

MASK = "***"
# A filter on a logger does not see what its children log, so each is named.
LOGGERS = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "dlt",
    "filelock",
    "asyncio",
    "sqlalchemy.engine.Engine",
    "sqlalchemy.pool",
    "exact_source",
    "exact_source.cli",
    "exact_source.client",
    "exact_source.auth.oauth",
    "exact_source.auth.storage",
)
CAPACITY = 512  # newest kept; an older pair is void anyway (API 1.4)
SHORTEST = 6  # masking shorter texts would garble every line


class SecretFilter(logging.Filter):
    """Replaces known secrets in the message, the arguments and the traceback of a record."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: OrderedDict[str, None] = OrderedDict()
        self._guard = threading.Lock()

    def learn(self, *secrets: str) -> None:
        """Mask these from now on, also in their URL-encoded form."""
        with self._guard:
            for secret in secrets:
                for form in {secret, quote(secret, safe="")}:
                    if len(form) >= SHORTEST:
                        self._secrets[form] = None
                        self._secrets.move_to_end(form)
            while len(self._secrets) > CAPACITY:
                self._secrets.popitem(last=False)

    def mask(self, text: str) -> str:
        """The text without the secrets known."""
        with self._guard:
            secrets = sorted(self._secrets, key=len, reverse=True)
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, masked."""
        message = record.getMessage()
        masked = self.mask(message)
        if masked != message:
            record.msg, record.args = masked, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.mask(record.exc_text)
        return True


# Logging is one per process, so is what is masked in it.
SECRETS = SecretFilter()


def install() -> None:
    """Mask in the loggers of everything that tokens pass through; harmless to repeat."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(SECRETS)
