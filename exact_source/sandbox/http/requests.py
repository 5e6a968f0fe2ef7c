"""The log of received calls, with which tests count them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """A data call and its reply.

    Attributes:
        path: Path after the division, such as ``crm/Accounts``.
        division: ``None`` for ``current/Me``.
        query: The decoded options.
        status: Status of the reply; 0 if the connection was dropped.
        rows: Number of rows in the reply.
        at: Seconds since the epoch on the sandbox clock.
        bytes: Length of the reply's body.
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
    """A call to the token endpoint; ``form`` has the parameters."""

    grant_type: str
    status: int
    error: str
    at: float
    form: Mapping[str, str] = field(repr=False)


class InFlight:
    """Number of concurrent calls, by division."""

    def __init__(self) -> None:
        self._now: defaultdict[int, int] = defaultdict(int)
        self._most: defaultdict[int, int] = defaultdict(int)

    def enter(self, division: int) -> None:
        """Count a call that begins."""
        self._now[division] += 1
        self._most[division] = max(self._most[division], self._now[division])

    def leave(self, division: int) -> None:
        """Count a call that has ended."""
        self._now[division] -= 1

    def most(self, division: int) -> int:
        """The largest number of calls that ran at the same time."""
        return self._most[division]

    def reset(self) -> None:
        """Clear all counts."""
        self._most.clear()
