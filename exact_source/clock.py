"""The clock, which is passed as an argument, so that tests can move it instead of sleeping.

How this package handles times:

* Internal times are seconds since the epoch, UTC. Waits and expiries are subtractions, which need no zone.
* pendulum is used for input and output: it parses the dates that users give, and formats times.
* ``zoneinfo`` gives the offset of Dutch time, which a sync needs for each company. pendulum reads the zone's
  file again for each time, which takes a hundred times as long.
* Durations are formatted by ``cli._output.tables.span``, because pendulum spells out every unit, and a column
  of a table has room only for ``2 d 3 h``.
* ``datetime`` is used where dlt, Arrow, a driver or a public type such as ``TokenData`` requires it.
* The dates of pages are converted by Arrow, a column at a time, without a Python object for each value.
* Dates in HTTP headers are parsed by ``email.utils``; see ``http_dates``.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pendulum

# Exact Online shows the wall-clock time of this zone; it is unknown whether .co.uk and .com do so (API 3.5).
DUTCH = "Europe/Amsterdam"
_ZONE = ZoneInfo(DUTCH)


def dutch_day(at: float) -> date:
    """The date in the Netherlands.

    Args:
        at: Seconds since the epoch, UTC.
    """
    return datetime.fromtimestamp(at, _ZONE).date()


def latest_digits(at: float) -> int:
    """The latest time that Exact's wall clock showed until a moment; it repeats an hour in October (API 3.5).

    Args:
        at: Seconds since the epoch, UTC.

    Returns:
        Digits in milliseconds, as in ``/Date(ms)/``.
    """
    shown = (datetime.fromtimestamp(at_s, _ZONE) for at_s in (at - 3600, at))
    offset = max(moment.utcoffset() or timedelta() for moment in shown)
    return int((at + offset.total_seconds()) * 1000)


def local_time(at: float) -> pendulum.DateTime:
    """A moment in the time zone of this computer; pendulum's own ``local`` is UTC once dlt is imported.

    Args:
        at: Seconds since the epoch, UTC.
    """
    import pendulum

    return pendulum.instance(datetime.fromtimestamp(at).astimezone())


class Clock(Protocol):
    """Wall-clock time and waiting."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once ``now()`` has advanced by ``seconds``."""
        ...


class SystemClock:
    """The computer's own clock."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        import asyncio

        await asyncio.sleep(max(0.0, seconds))
