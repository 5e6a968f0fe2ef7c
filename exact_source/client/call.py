"""Who calls for a division, and whose turn it is."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Target:
    """One stream of calls: which endpoint of which division, and how urgent.

    Attributes:
        division: Code; ``None`` for ``current/Me``, which Exact does not count (API 2.1).
        path: Path of the endpoint, as in the catalogue.
        name: What messages call it, an entity's name.
        rank: Lower goes first when several streams of a division wait.
        calls: Calls sent so far, those that were repeated among them.
        before_call: Is asked before each call, and raises if it shall not be made.
        may_pause: Whether a wait may be broken off, for the call to be made in another round.
        is_billed: Whether Exact counts it toward the contract (API 2.1).
    """

    division: int | None
    path: str
    name: str
    rank: int = 0
    calls: int = 0
    before_call: Callable[[Target], None] = lambda _target: None
    may_pause: bool = False
    is_billed: bool = True

    @property
    def where(self) -> str:
        """For messages."""
        return self.name if self.division is None else f"{self.name} of division {self.division}"


# What is told of a wait: who waits, until when (seconds since the epoch), and why.
OnWait = Callable[[Target, float, str], None]


class Turnstile:
    """Lets one stream of a division through at a time, the lowest rank first (API 2.4)."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def turn(self, rank: int) -> AsyncIterator[None]:
        """Hold the turn."""
        if self._busy:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (rank, next(self._order), mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._pass_on()
                raise
        self._busy = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._busy = False
