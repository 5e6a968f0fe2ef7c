"""One sync: holds together what its streams share, and opens and closes both ends of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dlt

from ..client.client import ExactClient
from ..client.error_log import ErrorFile
from ..client.limits import DAY_S, Limits
from ..clock import Clock
from ..loading.first_load import FirstLoad
from ..loading.warehouse import Stored
from ..options import Options
from ..workers.leases import SqlLeases
from . import rows
from .call_accounting import Selection
from .connection import Connection
from .dedupe import Held
from .divisions import Divisions
from .rejected_rows import Keyless
from .result import StreamResult
from .rounds import Rounds
from .start_versions import StartVersions
from .tombstones import TombstoneLists


class Run:
    """One sync, over all its rounds.

    Args:
        options: What the user asked for.
        connect: Makes a client in the running event loop; each round has a loop of its own.
        clock: Time.
        limits: Survives the rounds.
        leases: Of the divisions, if several workers share them.

    Attributes:
        stored: What the destination holds, while the run is connected.
        results: How each stream fared, in each round.
        unsaid: Those of them that are not on their way to the destination.
        on_progress: Is told of each step of a stream.
        started_at: Seconds since the epoch, UTC.
        refresh_asked_at: When the full refresh was asked for: now, or earlier if that one is not over.
        arrived: Load packages that the destination holds; ``None`` until this round looked.
        first_loads: Entity -> how its table is filled.
        held_rows: Of all lists that are held back until they are there as a whole.
        batched_rows: Of all entities, that wait to be handed to dlt.
        unread_bytes: Of all pages that wait to be parsed.
    """

    stored: Stored

    def __init__(
        self,
        options: Options,
        connect: Callable[[], ExactClient],
        *,
        clock: Clock,
        limits: Limits,
        leases: SqlLeases | None = None,
    ) -> None:
        self.options = options
        self.clock = clock
        self.limits = limits
        self.leases = leases

        self.rounds = Rounds(options, clock)
        self.selection = Selection()
        self.connection = Connection(connect, clock, limits)
        self.divisions = Divisions(
            options,
            self.selection,
            self.connection,
            before_call=self.rounds.heed_stop,
            leases=leases,
        )
        self.tombstones = TombstoneLists(
            self.selection,
            self.connection,
            self.divisions,
            clock,
            before_call=self.rounds.heed_end,
        )
        self.start_versions = StartVersions(self.connection)
        self.keyless = Keyless()

        self.results: list[StreamResult] = []
        self.unsaid: list[StreamResult] = []
        self.on_progress: Callable[[StreamResult], None] = lambda _result: None
        self.started_at = self.refresh_asked_at = self.rounds.began_at
        self.arrived: set[str] | None = None
        self.first_loads: dict[str, FirstLoad] = {}
        self.held_rows = Held()
        self.batched_rows = Held()
        self.unread_bytes = Held()
        self._users = 0
        self._knows_earlier_calls = False

    def begin_round(self) -> None:
        """Forget what the last round counted, and look anew at what arrived of it."""
        self.rounds.begin()
        self.arrived = None

    @asynccontextmanager
    async def connected(self, pipeline: Callable[[], dlt.Pipeline]) -> AsyncIterator[Stored]:
        """Both ends, opened by the first user in this event loop and closed by the last."""
        if not self.connection.is_open:
            active = pipeline()
            self.connection.open(self.rounds.wait_or_stop)
            self.stored = Stored(active)
            self.stored.check()
            self.connection.share_errors(ErrorFile.of(active))
            self._count_earlier_calls()
        self._users += 1
        try:
            yield self.stored
        finally:
            self._users -= 1
            if self._users == 0:
                try:
                    self.stored.close()
                finally:
                    await self.connection.close()

    @property
    def is_connected(self) -> bool:
        """Whether somebody still reads in this round."""
        return self._users > 0

    def _count_earlier_calls(self) -> None:
        """What earlier runs of today took of the contract's calls; once."""
        if self.limits.contract is not None and not self._knows_earlier_calls:
            now = self.clock.now()
            calls = self.stored.calls_since(rows.instant(now // DAY_S * DAY_S))
            self.limits.note_earlier_calls(calls, now)
            self._knows_earlier_calls = True
