"""Time, passed in wherever it is needed, so that tests move it instead of sleeping.

How this package handles times, and why not everything is pendulum's work:

* Moments are seconds since the epoch, UTC. Waiting and expiry are subtractions, which need no zone.
* pendulum does what involves people or zones: it parses the dates that users give, converts between UTC,
  Dutch and local time, and writes times for people.
* Durations are written for people by ``cli._output.tables.span``: pendulum names every unit in full, and a
  column of a table has room for ``2 d 3 h``.
* ``datetime`` is used where dlt, Arrow, a driver or a public type such as ``TokenData`` takes or returns it.
* The dates of pages are converted by Arrow, a column at a time, without a Python object for each value.
* Dates in HTTP headers are read by ``email.utils``, see ``http_dates``.
"""

from __future__ import annotations

import time
from datetime import date
from typing import Protocol

# Exact Online shows the digits of this clock; whether also on .co.uk and .com is not known (API 3.5).
DUTCH = "Europe/Amsterdam"


def dutch_day(at: float) -> date:
    """The date in the Netherlands.

    Args:
        at: Seconds since the epoch, UTC.
    """
    import pendulum

    return pendulum.from_timestamp(at, DUTCH).date()


class Clock(Protocol):
    """Wall-clock time and waiting."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once ``now()`` has moved on by ``seconds``."""
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
