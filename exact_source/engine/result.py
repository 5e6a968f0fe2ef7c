"""The outcome of each stream, and the outcomes of all streams of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..errors import (
    BLOCKED,
    EXCLUDED,
    UNAVAILABLE,
    UNEXPECTED,
    AuthenticationError,
    ConfigurationError,
    ExactError,
    LimitError,
    RefusedError,
    StreamError,
    TooFewCallsError,
    describe_fault,
)

Status = Literal["running", "complete", "incomplete", "waiting", "refused", "failed", "skipped"]
# Final statuses other than ``complete``, the worst first.
PROBLEMS: tuple[Status, ...] = ("failed", "refused", "incomplete", "skipped", "waiting")
NEXT_ROUND = "goes on in the next round"


class PausedError(Exception):
    """The round ended while a stream waited; the stream continues in the next round."""


@dataclass(slots=True)
class StreamResult:
    """The outcome of one entity of one division in one round.

    Attributes:
        division: Code; 0 for an entity that is read once for all divisions.
        entity: Entity name.
        feed: Feeds that were read, such as ``bulk + regular``.
        started_at: Seconds since the epoch, UTC.
        ended_at: Seconds since the epoch, UTC.
        calls: Calls of this stream.
        shared_calls: Calls for the list of divisions and for tombstones, if this stream came first.
        rows: Rows passed to the destination.
        deleted: Deleted rows.
        rows_stored: Rows in the destination when the stream began; ``None`` if not counted.
        cursor: Cursor value, as text.
        status: ``incomplete`` continues in the next round or run, ``waiting`` after ``resumes_at``.
        error: Message; for an incomplete stream it says where the stream continues.
        code: ``code`` of the error's class, or one of ``errors.STREAM_CODES``; empty without an error.
        resumes_at: Time at which calls are allowed again; seconds since the epoch, UTC.
        permanent: Whether another run would end with the same error.
        notes: Notes for the user.
        has_begun: Whether the stream's scan began in this run, and not in an earlier one.
        has_emitted: Whether the stream emitted rows or a cursor in this run.
    """

    division: int
    entity: str
    feed: str
    started_at: float
    ended_at: float = 0.0
    calls: int = 0
    shared_calls: int = 0
    rows: int = 0
    deleted: int = 0
    rows_stored: int | None = None
    cursor: str = ""
    status: Status = "running"
    error: str = ""
    code: str = ""
    resumes_at: float | None = None
    permanent: bool = False
    notes: tuple[str, ...] = ()
    has_begun: bool = field(default=False, repr=False)
    has_emitted: bool = field(default=False, repr=False)

    @property
    def where(self) -> str:
        """Entity and division, for messages."""
        return f"{self.entity} of division {self.division}" if self.division else self.entity

    @property
    def has_failed(self) -> bool:
        """Whether the stream ended with an error, so that it does not continue by itself."""
        return self.status in {"failed", "refused"}

    @property
    def is_excluded(self) -> bool:
        """Whether Exact does not offer the stream: no module, right or scope, or a blocked company."""
        return self.code in EXCLUDED

    def end(
        self,
        status: Status,
        error: str = "",
        code: str = "",
        *,
        permanent: bool | None = None,
        resumes_at: float | None = None,
    ) -> None:
        """Set the outcome. The first error of a stream is kept.

        ``permanent`` and ``resumes_at`` come from the last call that sets them.
        """
        if self.status in {"running", "complete"}:
            self.status, self.error, self.code = status, error, code
        if permanent is not None:
            self.permanent = permanent
        if resumes_at is not None:
            self.resumes_at = resumes_at

    def close(self, at: float, cursor: str = "") -> None:
        """Set the time at which the stream ended, in seconds since the epoch, and its cursor."""
        self.ended_at, self.cursor = at, cursor

    def expect(self, *, permanent: bool) -> None:
        """Set in advance whether another run would end with the same error as this stream."""
        self.permanent = permanent

    def count(self, *, rows: int = 0, deleted: int = 0, shared_calls: int = 0) -> None:
        """Add to the counts."""
        self.rows += rows
        self.deleted += deleted
        self.shared_calls += shared_calls

    def forget_rows(self) -> None:
        """Count the rows as not passed to the destination."""
        self.rows = 0

    def note_begun(self) -> None:
        """Note that the stream's scan began in this run."""
        self.has_begun = True

    def note_emitted(self) -> None:
        """Note that the stream emitted rows or a cursor in this run."""
        self.has_emitted = True

    def continue_from(self, before: StreamResult) -> None:
        """Take over what an earlier round of this run noted."""
        self.has_begun, self.has_emitted = before.has_begun, before.has_emitted

    def note_calls(self, calls: int) -> None:
        """Set the number of calls of the stream so far."""
        self.calls = calls

    def note(self, *texts: str) -> None:
        """Add notes, each once."""
        if texts:
            self.notes = tuple(dict.fromkeys([*self.notes, *texts]))


