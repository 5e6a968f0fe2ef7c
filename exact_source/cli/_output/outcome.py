"""The result of a sync: a summary, or one JSON document."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ...engine.result import PROBLEMS, StreamResult, describe_excluded
from ...errors import BLOCKED, ExitCode, StoppedError, TooFewCallsError
from ...wording import plural
from .logs import is_for_people, notes, terminal_width
from .streams import (
    MOST_COMPANIES,
    SHARED,
    Problem,
    Sums,
    entity_table,
    print_problems,
    show_companies,
)
from .tables import (
    PIPE_WIDTH,
    Column,
    format_cursor,
    make_console,
    print_table,
    span,
    styled,
    when_allowed,
    wrapped,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ...sync.outcome import Outcome
    from .view import View

COLOURS = {"complete": "green", "incomplete": "yellow", "waiting": "yellow", "skipped": "dim"}
SCREEN = 40  # lines of a whole result; --all and --problems show the rest
TABLES = 24  # lines of the table of entities plus companies with problems
FEWEST_COMPANIES = 2
LEAST_LINES = 3  # lines for messages, however long the tables are
STREAM_COLUMNS = (
    Column("division"),
    Column("name", rank=3),
    Column("entity"),
    Column("feed", rank=2),
    Column("calls", right=True, rank=1),
    Column("rows", right=True),
    Column("deleted", right=True, rank=1),
    Column("cursor", rank=4),
    Column("status"),
)


def show_outcome(
    outcome: Outcome, seconds: float, place: str, names: Mapping[int, str], view: View
) -> None:
    """Print the result: a table on stdout and notes on stderr, or one JSON document; errors on stderr.

    Raises:
        ExactError: The error that ended the sync.
    """
    printed, closing = 0, [f"the tables are in {place}", closing_line(outcome, seconds)]
    if view.as_json:
        typer.echo(json.dumps(to_json(outcome, seconds)))
    elif not all(is_error_of_sync(r, outcome) for r in ended(outcome)):
        printed = show_results(outcome, names, every=view.every, problems=view.problems)
    width = terminal_width() or PIPE_WIDTH
    free = SCREEN - printed - sum(height(line, width) for line in closing)
    space = None if view.every or view.problems else Space(max(free, LEAST_LINES), width)
    show_failures(outcome, names, space)
    if not view.as_json:
        for line in fitting(remarks(outcome, names), space):
            notes.info("%s", line)
    if outcome.error is not None and not isinstance(outcome.error, StoppedError):
        raise outcome.error
    if not view.as_json:
        if outcome.error is None:  # otherwise there may be no tables yet
            notes.info("%s", closing[0])
        facts = {"exit_code": outcome.exit_code, "code": closing_code(outcome)}
        notes.info("%s", closing[1], extra={"facts": facts})


@dataclass
class Space:
    """The lines that are left for messages.

    Attributes:
        lines: Number of lines.
        width: Columns of the terminal.
    """

    lines: int
    width: int


def fitting(texts: Sequence[str], space: Space | None, share: float = 1.0) -> Sequence[str]:
    """The messages that fit, at least one, and a line about the others.

    Args:
        texts: The messages.
        space: The lines that are left, which is reduced by those of the messages; ``None`` for no limit.
        share: The fraction of them that these messages may take.
    """
    if space is None:
        return texts
    shown: list[str] = []
    used, most = 0, space.lines * share
    for number, text in enumerate(texts):
        lines, more = height(text, space.width), len(texts) - number
        if number and used + lines + (more > 1) > most:
            shown.append(f"and {plural(more, 'more message')}; --problems shows them all")
            used += 1
            break
        shown.append(text)
        used += lines
    space.lines -= used
    return shown


def height(text: str, width: int) -> int:
    """The lines of a message, wrapped, with the word in front of an error."""
    return len(list(wrapped(f"error: {text}", width)))


def show_failures(outcome: Outcome, names: Mapping[int, str], space: Space | None = None) -> None:
    """Print errors of streams on stderr: a line for each kind, or in JSON one for each stream.

    Args:
        outcome: Outcome of the sync.
        names: Division -> name of the company.
        space: The lines that are left for messages, half of which the errors may take; ``None`` for no limit.
    """
    failed = [r for r in outcome.results if is_failure(r, outcome)]
    if is_for_people():
        for text in fitting(grouped([(r, r.error) for r in failed], names), space, 0.5):
            notes.error("error: %s", text)
        return
    for error, result in {r.error: r for r in failed}.items():
        notes.error("error: %s", error, extra={"facts": facts_of(result)})


def show_results(
    outcome: Outcome, names: Mapping[int, str], *, every: bool = False, problems: bool = False
) -> int:
    """Print the result of a sync.

    Args:
        outcome: Outcome of the sync.
        names: Division -> name of the company.
        every: Print a line for each stream instead of one for each entity.
        problems: Print the streams with a problem only.

    Returns:
        The number of lines of the summary.
    """
    console, lines = make_console(), 0
    found = [problem_of(r) for r in ended(outcome) if has_problem(r, outcome)]
    if problems:
        print_problems(console, found, names)
        return lines
    if every:
        print_streams(console, outcome, names)
    else:
        sums = [
            Sums(r.entity, r.division, r.rows, r.calls, r.deleted, has_problem(r, outcome))
            for r in ended(outcome)
        ]
        lines = entity_table(console, sums, shared_calls(outcome))
    # Below a long table there are fewer companies, so that the messages fit too.
    most = min(MOST_COMPANIES, max(TABLES - lines, FEWEST_COMPANIES))
    return lines + show_companies(console, found, names, most)


def shared_calls(outcome: Outcome) -> int:
    """Calls that belong to no single stream: lists of companies and deletions, and unfinished streams."""
    return max(0, outcome.calls - sum(r.calls for r in ended(outcome)))


def ended(outcome: Outcome) -> list[StreamResult]:
    """The streams that ended, by company and entity."""
    found = [r for r in outcome.results if r.status != "running"]
    return sorted(found, key=lambda r: (r.division, r.entity))


def has_problem(result: StreamResult, outcome: Outcome) -> bool:
    """Whether the result of a stream needs attention."""
    is_left_out = result.status == "skipped" and result.code != BLOCKED
    is_ended = result.status != "complete" and not outcome.is_interrupted(result)
    return is_ended and not is_left_out and outcome.counts(result)


def problem_of(result: StreamResult) -> Problem:
    """The problem of a stream."""
    return Problem(result.division, result.entity, result.status, result.code, result.error)


def print_streams(console: Console, outcome: Outcome, names: Mapping[int, str]) -> None:
    """A line for each stream, and one for the other calls."""
    rows: list[list[object]] = [
        [
            str(r.division or ""),
            names.get(r.division),
            r.entity,
            r.feed,
            r.calls,
            r.rows,
            r.deleted or None,
            cursor_of(r),
            styled(r.status, COLOURS.get(r.status, "red")),
        ]
        for r in ended(outcome)
    ]
    if calls := shared_calls(outcome):
        rows.append([None, None, SHARED, None, calls, None, None, None, None])
    print_table(console, STREAM_COLUMNS, rows)


def cursor_of(result: StreamResult) -> str | None:
    """The cursor of a stream."""
    if not result.cursor:
        return None
    found = format_cursor(int(result.cursor), is_version=result.feed == "sync")
    return str(found)[: len("2026-01-31T12:00:00")].replace("T", " ")


def is_lasting(result: StreamResult) -> bool:
    """Whether rows are stored but have a problem that another run would not solve."""
    return result.status == "incomplete" and result.permanent


def is_failure(result: StreamResult, outcome: Outcome) -> bool:
    """Whether a stream ended with an error that is not the error of the whole sync."""
    is_error = result.has_failed or is_lasting(result) or result.code == BLOCKED
    is_told = is_error_of_sync(result, outcome)
    return is_error and has_problem(result, outcome) and not is_told


def is_error_of_sync(result: StreamResult, outcome: Outcome) -> bool:
    """Whether a stream ended with the error of the whole sync, which is shown last."""
    return outcome.error is not None and result.error == str(outcome.error)


def facts_of(result: StreamResult) -> dict[str, Any]:
    """The facts about a failure, for JSON."""
    return {
        "code": result.code or None,
        "entity": result.entity,
        "division": result.division or None,
        "permanent": result.permanent,
    }


def remarks(outcome: Outcome, names: Mapping[int, str]) -> list[str]:
    """Other problems, one line for each kind."""
    waits = [
        (r, f"{r.status}: {r.error}")
        for r in outcome.results
        if has_problem(r, outcome)
        and not is_failure(r, outcome)
        and r.error not in {"", str(outcome.error)}
    ]
    said = [(r, f"{where_of(r)}: {note}") for r in outcome.results for note in r.notes]
    excluded = describe_excluded(outcome.results, names)
    return [*outcome.notes, *excluded, *grouped(waits, names), *grouped(said, names)]


def where_of(result: StreamResult) -> str:
    """A stream, in the words of the messages about it."""
    return f"{result.entity} of division {result.division}" if result.division else result.entity


def grouped(texts: Sequence[tuple[StreamResult, str]], names: Mapping[int, str]) -> list[str]:
    """Messages about streams; messages that differ only in the stream are joined."""
    groups: dict[str, list[StreamResult]] = defaultdict(list)
    for result, text in texts:
        pattern = text.replace(where_of(result), "\0", 1).replace(
            f"division {result.division}", "\1"
        )
        groups[pattern].append(result)
    return [
        pattern.replace("\0", streams_in_words(group, names)).replace(
            "\1", companies_in_words(group, names)
        )
        for pattern, group in groups.items()
    ]


def streams_in_words(group: Sequence[StreamResult], names: Mapping[int, str]) -> str:
    """The streams of a message."""
    entities = {r.entity for r in group}
    what = group[0].entity if len(entities) == 1 else f"{len(entities)} entities"
    return f"{what} of {companies_in_words(group, names)}" if group[0].division else what


def companies_in_words(group: Sequence[StreamResult], names: Mapping[int, str]) -> str:
    """The companies of a message."""
    codes = {r.division for r in group}
    code = group[0].division
    if len(codes) > 1:
        return f"{len(codes)} companies"
    return f"division {code} ({names[code]})" if names.get(code) else f"division {code}"


def closing_line(outcome: Outcome, seconds: float) -> str:
    """One sentence about the whole sync."""
    rows = sum(r.rows for r in outcome.results)
    did = (plural(rows, "row"), plural(outcome.calls, "call"), plural(outcome.rounds, "load"))
    head = f"{', '.join(did)}, {span(seconds)}"
    if outcome.exit_code == 0:
        return f"complete: {head}"
    if outcome.exit_code == ExitCode.INCOMPLETE and outcome.interruption and not outcome.calls:
        return (
            f"stopped by {outcome.interruption} before the first call: run the same command again"
        )
    if outcome.exit_code == ExitCode.INCOMPLETE and outcome.interruption:
        head = f"stopped by {outcome.interruption}: {head}{when_allowed(outcome.resumes_at)}"
        return f"{head}; what was read is loaded: run again to continue"
    word = "incomplete, but safe" if outcome.exit_code == ExitCode.INCOMPLETE else "failed"
    left = [r for r in outcome.results if has_problem(r, outcome)]
    is_stuck = isinstance(outcome.error, TooFewCallsError)
    helps = any(not r.permanent for r in left) and not is_stuck
    if not helps:
        return f"{word}: {head}; running again will not help: see the errors"
    return f"{word}: {head}{when_allowed(outcome.resumes_at)}; run again to continue"


def closing_code(outcome: Outcome) -> str | None:
    """Code of the error that ended the sync, or of the worst stream."""
    if outcome.error is not None:
        return outcome.error.code
    if outcome.exit_code == 0:
        return None  # streams that do not count have codes too
    found = [(PROBLEMS.index(r.status), r.code) for r in outcome.results if r.code]
    return min(found)[1] if found else None


def to_json(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """The result as a document; times are seconds since the epoch, UTC."""
    return {
        "status": outcome.exit_code.status,
        "exit_code": outcome.exit_code,
        "code": closing_code(outcome),
        "error": str(outcome.error) if outcome.error else None,
        "resumes_at": outcome.resumes_at,
        "calls": outcome.calls,
        "loads": outcome.rounds,
        "rows": sum(r.rows for r in outcome.results),
        "deleted": sum(r.deleted for r in outcome.results),
        "seconds": round(seconds, 3),
        "notes": list(outcome.notes),
        "streams": [
            {
                "division": r.division,
                "entity": r.entity,
                "feed": r.feed,
                # A stream that was being read when an error ended the sync has not ended itself.
                "status": "incomplete" if r.status == "running" else r.status,
                "calls": r.calls,
                "rows": r.rows,
                "deleted": r.deleted,
                "cursor": r.cursor or None,
                "started_at": r.started_at,
                "ended_at": r.ended_at,
                "resumes_at": r.resumes_at,
                "code": r.code or None,
                "error": r.error or None,
                "notes": r.notes,
            }
            for r in outcome.results
        ],
    }
