"""What the sandbox was asked: a log that tests count calls with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """A data call and how it was answered.

    Attributes:
        path: Behind the division, such as ``crm/Accounts``.
        division: ``None`` for ``current/Me``.
        query: The decoded options.
        status: Of the answer; 0 if the connection was dropped.
        rows: How many the answer held.
        at: Seconds since the epoch on the sandbox clock.
        bytes: Length of the answer's body.
    """

    method: str
    path: str
    division: int | None
    query: Mapping[str, str]
    status: int
    rows: int
    at: float
    bytes: int


@dataclass(frozen=True)
class TokenRequest:
    """A call to the token endpoint; ``form`` holds what was sent."""

    grant_type: str
    status: int
    error: str
    at: float
    form: Mapping[str, str] = field(repr=False)


class InFlight:
    """How many calls run at once, by division."""

    def __init__(self) -> None:
        self._now: defaultdict[int, int] = defaultdict(int)
        self._most: defaultdict[int, int] = defaultdict(int)

    def enter(self, division: int) -> None:
        """A call has come in."""
        self._now[division] += 1
        self._most[division] = max(self._most[division], self._now[division])

    def leave(self, division: int) -> None:
        """A call has been answered."""
        self._now[division] -= 1

    def most(self, division: int) -> int:
        """The largest number of calls that were under way at the same time."""
        return self._most[division]

    def reset(self) -> None:
        """Forget the past."""
        self._most.clear()
