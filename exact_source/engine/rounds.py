"""When a round ends, when a run ends, and what waits until then.

A round is read, loaded and committed as one; a run goes on in the next one until every stream is
settled, or until it shall stop.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..client.call import OnWait, Target
from ..clock import Clock
from ..errors import ExactError, LimitError
from ..options import Options
from .result import StreamResult

# Rows that wait in memory for the end of a load, for the tables of earlier states.
HISTORY_ROWS = 100_000


class PausedError(Exception):
    """The round ended while a stream waited; it goes on in the next one."""


class Rounds:
    """The rounds of one run.

    Args:
        options: What ends a round.
        clock: Time.

    Attributes:
        number: Of the round, from 1; 0 where somebody else repeats a run, or nobody does.
        began_at: When this round did, in seconds since the epoch, UTC.
        stop_at: When the run shall stop, likewise; ``None``: not by the clock.
        stop_requested: Whether it shall stop at once; what was read is loaded.
        fatal: An error that concerns all streams, and ends the run.
        history_rows: Rows of this round that wait for the tables of earlier states.
        settled: Entity and division of streams that have nothing more to read in this run.
        noticed: Entity -> divisions in which a webhook told of it; others are not read.
        on_wait: Is told of a wait.
    """

    def __init__(self, options: Options, clock: Clock) -> None:
        self.number = 0
        self.began_at = clock.now()
        self.stop_at: float | None = None
        self.stop_requested = False
        self.fatal: ExactError | None = None
        self.history_rows = 0
        self.settled: set[tuple[str, int]] = set()
        self.noticed: dict[str, set[int]] = {}
        self.on_wait: OnWait = lambda _target, _until, _why: None
        self._options = options
        self._clock = clock
        self._pages = self._rows = 0

    # -- one after the other -------------------------------------------------------------------

    def begin(self) -> None:
        """Forget what the last round counted."""
        self.number += 1
        self._pages = self._rows = self.history_rows = 0
        self.began_at = self._clock.now()

    def count_page(self) -> None:
        """Note that a page came."""
        self._pages += 1

    def count_rows(self, rows: int) -> None:
        """Note what was on it."""
        self._rows += rows

    def is_settled(self, entity: str, division: int) -> bool:
        """Whether a stream has nothing more to read in this run."""
        unnoticed = entity in self.noticed and division not in self.noticed[entity]
        return unnoticed or (entity, division) in self.settled

    def go_on(self, results: Sequence[StreamResult]) -> bool:
        """Whether another round has something to read; notes what this one's results settle."""
        for result in results:
            if result.status != "incomplete":
                self.settled.add((result.entity, result.division))
        unread = any((r.entity, r.division) not in self.settled for r in results)
        return unread and not self._is_stopped() and self.fatal is None

    # -- their end -----------------------------------------------------------------------------

    def must_stop(self) -> bool:
        """Whether streams should stop at the next page, to be loaded and gone on with."""
        now = self._clock.now()
        options = self._options
        return (
            self._is_stopped()
            or self.fatal is not None
            or self.history_rows >= HISTORY_ROWS
            or (options.round_rows is not None and self._rows >= options.round_rows)
            or (options.round_pages is not None and self._pages >= options.round_pages)
            or (options.round_s is not None and now - self.began_at >= options.round_s)
        )

    def wait_or_stop(self, target: Target, until: float, why: str) -> None:
        """Tell of a wait.

        Raises:
            LimitError: If the run shall stop: a wait takes up to a quarter of an hour.
            PausedError: If the round is over: what was read waits to be loaded.
        """
        if self._is_stopped():
            raise LimitError(f"{target.where}: stopped while waiting: {why}", resumes_at=until)
        self._pause_if_over(target)
        self.on_wait(target, until, why)

    def heed_end(self, target: Target) -> None:
        """Make no further call once the run shall stop, nor in a round that is over.

        Raises:
            LimitError: If the run shall stop.
            PausedError: If the round is over, and what was read waits to be loaded.
        """
        self.heed_stop(target)
        self._pause_if_over(target)

    def heed_stop(self, target: Target) -> None:
        """Make no further call once the run shall stop.

        Raises:
            LimitError: If so.
        """
        if self._is_stopped():
            raise LimitError(f"{target.where}: stopped", resumes_at=self._clock.now())

    def give_up(self, error: ExactError) -> None:
        """Stop all streams because of an error that concerns all; what was read is loaded.

        Raises:
            ExactError: The error, if nothing was read yet.
        """
        if self._pages == 0:
            raise error
        self.fatal = self.fatal or error

    def _pause_if_over(self, target: Target) -> None:
        if target.may_pause and self._pages and self.must_stop():
            raise PausedError

    def _is_stopped(self) -> bool:
        return self.stop_requested or (
            self.stop_at is not None and self._clock.now() >= self.stop_at
        )
