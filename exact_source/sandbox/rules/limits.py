"""Call limits per app and division, and the block after too many errors (API section 2)."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from ..http.errors import RefusedError

MINUTE_S = 60
DAY_S = 24 * 3600
HOUR_S = 3600
COUNTED_ERRORS = frozenset({400, 401, 403, 404})


class CallLimits:
    """Counts calls per clock minute and per UTC day, for each division.

    Attributes:
        minute_limit: Calls per minute; may be changed at any time.
        daily_limit: Calls per day; may be changed at any time.
        silent: Whether a 429 has no headers at all, as recorded in 2019.
    """

    def __init__(self, now: Callable[[], float], minute_limit: int, daily_limit: int) -> None:
        self.minute_limit = minute_limit
        self.daily_limit = daily_limit
        self.silent = False
        self._now = now
        self._minutes: dict[int, tuple[int, int]] = {}  # division -> (clock minute, calls)
        self._days: dict[int, tuple[int, int]] = {}

    def used(self, division: int) -> tuple[int, int]:
        """Calls of the current minute and of the current day."""
        return (
            _count(self._minutes, division, self._window(MINUTE_S)),
            _count(self._days, division, self._window(DAY_S)),
        )

    def consume(self, division: int, calls: int = 1) -> None:
        """Count calls, including those of another client of the same app."""
        minute, day = self.used(division)
        self._minutes[division] = (self._window(MINUTE_S), minute + calls)
        self._days[division] = (self._window(DAY_S), day + calls)

    def take(self, division: int) -> dict[str, str]:
        """Count one call.

        Returns:
            The headers of its reply.

        Raises:
            RefusedError: 429, with only the headers of the exceeded limit.
        """
        minute, day = self.used(division)
        if day >= self.daily_limit:
            raise RefusedError(429, headers={} if self.silent else self._daily(division))
        if minute >= self.minute_limit:
            raise RefusedError(429, headers={} if self.silent else self._minutely(division))
        self.consume(division)
        return self.headers(division)

    def headers(self, division: int) -> dict[str, str]:
        """The headers about both limits."""
        return self._daily(division) | self._minutely(division)

    def _daily(self, division: int) -> dict[str, str]:
        left = max(0, self.daily_limit - self.used(division)[1])
        return {
            "X-RateLimit-Limit": str(self.daily_limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str((self._window(DAY_S) + 1) * DAY_S * 1000),
        }

    def _minutely(self, division: int) -> dict[str, str]:
        left = max(0, self.minute_limit - self.used(division)[0])
        return {
            "X-RateLimit-Minutely-Limit": str(self.minute_limit),
            "X-RateLimit-Minutely-Remaining": str(left),
            "X-RateLimit-Minutely-Reset": str((self._window(MINUTE_S) + 1) * MINUTE_S * 1000),
        }

    def _window(self, length_s: int) -> int:
        return int(self._now() // length_s)


class ErrorLimit:
    """Blocks the app's key for an hour after more than ten errors of one endpoint (API 0.1.4, 2.3).

    Errors are counted per division and endpoint. The block concerns the key, so it applies to all
    divisions and endpoints, and a call during the block extends it.

    Attributes:
        allowed: Number of errors per hour without a block.
        status: Status of a blocked call; that of the live service is unknown (API 10.2).
        everywhere: Whether token requests and calls without a division count too (picqer#475, API 12.18).
        blocked_until: End of the block, in seconds since the epoch.
    """

    def __init__(
        self,
        now: Callable[[], float],
        allowed: int = 10,
        status: int = 429,
        *,
        everywhere: bool = True,
    ) -> None:
        self.allowed = allowed
        self.status = status
        self.everywhere = everywhere
        self._now = now
        self.blocked_until = 0.0
        self._errors: defaultdict[tuple[int | None, str], deque[float]] = defaultdict(deque)

    def check(self) -> None:
        """Refuse the call if the key is blocked; the hour then starts again."""
        now = self._now()
        if self.blocked_until > now:
            self.blocked_until = now + HOUR_S
            raise RefusedError(self.status)

    def note(self, division: int | None, endpoint: str, status: int) -> None:
        """Count a reply if its status counts; ``division`` is ``None`` for token requests, too."""
        if status not in COUNTED_ERRORS or (division is None and not self.everywhere):
            return
        errors, now = self._errors[division, endpoint], self._now()
        errors.append(now)
        while errors[0] <= now - HOUR_S:
            errors.popleft()
        if len(errors) > self.allowed:
            self.blocked_until = now + HOUR_S

    def count(self, division: int | None, endpoint: str) -> int:
        """Errors of the past hour."""
        errors = self._errors.get((division, endpoint), ())
        return sum(1 for at in errors if at > self._now() - HOUR_S)


def _count(windows: dict[int, tuple[int, int]], division: int, window: int) -> int:
    seen, calls = windows.get(division, (window, 0))
    return calls if seen == window else 0
