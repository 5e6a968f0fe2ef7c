"""The outcome of a sync: the final result of each stream, the exit code, and when to run again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..engine.result import StreamResult, describe_excluded
from ..engine.run import Run
from ..errors import BLOCKED, ExactError, ExitCode, LimitError, StoppedError, TooFewCallsError
from ..wording import plural

CLOCK_TOLERANCE_S = 60.0
MOST_PROBLEMS = 10  # most lines about streams in the text of an outcome


@dataclass
class Outcome:
    """The outcome of a sync.

    Attributes:
        results: The final result of each entity of each division.
        rounds: Number of rounds.
        calls: Number of calls that were sent.
        error: The error that ended the sync early, or ``None``.
        resumes_at: When calls are allowed again, seconds since the epoch (UTC); ``None``: immediately.
        notes: Notes that do not concern a single stream.
        strict: Whether streams that Exact does not offer affect the exit code.
        stopped_by: What stopped the run, such as ``Ctrl-C``; empty if nothing did.
    """

    results: list[StreamResult]
    rounds: int
    calls: int
    error: ExactError | None = None
    resumes_at: float | None = None
    notes: tuple[str, ...] = ()
    strict: bool = False
    stopped_by: str = ""

    def counts(self, result: StreamResult) -> bool:
        """Whether a stream affects the exit code; streams that Exact does not offer do not.

        If Exact offers no stream of any company, all of them count, because the sync loaded nothing but the
        list of companies.
        """
        if self.strict or not result.is_excluded:
            return True
        return all(r.is_excluded for r in self.results if r.division)

    def is_interrupted(self, result: StreamResult) -> bool:
        """Whether a stream has no problem except that the run was stopped before it ended."""
        was_reading = result.status == "incomplete" and not result.code
        return result.code == StoppedError.code or (bool(self.stopped_by) and was_reading)

    @property
    def interruption(self) -> str:
        """What stopped the run before its end; empty if every stream ended by itself."""
        is_cut = isinstance(self.error, StoppedError) or any(
            self.is_interrupted(r) or r.status == "waiting" for r in self.results
        )
        return self.stopped_by if is_cut else ""

    @property
    def exit_code(self) -> ExitCode:
        """0 complete, 1 failed, 2 configuration, 3 incomplete but safe."""
        if self.error is not None and self.error.exit_code != ExitCode.INCOMPLETE:
            return self.error.exit_code
        counted = [r for r in self.results if self.counts(r)]
        statuses = {r.status for r in counted}
        blocked = [r for r in counted if r.code == BLOCKED]
        if self.error is None and statuses <= {"complete", "skipped"} and not blocked:
            return ExitCode.COMPLETE
        # The list of companies can be read even if each of them is blocked.
        tried = [r for r in counted if r.division] if blocked else counted
        if tried and all(r.has_failed or r.code == BLOCKED for r in tried):
            return ExitCode.FAILED  # nothing at all was loaded
        return ExitCode.INCOMPLETE

    def __str__(self) -> str:
        """A summary, and a line for each kind of problem, note and error; long lists are shortened."""
        rows = sum(r.rows for r in self.results)
        summary = (
            f"exit code {self.exit_code}: {plural(rows, 'row')} of "
            f"{plural(len(self.results), 'stream')}, {plural(self.calls, 'call')}, "
            f"{plural(self.rounds, 'round')}"
        )
        last = [
            *describe_excluded(self.results),
            *self.notes,
            *([f"stopped by {self.interruption}"] if self.interruption else ()),
            *([self.error] if self.error and not isinstance(self.error, StoppedError) else ()),
        ]
        problems = problem_lines(r for r in self.results if not self.is_interrupted(r))
        return "\n".join([summary, *problems, *map(str, last)])


def problem_lines(results: Iterable[StreamResult]) -> list[str]:
    """One line for all streams with the same status and error; at most ``MOST_PROBLEMS`` lines."""
    groups: defaultdict[tuple[str, str], list[StreamResult]] = defaultdict(list)
    for result in results:
        if result.status not in {"complete", "running"} and not result.is_excluded:
            pattern = result.error.replace(result.where, "")
            pattern = pattern.replace(f"division {result.division}", "")
            groups[result.status, pattern].append(result)
    lines = []
    for (status, _), group in groups.items():
        others = f" and {len(group) - 1:,} more" if len(group) > 1 else ""
        error = group[0].error.removeprefix(f"{group[0].where}: ")
        lines.append(f"{group[0].where}{others}: {status}: {error}")
    more = len(lines) - MOST_PROBLEMS
    return lines if more <= 1 else [*lines[:MOST_PROBLEMS], f"and {more:,} more; see results"]


def outcome_of(run: Run, error: ExactError | None, notes: Iterable[str]) -> Outcome:
    """The outcome of a run that has ended.

    Args:
        run: The run.
        error: The error that ended it early, or ``None``.
        notes: Notes that do not concern a single stream.
    """
    latest = final_results(run.log.results)
    error = error or too_few_calls(run, latest.values())
    resumes = [r.resumes_at for r in latest.values() if r.resumes_at is not None]
    if isinstance(error, LimitError):
        resumes.append(error.resumes_at)
    return Outcome(
        list(latest.values()),
        run.rounds.number,
        run.limits.calls,
        error,
        min(resumes, default=None),
        tuple(notes),
        run.options.strict,
        run.rounds.stopped_by,
    )


def too_few_calls(run: Run, results: Iterable[StreamResult]) -> TooFewCallsError | None:
    """The error if streams wait for calls and no stream of a company has made one."""
    of_companies = [r for r in results if r.division]
    waiting = [r for r in of_companies if r.status == "waiting" and r.resumes_at is not None]
    if not waiting or any(r.calls for r in of_companies):
        return None
    return run.limits.too_few_calls(run.limits.calls, min(r.resumes_at or 0.0 for r in waiting))


def final_results(results: Iterable[StreamResult]) -> dict[tuple[str, int], StreamResult]:
    """The last result of each stream, with the totals of all its rounds."""
    found: dict[tuple[str, int], StreamResult] = {}
    for result in results:
        key = (result.entity, result.division)
        before = found.get(key)
        found[key] = result if before is None else replace(
            result,
            started_at=before.started_at,
            calls=before.calls + result.calls,
            shared_calls=before.shared_calls + result.shared_calls,
            rows=before.rows + result.rows,
            deleted=before.deleted + result.deleted,
            notes=tuple(dict.fromkeys([*before.notes, *result.notes])),
        )  # fmt: skip
    return found


def clock_notes(skew_s: float) -> Iterator[str]:
    """A note if the clock of this host is wrong.

    Args:
        skew_s: Seconds by which Exact's clock is ahead of it.
    """
    if abs(skew_s) > CLOCK_TOLERANCE_S:
        side = "behind" if skew_s > 0 else "ahead of"
        yield (
            f"this computer's clock is {plural(round(abs(skew_s) / 60), 'minute')} {side} Exact's; the "
            "sync used Exact's, but set the clock right: tokens and schedules depend on it"
        )
