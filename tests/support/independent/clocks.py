"""Exact's time, and the wrong clocks of hosts.

Times are seconds since the epoch, UTC. Digits are what Exact stores: the Dutch wall clock, as
milliseconds since the epoch as if it were UTC (API 3.5, 12.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

TICKS_PER_S = 300  # resolution of SQL Server's datetime (API 3.5)
STEP_S = 1 / TICKS_PER_S


class ServerClock:
    """True time. It moves when a test moves it, when a task sleeps, and with each call."""

    def __init__(self, start: datetime) -> None:
        self._now = start.timestamp()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        until = self._now + max(0.0, seconds)
        await asyncio.sleep(0)
        self._now = max(self._now, until)  # another task may have slept past it

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def digits(self) -> int:
        return digits(self._now)

    def http_date(self) -> str:
        return format_datetime(datetime.fromtimestamp(int(self._now), UTC), usegmt=True)


class HostClock:
    """The clock of a host: true time plus an error that a jump changes.

    Args:
        server: True time.
        ahead: Seconds by which this host is ahead; negative if behind.
        reading: Seconds that true time advances at each reading of the clock, so that loops that wait
            for a time end.
    """

    def __init__(self, server: ServerClock, ahead: float = 0.0, reading: float = 1e-4) -> None:
        self._server = server
        self._reading = reading
        self.ahead = ahead
        self.on_read: Callable[[], None] = lambda: None

    def now(self) -> float:
        self._server.advance(self._reading)
        self.on_read()
        return self._server.now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        await self._server.sleep(seconds)

    def jump(self, seconds: float) -> None:
        self.ahead += seconds


def utc_offset(at: float) -> int:
    """Seconds by which Dutch time is ahead of UTC.

    One hour; two hours from the last Sunday of March to the last Sunday of October, at 01:00 UTC.
    """
    moment = datetime.fromtimestamp(at, UTC)
    summer = _last_sunday(moment.year, 3) <= moment < _last_sunday(moment.year, 10)
    return 7200 if summer else 3600


def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=(last.weekday() + 1) % 7)


def digits(at: float) -> int:
    """Wall-clock milliseconds on the grid of 1/300 s, so that they end in 0, 3 or 7 (API 3.5)."""
    ticks = int((at + utc_offset(at)) * TICKS_PER_S + 1e-6)
    return round(ticks * 1000 / TICKS_PER_S)


def as_text(milliseconds: int) -> str:
    """Digits as in a skiptoken: ISO without zone and trailing zeros (API 12.5)."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).replace(tzinfo=None)
    fraction = f"{milliseconds % 1000:03}".rstrip("0")
    return moment.isoformat() + ("." + fraction if fraction else "")


def from_text(text: str) -> int:
    """Digits of an OData ``datetime'...'``; the seconds or the whole time may be missing (API 3.3)."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
