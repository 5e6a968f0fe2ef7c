"""Parses times in HTTP headers; it never raises, because a header may contain anything."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from functools import lru_cache

HOUR_S = 3600.0


@lru_cache(maxsize=64)  # the replies of one second have the same date
def parse_date(header: str | None) -> float | None:
    """A header such as ``Date`` as seconds since the epoch; ``None`` if absent or unreadable."""
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, TypeError, OverflowError):
        return None


def parse_retry_after(header: str | None, at: float) -> float | None:
    """Seconds that ``Retry-After`` requests, at most an hour; ``None`` if absent or unreadable.

    Exact has not been observed to send it (API 2.2).

    Args:
        header: A number of seconds or a date.
        at: Now, by the server's clock, in seconds since the epoch.
    """
    text = (header or "").strip()
    if text.isdecimal():
        return min(float(text), HOUR_S)
    until = parse_date(text)
    return None if until is None else min(max(0.0, until - at), HOUR_S)
