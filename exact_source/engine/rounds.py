"""When a round ends and when a run ends.

A round is one load package. A run starts the next round until every stream is settled or the run must stop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..client.call import Call, OnWait
from ..clock import Clock
from ..errors import ExactError, LimitError, StoppedError
from ..options import Options
from .result import PausedError, StreamResult

# Rows held in memory until the end of a load, for the tables of earlier states.
HISTORY_ROWS = 100_000


class Rounds:
    """The rounds of one run.

    Args:
        options: Limits of a round.
        clock: Clock.

    Attributes:
        number: Number of the round, from 1; 0 if the caller repeats runs of one round.
        began_at: Start of the round in seconds since the epoch, UTC.
        fatal: An error that concerns all streams and ends the run.
        on_wait: Called before each wait.
        by_page: Entities that are read one page at a time, because the caller may stop after any page.
    """

    def __init__(self, options: Options, clock: Clock) -> None:
        self.number = 0
        self.began_at = clock.now()
        self.fatal: ExactError | None = None
        self.by_page: set[str] = set()
        self.on_wait: OnWait = lambda _call, _until, _why: None
        self._options = options
        self._clock = clock
        self._pages = self._rows = self._history_rows = 0
        self._deadline: float | None = None
        self._requested_by = ""
        self._settled: defaultdict[str, set[int]] = defaultdict(set)
        self._changed: dict[str, set[int]] = {}

    # -- one after the other -------------------------------------------------------------------

    def begin(self) -> None:
        """Start the next round."""
        self.number += 1
        self._pages = self._rows = self._history_rows = 0
        self.began_at = self._clock.now()

    def count_page(self) -> None:
        """Count a page of this round."""
        self._pages += 1

    def count_rows(self, rows: int) -> None:
        """Count rows of this round."""
        self._rows += rows

    def count_history_rows(self, rows: int) -> None:
        """Count rows of this round that are held for the tables of earlier states."""
        self._history_rows += rows

    def report_to(self, on_wait: OnWait) -> None:
        """Set the function that is called before each wait."""
        self.on_wait = on_wait

    def read_by_page(self, entity: str, *, one_by_one: bool = True) -> None:
        """Set whether an entity is read one page at a time."""
        (self.by_page.add if one_by_one else self.by_page.discard)(entity)

    def settle(self, entity: str, division: int) -> None:
        """Do not read a stream again in this run."""
        self._settled[entity].add(division)

    def read_only(self, entity: str, divisions: Iterable[int]) -> None:
        """Read an entity in these divisions only, because webhooks report no change in others."""
        self._changed[entity] = set(divisions)

    def is_settled(self, entity: str, division: int) -> bool:
        """Whether a stream has nothing more to read in this run."""
        is_unchanged = entity in self._changed and division not in self._changed[entity]
        return is_unchanged or division in self._settled[entity]

    def go_on(self, results: Sequence[StreamResult]) -> bool:
        """Settle the streams that ended, and return whether another round has something to read."""
        for result in results:
            if result.status != "incomplete":
                self.settle(result.entity, result.division)
        unread = any(r.division not in self._settled[r.entity] for r in results)
        return unread and not self.is_stopped() and self.fatal is None

    # -- their end -----------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """Deadline of the run in seconds since the epoch, UTC; ``None`` for no deadline."""
        return self._deadline

    def stop_by(self, deadline: float) -> None:
        """Set the deadline of the run, in seconds since the epoch, UTC."""
        self._deadline = deadline

    @property
    def is_stop_requested(self) -> bool:
        """Whether ``request_stop`` was called."""
        return bool(self._requested_by)

    def request_stop(self, by: str = "a request") -> None:
        """Stop the run before its next call; the pages that were read are loaded.

        Args:
            by: What requests it, for the summary, such as ``Ctrl-C``.
        """
        self._requested_by = self._requested_by or by

    @property
    def stopped_by(self) -> str:
        """What stopped the run, for the summary; empty while it may continue."""
        if not self._requested_by and self.is_stopped():
            return "the time limit"
        return self._requested_by

    def is_stopped(self) -> bool:
        """Whether the run must stop, by request or by its deadline."""
        return self.is_stop_requested or (
            self._deadline is not None and self._clock.now() >= self._deadline
        )

    def must_stop(self) -> bool:
        """Whether streams must stop before their next page."""
        options = self._options
        return (
            self.is_stopped()
            or self.fatal is not None
            or self._history_rows >= HISTORY_ROWS
            or _reached(self._rows, options.round_rows)
            or _reached(self._pages, options.max_pages)
            or _reached(self._clock.now() - self.began_at, options.round_s)
        )

    def wait_or_stop(self, call: Call, until: float, why: str) -> None:
        """Report a wait.

        Raises:
            StoppedError: If the user stops the run; it does not first wait, which could take 15 minutes.
            LimitError: If the deadline of the run is over.
            PausedError: If the round is over and pages wait to be loaded.
        """
        if self.is_stop_requested:
            raise StoppedError(f"{call.where}: stopped", resumes_at=until)
        if self.is_stopped():  # the reason of the wait may be why the time was too short
            raise LimitError(
                f"{call.where}: stopped by the time limit while waiting: {why}; run again to continue",
                resumes_at=until,
            )
        self._pause_if_over(call)
        self.on_wait(call, until, why)

    def raise_if_round_over(self, call: Call) -> None:
        """Called before each request of a list that streams share.

        Raises:
            StoppedError: If the run must stop.
            PausedError: If the round is over and pages wait to be loaded.
        """
        self.raise_if_stopped(call)
        self._pause_if_over(call)

    def raise_if_stopped(self, call: Call) -> None:
        """Called before each request.

        Raises:
            StoppedError: If the run must stop.
        """
        if self.is_stopped():
            raise StoppedError(f"{call.where}: stopped", resumes_at=self._clock.now())

    def give_up(self, error: ExactError) -> None:
        """Stop all streams after an error that concerns all of them; pages that were read are loaded.

        Raises:
            ExactError: The error, if no page was read yet.
        """
        if self._pages == 0:
            raise error
        self.fatal = self.fatal or error

    def _pause_if_over(self, call: Call) -> None:
        if call.may_pause and self._pages and self.must_stop():
            raise PausedError


def _reached(count: float, most: float | None) -> bool:
    return most is not None and count >= most
