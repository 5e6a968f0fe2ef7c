"""``exact-source verify``: measures this program's assumptions about Exact Online on a live company."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError
from ..wording import plural
from ._output.logs import notes
from ._output.options import (
    DATASET,
    OUTPUT,
    PIPELINE,
    WHAT,
    AsJson,
    BaseUrl,
    Dataset,
    Destination,
    PipelineName,
    Region,
)
from ._output.tables import Column, print_json
from .divisions import parse_code
from .files import check_target, replace_file
from .recording import Record, checked, start_recording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..connect import ReadOnlyRun
    from ..engine.divisions import Division
    from ..verify import Verification

STYLES = {"holds": "green", "differs": "red", "not measured": "dim"}
COLUMNS = (Column("verdict"), Column("check"), Column("seen", wraps=True), Column("effect", rank=1))
MOST_LISTED = 20  # companies to choose from


def verify(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    division: Annotated[
        int | None,
        typer.Option(
            metavar="CODE",
            parser=parse_code,
            help="Company that the calls are made on.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before the calls.", rich_help_panel=WHAT)
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a Markdown report without any value of a row.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    books: Annotated[
        bool,
        typer.Option(
            "--books",
            help="Compare the loaded tables with Exact's own figures instead.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    destination: Destination = "",
    dataset: Dataset = DATASET,
    region: Region = None,
    base_url: BaseUrl = None,
    pipeline_name: PipelineName = PIPELINE,
    record: Record = None,
    as_json: AsJson = False,
) -> None:
    """Measure whether Exact Online behaves as this program assumes.

    Reads the list of companies, then makes at most 80 read-only calls on one company and stops
    after two refusals. The exit code is 0 if every assumption holds or the program adapts, 1 if a
    difference should be reported, 3 if today's calls were used up first.

    Example: exact-source verify --division 123456 --yes --report verify.md
    """
    import asyncio

    from ..client.limits import Limits
    from ..connect import make_read_only_run
    from ..loading.session import adaptation_file, error_file
    from ..source import make_options
    from ..verify.adapting import adaptations_of
    from .books import verify_books
    from .connect import clock_of, make_connection, make_pipeline

    if books and (report is not None or record is not None):
        raise ConfigurationError(
            "--books takes neither --report nor --record; run verify without it"
        )
    if report is not None:
        check_target(report, "--report")
    pipeline = make_pipeline(destination, dataset, pipeline_name)
    settings, storage = make_connection(region, base_url, pipeline)
    _check_answerable(division, yes=yes)
    recorder, watch = start_recording(record, settings.base_url), Watch()
    kept = adaptation_file(pipeline)
    run = make_read_only_run(
        make_options(divisions="all" if division is None else [division]),
        settings,
        storage,
        clock_of(context),
        Limits(),
        error_file=error_file(pipeline),
        observe=watch.observe,
        adaptations=kept.load(settings.base_url),
    )
    with checked(recorder):
        chosen = _choose(run, division)
        if books:
            verify_books(run, pipeline, chosen, as_json=as_json, yes=yes)
            return
        _agree(chosen, yes=yes)
        if recorder is not None:
            watch.listeners.append(recorder)  # the list of companies is not recorded
        found = asyncio.run(_verify(run, chosen, watch))
    kept.save(adaptations_of(found, run.connection.adaptations), settings.base_url)
    print_report(found, report, as_json=as_json)


def print_report(found: Verification, report: Path | None, *, as_json: bool) -> None:
    """Write the report, print the findings, and exit.

    Raises:
        typer.Exit: If the exit code is not 0.
    """
    from ..verify.report import document, markdown

    if report is not None:
        replace_file(report, markdown(found), "--report")
        notes.info("the report is in %s; it holds no value of a row", report)
    if as_json:
        print_json(document(found))
    else:
        show(found)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


class Watch:
    """Passes each reply to the registered listeners."""

    def __init__(self) -> None:
        self.listeners: list[object] = []

    def observe(self, request: object, response: object) -> None:
        """Pass a reply on."""
        for listener in self.listeners:
            listener.observe(request, response)  # type: ignore[attr-defined]


async def _verify(run: ReadOnlyRun, division: int, watch: Watch) -> Verification:
    from ..verify import verify as verify_company
    from ._output.display import asking

    with asking(run) as line:

        def note(name: str) -> None:
            line.show_idle(f"asked: {name}")

        async with run.connected() as client:
            return await verify_company(client, division, watch.listeners.append, note)


def _check_answerable(division: int | None, *, yes: bool) -> None:
    """Refuse a run without a terminal if an option would have to be asked for.

    Raises:
        ConfigurationError: If an option is missing.
    """
    if sys.stdin.isatty():
        return
    missing = [
        name
        for name, is_there in (("--division CODE", division), ("--yes", yes or None))
        if is_there is None
    ]
    if missing:
        raise ConfigurationError(
            f"verify cannot ask without a terminal; add {' and '.join(missing)}"
        )


def _choose(run: ReadOnlyRun, division: int | None) -> int:
    """The company of ``--division``, or the one that a person names; reads the list of companies.

    Raises:
        ConfigurationError: If it is not a company that this login can see, or if it is blocked.
    """
    import asyncio

    found = {d.code: d.name for d in asyncio.run(_list(run)) if not d.blocked}
    code = _ask_which(found) if division is None else division
    if code not in found:
        raise ConfigurationError(
            f"--division {code} is not a company that can be read; see `exact-source divisions`"
        )
    return code


async def _list(run: ReadOnlyRun) -> list[Division]:
    """The companies of the run; the one of ``--division`` as it is if the list is refused."""
    async with run.connected():
        return await run.divisions.chosen()


def _ask_which(names: Mapping[int, str]) -> int:
    """Show the companies and ask for one, unless there is only one."""
    for code in sorted(names)[:MOST_LISTED]:
        notes.info("%s  %s", code, names[code])
    if len(names) > MOST_LISTED:
        notes.info("and %d more; see `exact-source divisions`", len(names) - MOST_LISTED)
    if len(names) == 1:
        return next(iter(names))
    answer: int = typer.prompt("Which company", type=int, err=True)
    return answer


def _agree(division: int, *, yes: bool) -> None:
    """Print the cost, and ask whether to continue.

    Raises:
        typer.Abort: If the user declines.
    """
    from ..verify import MOST_CALLS, MOST_REFUSALS

    notes.info(
        "verify makes at most %d read-only calls on company %d, of its 5,000 a day, and stops "
        "after %d refusals; it changes nothing and keeps no rows",
        MOST_CALLS,
        division,
        MOST_REFUSALS,
    )
    if not yes:
        typer.confirm("Go on", abort=True, err=True)


def show(found: Verification) -> None:
    """Print the findings as a table, differences first, and a summary line."""
    from ._output.tables import make_console, print_table, styled

    order = ("differs", "not measured", "holds")
    ranked = sorted(found.findings, key=lambda f: order.index(f.seen.verdict))
    rows = [
        [styled(f.seen.verdict, STYLES[f.seen.verdict]), f.check.name, _sentence(f), f.effect]
        for f in ranked
    ]
    print_table(make_console(), COLUMNS, rows)
    numbers = Counter(f.seen.verdict for f in found.findings)
    notes.info(
        "assumptions: %d hold, %d differ, %d could not be measured; %s, %s",
        numbers["holds"],
        numbers["differs"],
        numbers["not measured"],
        plural(found.calls, "call"),
        plural(found.refusals, "refusal"),
    )
    if found.stopped:
        notes.info("stopped early: %s", found.stopped)
    if any(f.is_report for f in found.findings):
        notes.info("please report the differences: `--report FILE` writes a report to paste")


def _sentence(finding: object) -> str:
    """The observation; for a difference, with the assumption."""
    seen, check = finding.seen, finding.check  # type: ignore[attr-defined]
    return f"{seen.text} (assumed: {check.assumption})" if seen.verdict == "differs" else seen.text
