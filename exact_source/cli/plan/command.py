"""Options and output of ``exact-source plan``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import ExitCode
from ...wording import plural
from .._output.options import (
    DATASET,
    PIPELINE,
    WHAT,
    AllStreams,
    AsJson,
    BaseUrl,
    ContractCap,
    Dataset,
    Destination,
    Divisions,
    Entities,
    ExcludeDivisions,
    OnlyProblems,
    PipelineName,
    Region,
    ReserveCalls,
    Route,
    StartBy,
    StartDate,
    parse_route,
)
from .._output.tables import Column
from .._output.view import View
from ..settings_options import refuse_wrong_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dlt
    from rich.console import Console

    from .._output.streams import Problem
    from .planner import Planner

MANY_COUNTS = 60  # calls; fewer take seconds
STREAM_COLUMNS = (
    Column("division"),
    Column("name", rank=3),
    Column("entity"),
    Column("feed", rank=4),
    Column("rows", right=True),
    Column("rows per call", right=True, rank=5),
    Column("calls", right=True),
    Column("from", rank=1),
    Column("note", rank=2, wraps=True),
)
ENTITY_COLUMNS = (
    Column("entity"),
    Column("companies", right=True, rank=2),
    Column("rows", right=True),
    Column("calls", right=True),
    Column("note", rank=1, wraps=True),
)
COMPANY_COLUMNS = (
    Column("division"),
    Column("name"),
    Column("status"),
    Column("calls", right=True),
    Column("minutes", right=True),
    Column("days", right=True, rank=1),
)


def plan(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = DATASET,
    divisions: Divisions = "all",
    exclude_divisions: ExcludeDivisions = "",
    entities: Entities = None,
    no_count: Annotated[
        bool,
        typer.Option(
            "--no-count",
            help="Count nothing: read only the list of companies, and use earlier syncs.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    route: Route = None,
    start_date: StartDate = None,
    start_by: StartBy = None,
    reserve_calls: ReserveCalls = 0,
    contract_cap: ContractCap = None,
    region: Region = None,
    base_url: BaseUrl = None,
    pipeline_name: PipelineName = PIPELINE,
    every: AllStreams = False,
    problems: OnlyProblems = False,
    as_json: AsJson = False,
) -> None:
    """Estimate the calls, minutes and days of the next sync.

    Entities that were never loaded are counted with one call each per company. The exit code is 3
    if today's calls were used up before all were counted.

    Example: exact-source plan --divisions 123456,234567 --entities all --reserve-calls 1000
    """
    from ...catalogue import choose_entities, load_catalogue
    from ...client.limits import Limits
    from ...connect import make_read_only_run
    from ...loading.session import adaptation_file, error_file
    from ...source import make_options
    from .._output.tables import print_json
    from ..connect import clock_of, make_connection, make_pipeline
    from .planner import Planner, recall_for
    from .report import make_report

    catalogue = load_catalogue()
    chosen = choose_entities(entities, catalogue)
    options = make_options(
        divisions=divisions,
        exclude_divisions=exclude_divisions,
        route=parse_route(route),
        start_date=start_date,
        start_by=start_by,
        clock=clock_of(context),
    )
    pipeline = make_pipeline(destination, dataset, pipeline_name, read_only=True)
    # Tokens may be in the destination, where they are replaced.
    settings, storage = make_connection(
        region, base_url, make_pipeline(destination, dataset, pipeline_name)
    )
    clock = clock_of(context)
    refuse_wrong_options(settings, clock)
    limits = Limits(reserve=reserve_calls, contract_cap=contract_cap)
    run = make_read_only_run(
        options,
        settings,
        storage,
        clock,
        limits,
        error_file=error_file(pipeline),
        adaptations=adaptation_file(pipeline).load(settings.base_url),
    )
    planner = Planner(run, catalogue, chosen, recall_for(chosen, pipeline, clock.now()))
    look(planner, pipeline, count=not no_count)
    report = make_report(planner, reserve_calls, contract_cap)
    if as_json:
        print_json(report)
    else:
        _print(report, View(every, problems))
    if report["stopped"]:
        raise typer.Exit(ExitCode.INCOMPLETE)


def look(planner: Planner, pipeline: dlt.Pipeline, *, count: bool) -> None:
    """Ask Exact Online, and show the progress on stderr."""
    import asyncio

    from .._output.display import asking
    from .._output.stored_syncs import stored_divisions

    planner.run.divisions.recall(lambda: stored_divisions(pipeline))
    with asking(planner.run) as line:

        def note(counted: int, total: int) -> None:
            if not counted:
                announce(planner, total)
            line.show_idle(f"counted {counted:,} of {total:,} streams")

        try:
            asyncio.run(planner.look(count=count, on_answer=note))
        finally:
            remember(planner, pipeline)


def remember(planner: Planner, pipeline: dlt.Pipeline) -> None:
    """Store the counts, and the number of calls that they took."""
    from ..row_memory import Counted, day_of, keep_counted

    run, rows = planner.run, planner.counts.rows
    day = day_of(run.clock.now())
    keep_counted(pipeline, Counted(run.options.start_ms, rows, day, run.limits.calls))


def announce(planner: Planner, total: int) -> None:
    """Say before many counts how many calls they take, and how long Exact's limits make them last."""
    from .._output.logs import notes
    from .schedule import allowance_of

    if total < MANY_COUNTS:
        return
    companies = planner.open_divisions  # read side by side, with about as many counts each
    minute = min(allowance_of(planner.run.limits, d.code).minute for d in companies)
    minutes = total // (len(companies) * minute)
    notes.info(
        "counting rows first: %s, one for each entity of each company%s; --no-count plans without",
        plural(total, "call"),
        f", at least {plural(minutes, 'minute')}" if minutes else "",
    )