def describe_excluded(
    results: Sequence[StreamResult], company_names: Mapping[int, str | None] | None = None
) -> list[str]:
    """At most two lines: streams that Exact does not offer, and blocked companies.

    Args:
        results: Outcomes of streams.
        company_names: Names by division; without a name, the code is shown.
    """
    names = company_names or {}

    def company(code: int) -> str:
        return f"{code} ({names[code]})" if names.get(code) else str(code)

    denied = [r for r in results if r.code == UNAVAILABLE]
    blocked = sorted({r.division for r in results if r.code == BLOCKED})
    lines = []
    if denied:
        entities, codes = sorted({r.entity for r in denied}), {r.division for r in denied}
        where = f"{len(codes)} companies"
        if len(codes) == 1:
            where = f"division {company(denied[0].division)}"
        lines.append(
            f"not available (no module, right or scope): {_shortened(entities)} of {where}; asked for again "
            "after 7 days or with --retry-refused"
        )
    if blocked:
        lines.append(
            f"blocked at Exact Online: division {_shortened([company(code) for code in blocked])}"
        )
    return lines


def _shortened(names: Sequence[str], most: int = 6) -> str:
    more = len(names) - most
    return ", ".join(names if more <= 1 else [*names[:most], f"and {more} more"])


class RoundLog:
    """The results of all streams of a run, in the order in which the streams began.

    Attributes:
        results: One for each stream and round.
        on_progress: Called after each step of a stream.
    """

    def __init__(self) -> None:
        self.results: list[StreamResult] = []
        self.on_progress: Callable[[StreamResult], None] = lambda _result: None
        # By entity: a tuple for each stream would take as much memory as its result.
        self._latest: defaultdict[str, dict[int, StreamResult]] = defaultdict(dict)

    def report_to(self, on_progress: Callable[[StreamResult], None]) -> None:
        """Set the function that is called after each step of a stream."""
        self.on_progress = on_progress

    def begin(self, result: StreamResult) -> StreamResult:
        """Add a stream."""
        self.results.append(result)
        if before := self.latest(result.entity, result.division):
            result.continue_from(before)
        self._latest[result.entity][result.division] = result
        return result

    def step(self, result: StreamResult) -> None:
        """Report a step of a stream."""
        self.on_progress(result)

    def has_emitted(self, entity: str, division: int) -> bool:
        """Whether a stream emitted rows or a cursor in this run."""
        found = self.latest(entity, division)
        return found is not None and found.has_emitted

    def latest(self, entity: str, division: int) -> StreamResult | None:
        """The last result of a stream; ``None`` if it has not begun."""
        return self._latest[entity].get(division)


class GivesUp(Protocol):
    """Stops all streams after an error that concerns all of them."""

    def give_up(self, error: ExactError) -> None:
        """Raise the error, or make the streams stop and keep the pages that were read."""
        ...


@contextmanager
def recording(
    result: StreamResult, rounds: GivesUp, fatal: tuple[type[Exception], ...]
) -> Iterator[None]:
    """Record how a stream ends. Errors end only this stream, but ``fatal`` ones are raised."""
    not_the_streams: tuple[type[BaseException], ...] = (
        ExactError,
        OSError,
        *fatal,
    )  # the database or the disk
    try:
        yield
    except PausedError:
        result.end("incomplete", NEXT_ROUND)
    except LimitError as error:
        is_stuck = isinstance(error, TooFewCallsError)
        result.end(
            "waiting",
            str(error),
            error.code,
            permanent=is_stuck or None,
            resumes_at=error.resumes_at,
        )
    except StreamError as error:
        status: Status = "refused" if isinstance(error, RefusedError) else "failed"
        result.end(status, str(error), error.code, permanent=error.is_permanent)
    except (AuthenticationError, ConfigurationError) as error:
        result.end("failed", str(error), error.code)
        rounds.give_up(error)
    except not_the_streams:
        raise
    except Exception as error:  # noqa: BLE001 (one bad stream must not end the others)
        why = f"{result.where}: {describe_fault(error)}"
        result.end("failed", why, UNEXPECTED, permanent=True)
