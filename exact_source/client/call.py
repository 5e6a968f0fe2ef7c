"""The calls of one stream, and the lock by which the streams of a division take turns."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

Rank = tuple[float, int]


@dataclass
class Call:
    """The calls of one stream: endpoint, division and priority.

    Attributes:
        division: Code; ``None`` for ``current/Me``, which Exact does not count (API 2.1).
        path: Path of the endpoint, as in the catalogue.
        name: Name of the entity, for messages.
        rank: Lower goes first when several streams of a division wait: when the stream was last asked, in
            seconds since the epoch, then the place of its entity.
        calls: Calls sent so far, including retries.
        before_call: Called before each wait for a request, and right before it is sent; raises to cancel it.
        may_pause: Whether the end of a round may end a wait, so that the call is made in the next round.
        is_billed: Whether Exact counts the calls toward the contract (API 2.1).
    """

    division: int | None
    path: str
    name: str
    rank: Rank = (0.0, 0)
    calls: int = 0
    before_call: Callable[[Call], None] = lambda _call: None
    may_pause: bool = False
    is_billed: bool = True

    @property
    def where(self) -> str:
        """Entity and division, for messages."""
        return self.name if self.division is None else f"{self.name} of division {self.division}"

    def count(self, calls: int = 1) -> None:
        """Count calls that are sent."""
        self.calls += calls

    def aim_at(self, path: str) -> None:
        """Send the next calls to this endpoint."""
        self.path = path

    def forbid_pause(self) -> None:
        """Set ``may_pause`` to false, because pages already read would have to be read again."""
        self.may_pause = False

    def ask_before(self, before_call: Callable[[Call], None]) -> None:
        """Replace ``before_call`` for the next calls."""
        self.before_call = before_call


# Called during a wait with the stream, the end of the wait (seconds since the epoch) and the reason.
OnWait = Callable[[Call, float, str], None]


class PriorityLock:
    """A lock that goes to the stream with the lowest rank: one call of a division at a time (API 2.4)."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: list[tuple[Rank, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def hold(self, rank: Rank) -> Turn:
        """A context manager that waits for the lock, and holds it."""
        return Turn(self, rank)

    async def take(self, rank: Rank) -> None:
        """Wait for the lock."""
        if self._busy:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (rank, next(self._order), mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self.pass_on()
                raise
        self._busy = True

    def pass_on(self) -> None:
        """Give the lock to the next stream that waits."""
        while self._waiting:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._busy = False


class Turn(AbstractAsyncContextManager[None]):
    """Holds a ``PriorityLock``; a class, because a generator would take longer than the lock itself."""

    def __init__(self, lock: PriorityLock, rank: Rank) -> None:
        self._lock = lock
        self._rank = rank

    async def __aenter__(self) -> None:
        await self._lock.take(self._rank)

    async def __aexit__(self, *_: object) -> None:
        self._lock.pass_on()