def _print(report: Mapping[str, Any], view: View) -> None:
    from .._output.streams import print_problems
    from .._output.tables import make_console

    console = make_console()
    names = {d["division"]: d["name"] for d in report["divisions"]}
    problems = [_problem(s) for s in report["order"] if s["basis"] in {"refused", "unknown"}]
    if view.problems:
        print_problems(console, problems, names)
        return
    if view.every:
        _print_streams(console, report["order"], names)
    else:
        _print_entities(console, report["order"])
    console.print()
    _print_companies(console, report["divisions"], every=view.every)
    console.print()
    for line in closing_lines(report):
        console.print(line, markup=False)


def _problem(stream: Mapping[str, Any]) -> Problem:
    from .._output.streams import Problem

    status = "refused" if stream["basis"] == "refused" else "not counted"
    return Problem(stream["division"] or 0, stream["entity"], status, "", stream["note"])


def _print_streams(
    console: Console, streams: Sequence[Mapping[str, Any]], names: Mapping[int, str]
) -> None:
    from .._output.tables import print_table

    rows = [
        [
            s["division"] and str(s["division"]),
            names.get(s["division"]),
            s["entity"],
            s["feed"],
            s["rows"],
            s["page_size"],
            s["calls"],
            s["basis"],
            s["note"],
        ]
        for s in streams
    ]
    print_table(console, STREAM_COLUMNS, rows)


def _print_entities(console: Console, streams: Sequence[Mapping[str, Any]]) -> None:
    """A line for each entity, in the order in which they are read."""
    from .._output.tables import print_table

    by_entity: dict[str, list[Mapping[str, Any]]] = {}
    for stream in streams:
        by_entity.setdefault(stream["entity"], []).append(stream)
    rows = []
    for entity, mine in by_entity.items():
        notes = dict.fromkeys(s["note"] for s in mine if s["note"])
        more = f" (and {len(notes) - 1} other notes)" if len(notes) > 1 else ""
        counted = [s["rows"] for s in mine if s["rows"] is not None]
        rows.append(
            [
                entity,
                sum(s["division"] is not None for s in mine) or None,
                sum(counted) if counted else None,
                sum(s["calls"] for s in mine),
                next(iter(notes), "") + more,
            ]
        )
    print_table(console, ENTITY_COLUMNS, rows)


def _print_companies(
    console: Console, divisions: Sequence[Mapping[str, Any]], *, every: bool
) -> None:
    """A line for each company; if there are many, the blocked ones and those with most calls."""
    from .._output.streams import MOST_COMPANIES
    from .._output.tables import print_table

    shown = list(divisions)
    if not every and len(shown) > MOST_COMPANIES + 1:
        shown.sort(key=lambda d: (d["status"] == "open", -d.get("calls", 0)))
        shown = shown[:MOST_COMPANIES]
    columns = ("division", "name", "status", "calls", "minutes", "days")
    rows = [[str(d["division"]), *(d.get(name) for name in columns[1:])] for d in shown]
    print_table(console, COMPANY_COLUMNS, rows)
    if more := len(divisions) - len(shown):
        noun = "company" if more == 1 else "companies"
        console.print(f"and {more:,} more {noun}; --all lists them all")


def closing_lines(report: Mapping[str, Any]) -> list[str]:
    """The totals in words."""
    from .._output.tables import local_clock, parse_instant

    total = report["total"]
    # The size of the list of deletions is unknown before it is read, but it adds no rows.
    uncounted = [s for s in report["order"] if s["rows"] is None and s["basis"] != "one call"]
    more_rows = "at least " if any(s["entity"] != "deleted" for s in uncounted) else ""
    more_calls = "at least " if total["at_least"] and not more_rows else ""
    lines = [
        (
            f"total: {more_rows}{plural(total['rows'], 'row')}, "
            f"{more_calls}{plural(total['calls'], 'call')}, "
            f"{plural(total['minutes'], 'minute')} on {plural(total['days'], 'day')}"
        ),
        f"a sync that starts now ends at {local_clock(parse_instant(total['ends_at']))}",
        f"this plan made {plural(report['spent_calls'], 'call')}",
    ]
    if not all(d.get("limits_known", True) for d in report["divisions"]):
        lines.append("assumed limits: 60 calls a minute and 5,000 a day for each company")
    if report["stopped"]:
        lines.append(f"counting stopped: {report['stopped']}")
    return lines
