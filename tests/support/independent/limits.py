"""Limits of calls and of errors, by the server's clock (API 2)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.support.independent.clocks import ServerClock
from tests.support.independent.query import Refused

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
COUNTED_ERRORS = {400, 401, 403, 404}


@dataclass
class Counter:
    """Calls of one division in a window that begins on a whole minute or at 00:00 UTC."""

    length: int
    window: int = -1
    used: int = 0

    def at(self, now: float) -> Counter:
        if int(now // self.length) != self.window:
            self.window, self.used = int(now // self.length), 0
        return self

    @property
    def reset_ms(self) -> int:
        return (self.window + 1) * self.length * 1000


@dataclass
class Limits:
    """The limits of an app in each company.

    Attributes:
        per_minute: Calls per clock minute and division.
        per_day: Calls per day, which ends at 00:00 UTC, and division.
        errors_per_hour: Errors allowed per endpoint; one more blocks the key for an hour (API 2.3).
    """

    clock: ServerClock
    per_minute: int = 60
    per_day: int = 5000
    errors_per_hour: int = 10
    blocked_until: float = 0.0
    _minutes: dict[int, Counter] = field(default_factory=dict)
    _days: dict[int, Counter] = field(default_factory=dict)
    _errors: defaultdict[tuple[int, str], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def use(self, division: int, calls: int = 1) -> None:
        """Count calls, including those of other workers of the app.

        Raises:
            Refused: 429 with the headers of the limit that is reached, and no others (API 2.2).
        """
        minute, day = self._counters(division)
        if minute.used + calls > self.per_minute:
            raise Refused(429, **self.minute_headers(division))
        if day.used + calls > self.per_day:
            raise Refused(429, **self.day_headers(division))
        minute.used += calls
        day.used += calls

    def use_up_minute(self, division: int) -> None:
        """Let another worker of the app use all calls of this minute."""
        self._counters(division)[0].used = self.per_minute

    def refund(self, division: int) -> None:
        """Refund a call that is not counted (API 2.1)."""
        self._counters(division)[1].used -= 1

    def _counters(self, division: int) -> tuple[Counter, Counter]:
        now = self.clock.now()
        minute = self._minutes.setdefault(division, Counter(MINUTE_S)).at(now)
        return minute, self._days.setdefault(division, Counter(DAY_S)).at(now)

    def minute_headers(self, division: int) -> dict[str, str]:
        minute, _ = self._counters(division)
        return {
            "X-RateLimit-Minutely-Limit": str(self.per_minute),
            "X-RateLimit-Minutely-Remaining": str(self.per_minute - minute.used),
            "X-RateLimit-Minutely-Reset": str(minute.reset_ms),
        }

    def day_headers(self, division: int) -> dict[str, str]:
        _, day = self._counters(division)
        return {
            "X-RateLimit-Limit": str(self.per_day),
            "X-RateLimit-Remaining": str(self.per_day - day.used),
            "X-RateLimit-Reset": str(day.reset_ms),
        }

    def exhausted(self, kind: str, division: int) -> dict[str, str]:
        """Headers of a 429 that other workers caused: ``minute``, ``day`` or ``bare`` (API 2.2)."""
        found = {"minute": self.minute_headers, "day": self.day_headers}.get(kind)
        headers = found(division) if found is not None else {}
        return {name: "0" if "Remaining" in name else value for name, value in headers.items()}

    def count_error(self, division: int, path: str, status: int) -> None:
        if status not in COUNTED_ERRORS:
            return
        now = self.clock.now()
        recent = [at for at in self._errors[division, path] if at > now - HOUR_S]
        self._errors[division, path] = [*recent, now]
        if len(recent) + 1 > self.errors_per_hour:
            self.blocked_until = now + HOUR_S

    def check_block(self) -> None:
        """Raise while the key is blocked. The status is a guess (API 10, question 2)."""
        if self.clock.now() < self.blocked_until:
            raise Refused(429, "API rate limit exceeded")
