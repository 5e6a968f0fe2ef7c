"""Options of ``exact-source plan``, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._output.options import (
    AsJson,
    BaseUrl,
    Dataset,
    Destination,
    Divisions,
    Entities,
    PipelineName,
    Region,
    StartBy,
)

if TYPE_CHECKING:
    from .planner import Planner

EXIT_INCOMPLETE = 3
COLUMNS = ("division", "entity", "feed", "rows", "rows per call", "calls", "from", "note")


def plan(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = "exact_online",
    divisions: Divisions = "all",
    entities: Entities = None,
    no_count: Annotated[
        bool,
        typer.Option("--no-count", help="Count nothing at Exact Online; go by earlier syncs only."),
    ] = False,
    route: Annotated[
        list[str] | None,
        typer.Option(help="auto, sync, bulk or regular; or for one entity: accounts=regular."),
    ] = None,
    start_date: Annotated[
        str | None, typer.Option(help="Count only what changed since this date, where it can be.")
    ] = None,
    start_by: StartBy = None,
    reserve_calls: Annotated[
        int, typer.Option(min=0, help="Calls of each company's day left to others.")
    ] = 0,
    contract_cap: Annotated[
        int | None, typer.Option(min=1, help="Calls a day over all companies.")
    ] = None,
    region: Region = None,
    base_url: BaseUrl = None,
    pipeline_name: PipelineName = "exact_online",
    as_json: AsJson = False,
) -> None:
    """Say how many calls, minutes and days the next sync will take within Exact's limits.

    Entities that were never loaded are counted, with one call each per company. Ends with 3 if
    today's calls were used up before all were counted.

    Example: exact-source plan --divisions 123456,234567 --entities all --reserve-calls 1000
    """
    from ...catalogue import load_catalogue
    from ...client.limits import Limits
    from ...connect import make_asking_run
    from ...loading.session import error_file
    from ...source import choose_entities, make_options
    from .._output.tables import print_json
    from ..connect import clock_of, make_connection, make_pipeline
    from ..row_memory import Counted, keep_counted
    from ..sync import parse_route
    from .planner import Planner, recall_for
    from .report import make_report

    catalogue = load_catalogue()
    chosen = choose_entities(entities, catalogue)
    options = make_options(
        divisions=divisions, route=parse_route(route), start_date=start_date, start_by=start_by
    )
    pipeline = make_pipeline(destination, dataset, pipeline_name)
    settings, storage = make_connection(region, base_url, pipeline)
    clock = clock_of(context)
    limits = Limits(reserve=reserve_calls, contract_cap=contract_cap)
    run = make_asking_run(
        options, settings, storage, clock, limits, error_file=error_file(pipeline)
    )
    planner = Planner(run, catalogue, chosen, recall_for(chosen, pipeline, clock.now()))
    look(planner, count=not no_count)
    keep_counted(pipeline, Counted(options.start_ms, planner.counts.rows))
    report = make_report(planner, reserve_calls, contract_cap)
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report["stopped"]:
        raise typer.Exit(EXIT_INCOMPLETE)


def look(planner: Planner, *, count: bool) -> None:
    """Ask what has to be asked, and show on stderr how far that is."""
    import asyncio

    from .._output.display import asking

    with asking(planner.run) as line:

        def note(counted: int, total: int) -> None:
            line.idle = f"counted {counted:,} of {total:,} streams"

        asyncio.run(planner.look(count=count, on_answer=note))


def _print(report: dict[str, Any]) -> None:
    from .._output.tables import make_console, make_table

    console = make_console()
    rows = [
        [
            s["division"] and str(s["division"]),
            s["entity"],
            s["feed"],
            s["rows"],
            s["page_size"],
            s["calls"],
            s["basis"],
            s["note"],
        ]
        for s in report["order"]
    ]
    numbers = ("rows", "rows per call", "calls")
    console.print(make_table(COLUMNS, rows, right=numbers))
    console.print()
    names = ("division", "name", "status", "calls", "minutes", "days")
    lines = [
        [
            str(d["division"]),
            d["name"],
            d["status"],
            d.get("calls"),
            d.get("minutes"),
            d.get("days"),
        ]
        for d in report["divisions"]
    ]
    console.print(make_table(names, lines, right=("calls", "minutes", "days")))
    console.print()
    for line in closing_lines(report):
        console.print(line, markup=False)


def closing_lines(report: Mapping[str, Any]) -> list[str]:
    """The totals in words."""
    total = report["total"]
    least = "at least " if total["at_least"] else ""
    lines = [
        (
            f"in all {least}{total['rows']:,} rows, {total['calls']:,} calls, {total['minutes']:,} "
            f"minute(s) on {total['days']:,} day(s), divisions side by side; started now it ends at "
            f"{total['ends_at']}"
        ),
        f"this plan spent {report['spent_calls']:,} calls",
    ]
    if not all(d.get("limits_known", True) for d in report["divisions"]):
        lines.append(
            "limits are taken as 60 calls a minute and 5,000 a day; a call would tell the real ones"
        )
    if report["stopped"]:
        lines.append(f"counting stopped: {report['stopped']}")
    return lines
