"""Keeps secrets out of log records and out of texts that come from outside."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from ..errors import one_line

MASK = "***"
# A filter of a logger does not see records of its children, so each logger is listed.
LOGGERS = (
    "aiohttp.client",
    "aiohttp.internal",
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
    "exact_source.airflow",
    "exact_source.cli",
    "exact_source.client.client",
    "exact_source.loading.entity_reader",
    "exact_source.loading.working_folder",
    "exact_source.auth.storage.file",
    "exact_source.auth.refresh",
    "exact_source.auth.storage.protocol",
    "exact_source.streams",
    "exact_source.sync.runner",
    "exact_source.webhooks.receiver",
)
CAPACITY = 512  # newest secrets; older tokens are void (API 1.4)
SHORTEST = 6  # masking shorter texts would garble every line
LONGEST_QUOTE = 200  # characters of an external text in a message
# A token that is echoed back: after "Bearer", or a long run without a space, a comma or a slash.
_TOKEN = re.compile(r"(?<=bearer )\S+|[\w+=!%-]{41,}", re.IGNORECASE | re.ASCII)


class SecretFilter(logging.Filter):
    """Masks known secrets in the message, the arguments and the traceback of a record."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: OrderedDict[str, None] = OrderedDict()
        self._guard = threading.Lock()

    def learn(self, *secrets: str) -> None:
        """Mask these secrets from now on, also in their URL-encoded form."""
        with self._guard:
            for form in _forms(secrets):
                self._secrets[form] = None
                self._secrets.move_to_end(form)
            while len(self._secrets) > CAPACITY:
                self._secrets.popitem(last=False)

    @contextmanager
    def knowing(self, *secrets: str) -> Iterator[None]:
        """Mask these secrets within the block only; a user may have typed a common word."""
        with self._guard:
            new = _forms(secrets) - self._secrets.keys()
        self.learn(*new)
        try:
            yield
        finally:
            with self._guard:
                for form in new:
                    self._secrets.pop(form, None)

    def mask(self, text: str) -> str:
        """The text with all known secrets masked."""
        with self._guard:
            secrets = sorted(self._secrets, key=len, reverse=True)
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record; always returns ``True``, so that it is logged."""
        message = record.getMessage()
        masked = self.mask(message)
        if masked != message:
            record.msg, record.args = masked, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.mask(record.exc_text)
        return True


def _forms(secrets: tuple[str, ...]) -> set[str]:
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
    return {form for form in forms if len(form) >= SHORTEST}


# Logging is global in a process, and so are the secrets that are masked.
SECRETS = SecretFilter()


def clean_text(text: object, most: int | None = LONGEST_QUOTE) -> str:
    """An external text that is made safe for messages, tables, logs and terminals.

    The result is one line, without control characters, known secrets or anything that looks like a token,
    and shortened. External texts are headers and bodies of replies, company names, messages of drivers, and
    webhooks.

    Args:
        text: A text or an error.
        most: Length in characters above which the text is cut; ``None`` for any length.
    """
    # Masked before it is shortened, because half a token would not be recognised.
    return one_line(_TOKEN.sub(MASK, SECRETS.mask(one_line(text))), most)


def install() -> None:
    """Add the filter to all loggers of code that handles tokens; may be called repeatedly."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(SECRETS)
