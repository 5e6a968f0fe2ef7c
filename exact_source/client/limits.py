"""Exact's call limits as arithmetic: headers in, seconds to wait out. No I/O and no clock.

For each division Exact counts calls per clock minute and per day, which ends at 00:00 UTC (API 2.1). The
headers take precedence over our own count, because they include the calls of other users of the app. All
times are seconds since the epoch by the *server's* clock, as far as the ``Date`` header reveals it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import ConfigurationError, LimitError, TooFewCallsError
from ..http_dates import parse_date, parse_retry_after

MINUTE_S = 60
DAY_S = 86_400
MINUTE_LIMIT = 60  # until the first header; limits have changed often (API 2.1)
DAY_LIMIT = 5000
# The Date header counts whole seconds, so the server's clock is known to one second only.
CLOCK_MARGIN_S = 1.0
# Well below the 10 errors an hour and endpoint after which Exact blocks a key (API 2.3).
ERRORS_PER_HOUR = 5
HOUR_S = 3600


@dataclass
class Window:
    """Calls left until ``reset_at``."""

    length_s: int
    limit: int
    remaining: int = 0
    reset_at: float = 0.0

    def roll(self, now: float) -> None:
        """Start a new window once the old one is certainly over."""
        if now >= self.reset_at + CLOCK_MARGIN_S:
            self.remaining = self.limit
            self.reset_at = (now // self.length_s + 1) * self.length_s

    def observe(self, limit: int | None, remaining: int | None, reset_ms: int | None) -> None:
        """Update the window from headers; a missing header keeps the last known value (API 2.2)."""
        if limit is not None:
            self.limit = limit
        if remaining is not None:
            self.remaining = remaining
        if reset_ms is not None:
            self.reset_at = reset_ms / 1000


@dataclass
class DivisionLimits:
    """The two windows of one division."""

    minute: Window = field(default_factory=lambda: Window(MINUTE_S, MINUTE_LIMIT))
    day: Window = field(default_factory=lambda: Window(DAY_S, DAY_LIMIT))
    blocked_until: float = 0.0
    blind_refusals: int = 0
    calls: int = 0
    is_known: bool = False  # whether a reply has had the headers of the day


class LeftInAll(NamedTuple):
    """Calls left over all divisions.

    Attributes:
        calls: Their number.
        resumes_at: When there are more again; seconds since the epoch, UTC.
        option: The option that allows no more.
    """

    calls: int
    resumes_at: float
    option: str


class Limits:
    """Decides when calls are allowed, over all divisions of one app.

    Args:
        reserve: Daily calls of each division that are left to other programs.
        contract_cap: Daily calls over all divisions (API 2.1: fair use 20,000); ``None`` for no cap.
        max_calls: Total calls that this object admits; ``None`` for no cap.

    Raises:
        ConfigurationError: If one is too small or is not a whole number.
    """

    def __init__(
        self, *, reserve: int = 0, contract_cap: int | None = None, max_calls: int | None = None
    ) -> None:
        _check_count("reserve_calls", reserve, 0)
        _check_count("contract_cap", contract_cap, 1)
        _check_count("max_calls", max_calls, 1)
        self.divisions: dict[int, DivisionLimits] = defaultdict(DivisionLimits)
        self.reserve = reserve
        self.max_calls = max_calls
        self.calls = 0
        self.contract = Window(DAY_S, contract_cap) if contract_cap is not None else None
        self._errors: dict[tuple[int, str], list[float]] = defaultdict(list)
        self._skew_s = 0.0

    @property
    def skew_s(self) -> float:
        """Seconds by which the server's clock is ahead of this host's, according to the last ``Date``."""
        return self._skew_s

    def server_time(self, now: float) -> float:
        """``now`` by the server's clock."""
        return now + self._skew_s

    def wait_s(self, division: int, now: float) -> float:
        """Seconds until a call is allowed; 0 if it is allowed now.

        Raises:
            LimitError: If no call is left today.
        """
        at = self.server_time(now)
        self._check_caps(at)
        state = self.divisions[division]
        state.minute.roll(at)
        state.day.roll(at)
        # The day's limit is unknown before the first reply.
        if state.day.remaining <= self.reserve and (state.is_known or state.calls):
            resumes_at = state.day.reset_at + CLOCK_MARGIN_S - self._skew_s
            raise self._day_is_over(division, resumes_at)
        reset_at = state.minute.reset_at if state.minute.remaining <= 0 else 0.0
        return max(0.0, max(state.blocked_until, reset_at) + CLOCK_MARGIN_S - at)

    def note_earlier_calls(self, calls: int, now: float) -> None:
        """Count the calls that earlier runs made today toward the contract."""
        if self.contract is not None:
            self.contract.roll(self.server_time(now))
            self.contract.remaining -= calls

    def spend(self, division: int, *, is_billed: bool = True) -> None:
        """Count a call that is about to be sent; one that is not billed counts for its division only."""
        state = self.divisions[division]
        state.minute.remaining -= 1
        state.day.remaining -= 1
        if not is_billed:
            return
        state.calls += 1
        self.calls += 1
        if self.contract is not None:
            self.contract.remaining -= 1

    def observe(self, division: int, status: int, headers: Mapping[str, str], now: float) -> None:
        """Update the limits from the headers of a reply, whose names must be in lower case (API 2.2)."""
        low = {name.lower(): value for name, value in headers.items()}
        self._observe_date(low.get("date"), now)
        state = self.divisions[division]
        minute = _numbers(low, "x-ratelimit-minutely-")
        day = _numbers(low, "x-ratelimit-")
        state.minute.observe(*minute)
        state.day.observe(*day)
        state.is_known = state.is_known or day[1] is not None
        if status != 429:  # noqa: PLR2004
            state.blind_refusals = 0
            return
        at = self.server_time(now)
        self._observe_429(state, minute, day, at, parse_retry_after(low.get("retry-after"), at))

    def _observe_429(
        self,
        state: DivisionLimits,
        minute: tuple[int | None, ...],
        day: tuple[int | None, ...],
        at: float,
        retry_after_s: float | None,
    ) -> None:
        # A 429 has only the headers of the exceeded limit (API 2.2), which has no calls left.
        if any(v is not None for v in minute):
            state.minute.remaining = 0
        elif any(v is not None for v in day):
            state.day.remaining = 0
        else:  # without headers: wait for the next minute, then increasingly longer
            state.blind_refusals += 1
            minutes = 2 ** (state.blind_refusals - 1)
            state.blocked_until = (at // MINUTE_S + min(minutes, HOUR_S // MINUTE_S)) * MINUTE_S
        if retry_after_s is not None:
            state.blocked_until = max(state.blocked_until, at + retry_after_s)

    def _observe_date(self, date: str | None, now: float) -> None:
        server = parse_date(date)
        if server is None:
            return
        # The header has whole seconds, so a difference within one second counts as none.
        skew = server - now
        self._skew_s = skew if abs(skew) > 1.0 else 0.0

    def _check_caps(self, at: float) -> None:
        if self.max_calls is not None and self.calls >= self.max_calls:
            raise LimitError(
                f"the limit --max-calls {self.max_calls} is used up", resumes_at=at - self._skew_s
            )
        if self.contract is not None:
            self.contract.roll(at)
            if self.contract.remaining <= 0:
                raise LimitError(
                    f"today's limit of the contract (contract_cap {self.contract.limit}) is used up",
                    resumes_at=self._contract_resumes_at(self.contract),
                )

    def too_few_calls(self, calls: int, resumes_at: float) -> TooFewCallsError | None:
        """The error of a run whose calls read no table, if an option allows no more than these in any run."""
        if self.max_calls is not None and calls >= self.max_calls:
            option = f"--max-calls {self.max_calls}"
        elif self.contract is not None and calls >= self.contract.limit:
            option = f"--contract-cap {self.contract.limit}"
        else:
            return None
        return TooFewCallsError(
            f"{option} is too small: the lists of companies and deletions use it up in each run; raise it",
            resumes_at=resumes_at,
        )

    def _day_is_over(self, division: int, resumes_at: float) -> LimitError:
        limit = self.divisions[division].day.limit
        if self.reserve >= limit:
            return TooFewCallsError(
                f"division {division}: reserve_calls {self.reserve} keeps all {limit} calls of a day for "
                "others; lower it",
                resumes_at=resumes_at,
            )
        kept = f", {self.reserve} of them kept for others" if self.reserve else ""
        return LimitError(
            f"division {division}: today's {limit} calls are used up{kept}", resumes_at=resumes_at
        )

    def day_remaining(self, division: int) -> int | None:
        """Calls left today according to the last headers; ``None`` before the first call."""
        state = self.divisions.get(division)
        return None if state is None or not state.day.reset_at else max(0, state.day.remaining)

    def calls_left(self, division: int, now: float) -> int | None:
        """Calls that may still be made today; ``None`` if no limit is known."""
        of_day = self.day_remaining(division)
        left = [] if of_day is None else [of_day - self.reserve]
        in_all = self.left_in_all(now)
        if in_all is not None:
            left.append(in_all.calls)
        return max(0, min(left)) if left else None

    def left_in_all(self, now: float) -> LeftInAll | None:
        """What ``max_calls`` and the cap of the contract leave; ``None`` if neither is set."""
        left = []
        if self.max_calls is not None:
            option = f"--max-calls {self.max_calls}"
            left.append(LeftInAll(self.max_calls - self.calls, now, option))
        if self.contract is not None:
            self.contract.roll(self.server_time(now))
            resumes_at = self._contract_resumes_at(self.contract)
            option = f"--contract-cap {self.contract.limit}"
            left.append(LeftInAll(self.contract.remaining, resumes_at, option))
        return min(left, default=None)

    def _contract_resumes_at(self, contract: Window) -> float:
        return contract.reset_at + CLOCK_MARGIN_S - self._skew_s

    def most_a_day(self, division: int) -> int:
        """Calls allowed per day if no other program makes calls."""
        state = self.divisions[division]
        most = [state.day.limit - self.reserve, state.minute.limit * (DAY_S // MINUTE_S)]
        if self.max_calls is not None:
            most.append(self.max_calls)
        if self.contract is not None:
            most.append(self.contract.limit)
        return max(0, min(most))

    def note_error(self, division: int, path: str, now: float) -> None:
        """Count a 400, 401, 403 or 404 toward the endpoint's error budget (API 2.3)."""
        self._errors[division, path].append(now)

    def errors(self, now: float) -> dict[str, list[float]]:
        """The errors of the past hour, for ``recall_errors`` of the next run."""
        recent = {
            f"{division} {path}": [at for at in times if at > now - HOUR_S]
            for (division, path), times in self._errors.items()
        }
        return {key: times for key, times in recent.items() if times}

    def recall_errors(self, errors: Mapping[str, Sequence[float]]) -> None:
        """Count the errors of earlier runs: Exact counts over all of them (API 2.3)."""
        for key, times in errors.items():
            division, _, path = key.partition(" ")
            mine = self._errors[int(division), path]
            mine.extend(at for at in times if at not in mine)

    def errors_left(self, division: int, path: str, now: float) -> int:
        """Number of errors that this endpoint may still cause within the hour."""
        errors = self._errors.get((division, path))
        if not errors:
            return ERRORS_PER_HOUR
        recent = [at for at in errors if at > now - HOUR_S]
        self._errors[division, path] = recent
        return ERRORS_PER_HOUR - len(recent)


def _numbers(headers: Mapping[str, str], prefix: str) -> tuple[int | None, int | None, int | None]:
    def number(name: str) -> int | None:
        text = headers.get(prefix + name, "").strip()
        return int(text) if text.lstrip("-").isdigit() else None

    return number("limit"), number("remaining"), number("reset")


def _check_count(name: str, count: Any, least: int) -> None:
    if count is not None and (type(count) is not int or count < least):
        raise ConfigurationError(f"{name} is {count!r}; use a whole number, {least} or more")
