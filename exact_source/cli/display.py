"""What a person sees of a sync: live lines on a terminal, plain lines elsewhere, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ..client import Target
    from ..run import Run, StreamResult
    from ..sync import Outcome

WIDTH = 120
COLOURS = {"complete": "green", "incomplete": "yellow", "waiting": "yellow", "skipped": "dim"}


def format_cursor(result: StreamResult) -> str:
    """A ``Timestamp`` as the number it is, a ``Modified`` as the digits that Exact shows."""
    if not result.cursor:
        return ""
    number = int(result.cursor)
    if result.feed == "sync":
        return result.cursor
    return datetime.fromtimestamp(number / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def format_clock(at: float) -> str:
    """A moment in the reader's own time zone."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


class Display:
    """Follows a run.

    Args:
        console: Where to; stderr, so that stdout stays a result.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._round = 0
        self._waiting = ""
        self._live: Any = None

    @contextmanager
    def follow(self, run: Run) -> Iterator[Callable[[int], None]]:
        """Show the run's progress; gives the callback for rounds."""
        run.on_progress = lambda result: self._progress(run, result)
        if not self.console.is_terminal:
            yield self._plain_round
            return
        with self.console.status("connecting") as live:
            self._live = live
            yield self._note_round

    def wait(self, target: Target, until: float) -> None:
        """Say what is being waited for."""
        end = f"{datetime.fromtimestamp(until, UTC):%H:%M:%S} UTC"
        text = f"{target.where} waits for the minute's limit until {end}"
        if self._live is not None:
            self._waiting = text
            self._live.update(text)

    def _note_round(self, number: int) -> None:
        self._round = number

    def _plain_round(self, number: int) -> None:
        self._round = number
        if number > 1:
            self.console.print(f"round {number}", highlight=False)

    def _progress(self, run: Run, result: StreamResult) -> None:
        if self._live is not None:
            rows = sum(r.rows for r in run.results)
            self._live.update(
                f"round {self._round} · {run.limits.calls:,} calls · {rows:,} rows · "
                f"{result.entity} of {result.division}"
            )
        elif result.status not in {"running", "complete", "incomplete"}:
            self.console.print(
                f"{result.entity} of {result.division}: {result.status}: {result.error}",
                highlight=False,
                soft_wrap=True,
            )


def summary(outcome: Outcome) -> Table:
    """The table at the end: division, entity, feed, calls, rows, deletions, cursor, status."""
    table = Table(box=None, pad_edge=False)
    for name in ("division", "entity", "feed"):
        table.add_column(name, no_wrap=True)
    for name in ("calls", "rows", "deleted"):
        table.add_column(name, justify="right")
    table.add_column("cursor", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for result in sorted(outcome.results, key=lambda r: (r.division, r.entity)):
        colour = COLOURS.get(result.status, "red")
        table.add_row(
            str(result.division or ""),
            result.entity,
            result.feed,
            str(result.calls),
            f"{result.rows:,}",
            str(result.deleted or ""),
            format_cursor(result),
            f"[{colour}]{result.status}[/]",
        )
    return table


def result_console() -> Console:
    """Stdout; wide enough for the summary where no terminal says otherwise."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def remarks(outcome: Outcome) -> list[str]:
    """What did not go as it should, a line each."""
    lines = list(outcome.notes)
    for r in outcome.results:
        if r.error and r.status != "complete":
            lines.append(f"{r.status}: {r.error}")
        lines.extend(f"{r.entity} of {r.division}: {note}" for note in r.notes)
    return list(dict.fromkeys(lines))


def closing_line(outcome: Outcome, seconds: float) -> str:
    """One sentence on the whole."""
    rows = sum(r.rows for r in outcome.results)
    head = f"{rows:,} rows, {outcome.calls:,} calls, {outcome.rounds} load(s), {seconds:.0f} s"
    if outcome.exit_code == 0:
        return f"complete: {head}"
    when = ""
    if outcome.resumes_at is not None and outcome.resumes_at > time.time():
        when = f"; calls are allowed again at {format_clock(outcome.resumes_at)}"
    word = "incomplete, but safe" if outcome.exit_code == 3 else "failed"  # noqa: PLR2004
    return f"{word}: {head}{when}; run again to go on"


def to_json(outcome: Outcome, results: Sequence[StreamResult]) -> dict[str, Any]:
    """The result for machines."""
    return {
        "exit_code": outcome.exit_code,
        "calls": outcome.calls,
        "loads": outcome.rounds,
        "rows": sum(r.rows for r in results),
        "resumes_at": outcome.resumes_at,
        "error": str(outcome.error) if outcome.error else None,
        "streams": [
            {
                "division": r.division,
                "entity": r.entity,
                "feed": r.feed,
                "status": r.status,
                "calls": r.calls,
                "rows": r.rows,
                "deleted": r.deleted,
                "cursor": r.cursor or None,
                "error": r.error or None,
                "notes": r.notes,
            }
            for r in results
        ],
    }
