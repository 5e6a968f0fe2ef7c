"""The sandbox's time: real time plus an offset that tests can change, or a frozen time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
TICKS_PER_S = (
    300  # SQL Server's `datetime` counts 1/300 s (API 3.5: captured values end in 0, 3 or 7)
)


class SandboxClock:
    """A clock that can be moved.

    Args:
        start: Initial time of the clock, as an aware datetime or in seconds since the epoch (UTC);
            ``None`` for the real time.
        frozen: Whether only ``advance`` and ``set`` change the time.
    """

    def __init__(self, start: datetime | float | None = None, *, frozen: bool = False) -> None:
        self._frozen_at: float | None = time.time() if frozen else None
        self._offset_s = 0.0
        if start is not None:
            self.set(start)

    @property
    def frozen(self) -> bool:
        """Whether the clock is frozen."""
        return self._frozen_at is not None

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        if self._frozen_at is not None:
            return self._frozen_at
        return time.time() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move the clock forward (or back, with a negative number)."""
        self.set(self.now() + seconds)

    def set(self, moment: datetime | float) -> None:
        """Set the clock to ``moment``."""
        at = _seconds(moment)
        if self._frozen_at is not None:
            self._frozen_at = at
        else:
            self._offset_s = at - time.time()

    def freeze(self) -> None:
        """Freeze the clock."""
        self._frozen_at = self.now()

    def run(self) -> None:
        """Let the clock run again."""
        at = self.now()
        self._frozen_at = None
        self.set(at)


def wall_clock(at: float) -> datetime:
    """The time that Exact stores at ``at``: naive, Dutch, in steps of 1/300 s (API 3.5)."""
    seconds, ticks = divmod(int(at * TICKS_PER_S), TICKS_PER_S)
    local = datetime.fromtimestamp(seconds, AMSTERDAM).replace(tzinfo=None)
    return local.replace(microsecond=round(ticks * 1000 / TICKS_PER_S) * 1000)


def _seconds(moment: datetime | float) -> float:
    if not isinstance(moment, datetime):
        return float(moment)
    if moment.tzinfo is None:
        raise ValueError("the clock needs an aware datetime, for example one in UTC")
    return moment.astimezone(UTC).timestamp()
