"""What a person sees of a sync: live lines on a terminal, plain lines elsewhere, a table at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...errors import ExactError
from ..eta import Estimate, as_facts, in_words
from .logs import is_for_people, notes
from .tables import when_allowed

if TYPE_CHECKING:
    from ...client.call import Target
    from ...engine.result import StreamResult
    from ...engine.run import Run
    from ...sync.runner import Outcome
    from ..plan.schedule import TimeLeft
    from .stored_syncs import Memory

ended = logging.getLogger("exact_source.streams")
WIDTH = 120
LOOK_S = 1.0
# Where no line moves: most syncs are over before, and whoever reads a log of them need not ask for it.
LOOK_BACK_S = 10.0
EXIT_INCOMPLETE = 3
FAILED = {"failed", "refused"}
# What a stream ended with, the worst first.
WORST = ("failed", "refused", "incomplete", "skipped", "waiting")
COLOURS = {"complete": "green", "incomplete": "yellow", "waiting": "yellow", "skipped": "dim"}


def format_cursor(result: StreamResult) -> str:
    """A ``Timestamp`` as the number it is, a ``Modified`` as the digits that Exact shows."""
    if not result.cursor:
        return ""
    number = int(result.cursor)
    if result.feed == "sync":
        return result.cursor
    return datetime.fromtimestamp(number / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Line:
    """What the moving line says now; it is asked for at each turn of the spinner.

    Args:
        run: Whose progress it is.
        idle: What goes on while no stream is read.
    """

    def __init__(self, run: Run, idle: str) -> None:
        self._run, self.idle = run, idle
        self.stream = ""
        self.wait: tuple[str, float] | None = None
        self.recall: Callable[[], Memory] | None = None
        self.estimate: Estimate | None = None
        self.left: TimeLeft | None = None
        self._looked_at = 0.0

    def look_back(self) -> None:
        """Ask the destination for earlier syncs, once."""
        recall, self.recall = self.recall, None
        if recall is not None:
            with suppress(ExactError):  # no reason to fail; what is wrong is met again
                self.estimate = Estimate(self._run, recall())

    def look(self, *, at_once: bool = False) -> None:
        """Estimate the time left, once a second unless ``at_once``: there may be 10,000 streams."""
        now = self._run.clock.now()
        if now - self._run.started_at >= LOOK_BACK_S:
            self.look_back()
        if self.estimate is not None and (at_once or now - self._looked_at >= LOOK_S):
            self.left, self._looked_at = self.estimate.now(), now

    def followed_by_left(self, text: str) -> str:
        """The text, and the time left if there is something to say of it."""
        return " · ".join(filter(None, (text, in_words(self.left))))

    def __rich__(self) -> Text:
        """The line; the end of it goes where a terminal is too narrow."""
        said = self.followed_by_left(totals(self._run))
        return Text(f"{said} · {self.doing()}", no_wrap=True, overflow="ellipsis")

    def doing(self) -> str:
        """Who waits for what, which stream was read last, or what else goes on."""
        if self.wait is not None and (left_s := self.wait[1] - self._run.clock.now()) > 0:
            return f"{self.wait[0]} · {left_s:.0f} s"
        is_reading = any(result.status == "running" for result in self._run.log.results)
        return self.stream if is_reading and self.stream else self.idle


class Display:
    """Follows a run: one moving line on a terminal, else a line for what is worth one.

    Args:
        console: Where to; stderr, so that stdout stays a result.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._waits: dict[str, float] = {}
        self._ended: set[int] = set()
        self._line: Line | None = None

    @contextmanager
    def follow(
        self, run: Run, recall: Callable[[], Memory] | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Show the progress of a sync; gives the callback for rounds.

        ``recall`` asks the destination for earlier syncs.
        """
        with self._shown(run, "connecting") as line:
            run.log.on_progress = lambda result: self._progress(run, line, result)

            def on_round(number: int) -> None:
                # Later the destination knows of this sync as well.
                line.recall = recall if number == 1 else None
                self._note_round(number, line)

            yield on_round

    @contextmanager
    def ask(self, run: Run) -> Iterator[Line]:
        """Show how far a command is that asks Exact Online and loads nothing."""
        with self._shown(run, "asking Exact Online") as line:
            yield line

    @contextmanager
    def _shown(self, run: Run, idle: str) -> Iterator[Line]:
        line = Line(run, idle)
        run.rounds.on_wait = lambda target, until, why: self._wait(line, target, until, why)
        if not self.console.is_terminal or not is_for_people():
            yield line
            return
        self._line = line
        with self.console.status(line) as status:
            status.update(spinner="dots")  # shows the line at once, not a twelfth of a second later
            yield line

    def _wait(self, line: Line, target: Target, until: float, why: str) -> None:
        """Say who waits, until when, and for what; once, not at each look at the clock."""
        text = (
            f"{target.where} waits until {datetime.fromtimestamp(until, UTC):%H:%M:%S} UTC: {why}"
        )
        line.wait = (text, until)
        if self._waits.get(target.where) != round(until):
            line.look_back()
            if line.estimate is not None:
                line.estimate.note_wait(target.division or 0, until)
            self._say(line, text)
        self._waits[target.where] = round(until)

    def _note_round(self, number: int, line: Line) -> None:
        line.idle = "loading"
        if self._line is not None:
            line.look_back()
        if number > 1:
            self._say(line, f"round {number}")

    def _say(self, line: Line, text: str) -> None:
        """What is worth a line where none moves."""
        line.look(at_once=True)
        if self._line is None:
            notes.info(line.followed_by_left(text), extra={"facts": as_facts(line.left)})

    def _progress(self, run: Run, line: Line, result: StreamResult) -> None:
        where = f"{result.entity} of {result.division}" if result.division else result.entity
        line.look()
        if self._line is not None:
            self._line.stream = f"{where}{calls_left(run, result)}"
        if result.status != "running" and id(result) not in self._ended:
            self._ended.add(id(result))
            ended.info("%s: %s, %d rows, %d calls", where, result.status, result.rows, result.calls)


@contextmanager
def asking(run: Run) -> Iterator[Line]:
    """Show on stderr how far a command is that asks Exact Online and loads nothing."""
    with Display(Console(stderr=True)).ask(run) as line:
        yield line


def totals(run: Run) -> str:
    """What a run did so far."""
    rows = sum(result.rows for result in run.log.results)
    if not run.rounds.number:
        return f"{run.limits.calls:,} calls"
    return f"round {run.rounds.number} · {run.limits.calls:,} calls · {rows:,} rows"


def calls_left(run: Run, result: StreamResult) -> str:
    """What the company's day still gives, once an answer has said so."""
    left = run.limits.day_remaining(result.division) if result.division else None
    return "" if left is None else f" · {left:,} calls left today"


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


def is_lasting(result: StreamResult) -> bool:
    """Whether rows are there and something is wrong with them that another run would meet again."""
    return result.status == "incomplete" and result.permanent


def problems(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Each error of a stream, once, and what machines want to know of it."""
    return {
        result.error: {
            "code": result.code or None,
            "entity": result.entity,
            "division": result.division or None,
            "permanent": result.permanent,
        }
        for result in outcome.results
        if (result.status in FAILED or is_lasting(result)) and result.error != str(outcome.error)
    }


def remarks(outcome: Outcome) -> list[str]:
    """What else did not go as it should, a line each."""
    lines = list(outcome.notes)
    for r in outcome.results:
        told = r.status in {"complete", *FAILED} or r.error in {"", str(outcome.error)}
        told = told or is_lasting(r)
        if not told:
            lines.append(f"{r.status}: {r.error}")
        lines.extend(f"{r.entity} of {r.division}: {note}" for note in r.notes)
    return list(dict.fromkeys(lines))


def closing_line(outcome: Outcome, seconds: float) -> str:
    """One sentence on the whole."""
    rows = sum(r.rows for r in outcome.results)
    head = f"{rows:,} rows, {outcome.calls:,} calls, {outcome.rounds} load(s), {seconds:.0f} s"
    if outcome.exit_code == 0:
        return f"complete: {head}"
    word = "incomplete, but safe" if outcome.exit_code == EXIT_INCOMPLETE else "failed"
    left = [r for r in outcome.results if r.status not in {"complete", "skipped"}]
    helps = any(not r.permanent for r in left)
    advice = "run again to go on" if helps else "another run would meet the same: see the errors"
    return f"{word}: {head}{when_allowed(outcome.resumes_at)}; {advice}"


def closing_code(outcome: Outcome) -> str | None:
    """The kind of what kept a sync from its end: of an error of all, else of the worst stream."""
    if outcome.error is not None:
        return outcome.error.code
    if outcome.exit_code == 0:
        return None  # a blocked company that nobody named is left out, and that is all
    found = [(WORST.index(r.status), r.code) for r in outcome.results if r.code]
    return min(found)[1] if found else None


STATUSES = {0: "complete", 1: "failed", 2: "configuration", 3: "incomplete"}


def to_json(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """The result for machines; moments are seconds since the epoch, UTC."""
    return {
        "status": STATUSES[outcome.exit_code],
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
                "status": r.status,
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
