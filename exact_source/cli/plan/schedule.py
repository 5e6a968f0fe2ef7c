"""How long a sync takes within Exact's limits: rows to calls, calls to minutes and days. Pure.

Divisions are read concurrently, each within its own limits per minute and per day; the day ends at 00:00 UTC
(API 2.1). They share the contract, a daily cap on the calls of all divisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ...client.limits import DAY_LIMIT, DAY_S, MINUTE_LIMIT, MINUTE_S, Limits

Basis = Literal["count", "history", "one call", "unknown", "refused", "not available"]


@dataclass(frozen=True)
class StreamPlan:
    """The estimate of one entity of one division.

    Attributes:
        division: Code; 0 for entities that are read once for all divisions.
        entity: Name.
        feed: The feeds that will be read, in words.
        page_size: Rows per call.
        rows: Rows to read; ``None`` if unknown.
        calls: Calls; at least one, or none for what Exact does not offer.
        basis: Source of the number: counted now, earlier syncs, an endpoint that returns all rows in one
            call, nothing (then ``calls`` is the minimum), or a refusal.
        note: Note for the user.
    """

    division: int
    entity: str
    feed: str
    page_size: int
    rows: int | None
    calls: int
    basis: Basis
    note: str = ""


@dataclass(frozen=True)
class Allowance:
    """Calls that one division may make.

    Attributes:
        minute: Calls per clock minute.
        day: Calls per day.
        left: Calls left today; ``None`` if no call was made today.
        reserve: Daily calls that are left to other programs.
    """

    minute: int = MINUTE_LIMIT
    day: int = DAY_LIMIT
    left: int | None = None
    reserve: int = 0

    def today(self) -> int:
        """Calls that may be made before 00:00 UTC."""
        return max(0, (self.day if self.left is None else self.left) - self.reserve)

    def full_day(self) -> int:
        """Calls that may be made per day."""
        return max(0, min(self.day - self.reserve, self.minute * (DAY_S // MINUTE_S)))


@dataclass(frozen=True)
class Duration:
    """The duration of a number of calls.

    Attributes:
        calls: Total number of calls.
        minutes: Clock minutes in which calls are made, over all days.
        days: Days on which calls are made; 1 if it ends today.
        ends_at: Seconds since the epoch, UTC, if it starts now and continues without a pause.
    """

    calls: int
    minutes: int
    days: int
    ends_at: float


def usual_calls(history: Sequence[int]) -> int:
    """Calls of the next sync according to earlier ones, rounded up; at least one."""
    return max(1, -int(-fmean(history) // 1)) if history else 1


def allowance_of(limits: Limits, division: int) -> Allowance:
    """Calls that a division allows, according to its last headers or to those of other divisions."""
    state = limits.divisions.get(division)
    if state is None or not state.calls:
        asked = [state for state in list(limits.divisions.values()) if state.is_known]
        usual = (asked[0].minute.limit, asked[0].day.limit) if asked else (MINUTE_LIMIT, DAY_LIMIT)
        return Allowance(*usual, reserve=limits.reserve)
    return Allowance(state.minute.limit, state.day.limit, state.day.remaining, limits.reserve)


def in_order(streams: Sequence[StreamPlan], ranks: Mapping[str, int]) -> list[StreamPlan]:
    """The streams in order: entities that are read once, then by division and entity."""
    return sorted(streams, key=lambda s: (s.division, ranks.get(s.entity, len(ranks)), s.entity))


def calls_by_division(streams: Iterable[StreamPlan], divisions: Sequence[int]) -> dict[int, int]:
    """Calls of each division, in their order.

    Calls for entities that are read once count toward the division in the URL, which is the first one. Calls
    without a division are not counted.
    """
    calls = dict.fromkeys(divisions, 0)
    for stream in streams:
        code = stream.division or next(iter(divisions), None)
        if code is not None:
            calls[code] += stream.calls
    return calls


def duration(
    calls: Mapping[int, int],
    allowances: Mapping[int, Allowance],
    *,
    now: float,
    contract_cap: int | None = None,
    contract_spent: int = 0,
) -> Duration:
    """The duration of the calls of several divisions that are read concurrently.

    Args:
        calls: Division -> calls.
        allowances: Division -> its allowance; a missing division has the usual limits.
        now: Seconds since the epoch, UTC.
        contract_cap: Calls a day over all divisions; ``None`` for no cap.
        contract_spent: Calls of the contract that were made today.

    Raises:
        ValueError: If a division or the contract allows no calls per day.
    """
    allowed = {code: allowances.get(code, Allowance()) for code in calls}
    _check(calls, allowed, contract_cap)
    left = {code: n for code, n in calls.items() if n > 0}
    minutes = days = 0
    ends_at, day_starts_at = now, now
    while left:
        spent_before = contract_spent if days == 0 else 0
        cap = None if contract_cap is None else max(0, contract_cap - spent_before)
        spent = _one_day(left, allowed, day_starts_at, cap, first=days == 0)
        used = max((-(-n // allowed[code].minute) for code, n in spent.items()), default=0)
        minutes += used
        days += 1
        ends_at = day_starts_at + used * MINUTE_S
        left = {code: n - spent[code] for code, n in left.items() if n > spent[code]}
        day_starts_at = _midnight(day_starts_at)
    return Duration(sum(calls.values()), minutes, days, ends_at)


def _check(
    calls: Mapping[int, int], allowed: Mapping[int, Allowance], contract_cap: int | None
) -> None:
    for code, n in calls.items():
        if n > 0 and allowed[code].full_day() == 0:
            raise ValueError(f"division {code} may make no call: all of its day is reserved")
    if contract_cap is not None and contract_cap <= 0 and any(calls.values()):
        raise ValueError("the contract's cap leaves no call")


def _one_day(
    left: Mapping[int, int],
    allowed: Mapping[int, Allowance],
    starts_at: float,
    contract_cap: int | None,
    *,
    first: bool,
) -> dict[int, int]:
    """Calls of each division on one day, or on the rest of it."""
    open_minutes = max(1, int((_midnight(starts_at) - starts_at) // MINUTE_S))
    may = {}
    for code, n in left.items():
        allowance = allowed[code]
        of_day = allowance.today() if first else allowance.full_day()
        may[code] = min(n, of_day, open_minutes * allowance.minute)
    return may if contract_cap is None else share(may, contract_cap)


def _midnight(at: float) -> float:
    return (at // DAY_S + 1) * DAY_S


def share(wanted: Mapping[int, int], cap: int) -> dict[int, int]:
    """Divide ``cap`` evenly among the divisions, until each has enough."""
    given: dict[int, int] = {}
    rest = cap
    for position, (code, n) in enumerate(sorted(wanted.items(), key=lambda item: item[1])):
        # A remainder goes to the divisions with most calls, so that the whole cap is used.
        given[code] = min(n, rest // (len(wanted) - position))
        rest -= given[code]
    return given
