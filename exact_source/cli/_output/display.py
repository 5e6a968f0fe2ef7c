"""The progress of a sync: a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ...clock import local_time
from ...errors import ExactError
from ...wording import plural
from ..eta import Estimate, TimeLeft, as_facts, in_words
from .company_progress import Companies
from .logs import is_for_people, notes
from .streams import value_range

if TYPE_CHECKING:
    from ...client.call import Call
    from ...engine.result import StreamResult
    from ...engine.run import Run
    from .stored_syncs import Memory

ended = logging.getLogger("exact_source.streams")
LOOK_S = 1.0
# Most syncs end within this time and need no query for earlier syncs.
LOOK_BACK_S = 10.0


class Line:
    """The moving line; it is rendered at each step of the spinner.

    Args:
        run: The sync, or the run of a command that loads nothing.
        idle: Activity that is shown while no stream is read.
    """

    def __init__(self, run: Run, idle: str) -> None:
        self._run, self.idle = run, idle
        self.companies = Companies(run)
        self.stream = ""
        self.wait: tuple[str, float] | None = None
        self.recall: Callable[[], Memory] | None = None
        self.estimate: Estimate | None = None
        self.left: TimeLeft | None = None
        self._calls_left = ""
        self._looked_at = 0.0

    def show_idle(self, activity: str) -> None:
        """Show this activity while no stream is read."""
        self.idle = activity

    def look_back(self) -> None:
        """Read earlier syncs from the destination, once."""
        recall, self.recall = self.recall, None
        if recall is not None:
            with suppress(ExactError):  # a missing time left must not fail the sync
                self.estimate = Estimate(self._run, recall())

    def look(self, *, at_once: bool = False) -> None:
        """Estimate the time left, once a second unless ``at_once``: there may be 10,000 streams."""
        now = self._run.clock.now()
        if now - self._run.started_at >= LOOK_BACK_S:
            self.look_back()
        if not at_once and now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        self._calls_left = calls_left(self._run)
        if self.estimate is not None:
            self.left = self.estimate.now()

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """The parts that fit; no part is shortened."""
        yield Text(" · ".join(self.fitting(options.max_width)), no_wrap=True)

    def fitting(self, width: int) -> list[str]:
        """The parts in their order, without the least important ones if there are too many."""
        run, rounds = self._run, self._run.rounds.number
        rows = sum(result.rows for result in run.log.results)
        # The number is the importance of a part; 0 is the most important.
        ordered = [
            (6, f"round {rounds}" if rounds > 1 else ""),
            (1, self.companies.in_words()),
            (0, plural(run.limits.calls, "call")),
            (3, plural(rows, "row") if rounds else ""),
            (4, in_words(self.left)),
            (5, self.doing()),
            *self.waits(),
            (8, self._calls_left),
        ]
        ordered = [part for part in ordered if part[1]]
        while len(ordered) > 1 and len(" · ".join(text for _, text in ordered)) > width:
            ordered.remove(max(ordered))
        return [text for _, text in ordered]

    def waits(self) -> list[tuple[int, str]]:
        """The time left of the current wait, and which stream waits and why, as parts of the line."""
        left_s = self.wait[1] - self._run.clock.now() if self.wait is not None else 0
        if self.wait is None or left_s <= 0:
            return []
        return [(2, f"waits {left_s:.0f} s"), (7, self.wait[0])]

    def doing(self) -> str:
        """The last stream read, or another activity."""
        is_reading = any(result.status == "running" for result in self._run.log.results)
        return self.stream if is_reading and self.stream else self.idle


class Display:
    """Shows the progress of a run: one moving line on a terminal, elsewhere a line per important event.

    Args:
        console: Console on stderr, so that stdout contains only the result.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._waits: set[int] = set()
        self._ended: set[int] = set()
        self._line: Line | None = None

    @contextmanager
    def follow(
        self, run: Run, recall: Callable[[], Memory] | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Show the progress of a sync; yields the callback for rounds.

        ``recall`` reads earlier syncs from the destination.
        """
        with self._shown(run, "connecting") as line:
            run.log.report_to(lambda result: self._progress(line, result))

            def on_round(number: int) -> None:
                # In later rounds the destination also has this sync.
                line.recall = recall if number == 1 else None
                self._note_round(number, line)

            yield on_round

    @contextmanager
    def ask(self, run: Run) -> Iterator[Line]:
        """Show the progress of a command that asks Exact Online and loads nothing."""
        with self._shown(run, "asking Exact Online") as line:
            yield line

    @contextmanager
    def _shown(self, run: Run, idle: str) -> Iterator[Line]:
        line = Line(run, idle)
        run.rounds.report_to(lambda call, until, why: self._wait(line, call, until, why))
        if not self.console.is_terminal or not is_for_people():
            yield line
            return
        self._line = line
        with self.console.status(line) as status:
            status.update(spinner="dots")  # shows the line without a delay
            yield line

    def _wait(self, line: Line, call: Call, until: float, why: str) -> None:
        """Show a wait; without a terminal, print one line for each end of a wait."""
        at, moment = local_time(until), round(until)
        text = f"{call.where} waits until {at:%H:%M:%S}: {why}"
        line.wait = (text, until)
        if moment not in self._waits:  # only one line for all waits for the same minute
            self._waits.add(moment)
            line.look_back()
            self._print_event(line, text)

    def _note_round(self, number: int, line: Line) -> None:
        line.stream, line.idle = "", "connecting"
        if self._line is not None:
            line.look_back()
        if number > 1:
            self._print_event(line, f"round {number}")

    def _print_event(self, line: Line, text: str) -> None:
        """Print an event if there is no moving line."""
        line.look(at_once=True)
        if self._line is None:
            said = filter(None, (text, line.companies.in_words(), in_words(line.left)))
            notes.info(" · ".join(said), extra={"facts": as_facts(line.left)})

    def _progress(self, line: Line, result: StreamResult) -> None:
        where = f"{result.entity} of {result.division}" if result.division else result.entity
        line.look()
        line.stream, line.idle = where, "loading"
        if result.status != "running" and id(result) not in self._ended:
            self._ended.add(id(result))
            line.companies.note(result)
            did = plural(result.rows, "row"), plural(result.calls, "call")
            ended.info("%s: %s, %s, %s", where, result.status, *did)


@contextmanager
def asking(run: Run) -> Iterator[Line]:
    """Show on stderr the progress of a command that asks Exact Online and loads nothing."""
    with Display(Console(stderr=True)).ask(run) as line:
        yield line


def calls_left(run: Run) -> str:
    """The range of calls left today over the companies, according to the last headers."""
    left = [run.limits.day_remaining(code) for code in list(run.limits.divisions) if code]
    known = [calls for calls in left if calls is not None]
    return f"{value_range(known)} calls left today" if known else ""
