"""One sync: the objects that its streams share over all rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..client.client import ExactClient
from ..client.limits import Limits
from ..clock import Clock
from ..options import Options
from ..workers.leases import SqlLeases
from .call_accounting import Selection
from .connection import Connection
from .dedupe import Total
from .divisions import Divisions
from .ports import Destination
from .rejected_rows import RejectedRows
from .result import RoundLog
from .rounds import Rounds
from .start_versions import StartVersions
from .tombstones import TombstoneLists
from .turns import Cursors, Turns

# Stamps of one run differ by at least a microsecond, the resolution of ``_synced_at``. A float of this size
# is exact to a quarter of a microsecond, so a step of one microsecond could be rounded away.
STEP_S = 2e-6


@dataclass(frozen=True, kw_only=True)
class EarlierRuns:
    """Stored state of earlier runs.

    Attributes:
        selected: Entities that this run loads.
        tombstones: ``(division, DivisionMoveDate)`` -> ``Timestamp`` up to which all entities have
            applied the tombstones.
        divisions: Divisions that were read before.
        errors: Errors of the past hour, as ``Limits.errors`` returns them.
        withdrawn: Path -> fields of a list that Exact has withdrawn.
        refresh_asked_at: Start of a full refresh that is not complete; ``None`` if there is none.
        cursors: Returns the cursors of all streams; called only if calls are scarce.
    """

    selected: frozenset[str]
    tombstones: Mapping[tuple[int, int], int]
    divisions: Sequence[int] = ()
    errors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    withdrawn: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refresh_asked_at: float | None = None
    cursors: Callable[[], Cursors] = dict


class Run:
    """One sync, over all its rounds.

    Args:
        options: The user's options.
        connect: Creates a client in the running event loop; each round has its own loop.
        clock: Clock of this host.
        limits: Call limits, for all rounds.
        leases: Leases of the divisions, if several workers share them.

    Attributes:
        log: The result of each stream.
        rounds: When a round and the run end.
        selection: Entities that this run loads.
        connection: The client, and replies that are fetched once per run.
        divisions: The list of divisions.
        tombstones: The lists of deleted rows.
        start_versions: The first row version of a start date.
        turns: Which streams may begin if calls are scarce.
        rejected: Rows without a key.
        started_at: Seconds since the epoch, UTC.
        refresh_asked_at: Time of the request for a full refresh: now, or earlier if it is not complete.
        held_rows: Rows of all lists that are held until they are complete.
        unread_bytes: Bytes of all pages that wait to be parsed.
    """

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
        self._connect = connect
        self.leases = leases
        self.log = RoundLog()
        self.rounds = Rounds(options, clock)
        self.selection = Selection()
        self.connection = Connection(connect, clock, limits)
        self.divisions = Divisions(
            options,
            self.selection,
            self.connection,
            before_call=self.rounds.raise_if_stopped,
            leases=leases,
        )
        self.tombstones = TombstoneLists(
            self.selection,
            self.connection,
            self.divisions,
            self.now,
            before_call=self.rounds.raise_if_round_over,
        )
        self.start_versions = StartVersions(self.connection)
        self.turns = Turns(options, limits, clock, self.divisions)
        self.rejected = RejectedRows()
        self.held_rows = Total()
        self.unread_bytes = Total()
        self.started_at = self.refresh_asked_at = self.rounds.began_at
        self._destination: Destination | None = None
        self._counts: dict[str, Mapping[int, int] | None] = {}
        self._last_stamp = 0.0

    def preview(self) -> Run:
        """A new run with the same options and no state of earlier runs, so that it deletes nothing."""
        options = replace(self.options, deletes="ignore", history=frozenset(), notices=None)
        return Run(options, self._connect, clock=self.clock, limits=self.limits)

    # -- time ----------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch by Exact's clock, according to its ``Date`` headers (API 2.2)."""
        return self.limits.server_time(self.clock.now())

    def next_stamp(self) -> float:
        """A time for ``_synced_at``: now, but later than every earlier stamp even if a clock is set back."""
        self._last_stamp = max(self.now(), self._last_stamp + STEP_S)
        return self._last_stamp

    # -- rounds --------------------------------------------------------------------------------

    def begin_round(self) -> None:
        """Start the next round."""
        self.rounds.begin()

    def recall(self, earlier: EarlierRuns) -> None:
        """Take over the state of earlier runs; called once per round, before the first stream."""
        self.tombstones.recall(earlier.tombstones)
        self.divisions.recall(lambda: earlier.divisions)
        self.limits.recall_errors(earlier.errors)
        self.connection.recall_withdrawn(earlier.withdrawn, self.options.full_refresh)
        self.selection.choose(earlier.selected)
        self.turns.recall(earlier.cursors)
        if self.rounds.number <= 1:
            self.refresh_asked_at = earlier.refresh_asked_at or self.started_at

    # -- its two ends --------------------------------------------------------------------------

    def open(self, destination: Destination) -> None:
        """Connect to Exact Online and use this destination until ``close``."""
        self._destination = destination
        self.connection.open(self.rounds.wait_or_stop)

    async def close(self) -> None:
        """Close the connection to Exact Online."""
        await self.connection.close()

    @property
    def destination(self) -> Destination:
        """The destination of this round."""
        if self._destination is None:
            raise RuntimeError("the run is not open")
        return self._destination

    def rows_stored(self, entity: str, division: int) -> int | None:
        """Stored rows of a division when this run began; ``None`` if they cannot be counted."""
        if entity not in self._counts:
            self._counts[entity] = self.destination.counts(entity)
        counts = self._counts[entity]
        return None if counts is None else counts.get(division, 0)
