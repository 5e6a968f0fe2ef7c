"""``exact-source status``: how fresh the tables are, read only from the destination."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXCLUDED
from ..wording import plural
from ._output.options import (
    DATASET,
    OUTPUT,
    PIPELINE,
    AllStreams,
    AsJson,
    Dataset,
    Destination,
    Divisions,
    LoadedEntities,
    OnlyProblems,
    PipelineName,
)
from ._output.tables import Column
from ._output.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from ._output.stored_syncs import Memory, Stream
    from ._output.streams import Problem

STREAM_COLUMNS = (
    Column("division"),
    Column("name", rank=3),
    Column("entity"),
    Column("feed", rank=4),
    Column("cursor", rank=5),
    Column("rows", right=True),
    Column("last success", rank=2),
    Column("lag", right=True),
    Column("status"),
)
ENTITY_COLUMNS = (
    Column("entity"),
    Column("companies", right=True, rank=2),
    Column("rows", right=True),
    Column("last success", rank=1),
    Column("lag", right=True),
    Column("problems", right=True),
)


def status(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = DATASET,
    pipeline_name: PipelineName = PIPELINE,
    divisions: Divisions = "all",
    entities: LoadedEntities = None,
    openmetrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write OpenMetrics text as well, for Prometheus or its node exporter.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    every: AllStreams = False,
    problems: OnlyProblems = False,
    as_json: AsJson = False,
) -> None:
    """Show how fresh the tables are: rows, last success, lag, and what needs attention.

    Reads the destination only; no call goes to Exact Online. With --all the cursor of each stream
    is shown: a row version, or the date and time that Exact shows.

    Example: exact-source status --destination duckdb --openmetrics /var/lib/node_exporter/exact.prom
    """
    from ..options import Companies, parse_companies
    from ._output.stored_syncs import place_of, recall
    from ._output.tables import print_json
    from .connect import clock_of, make_pipeline
    from .files import replace_file
    from .openmetrics import render

    wanted = _entities(entities)
    companies = parse_companies(divisions)
    pipeline = make_pipeline(destination, dataset, pipeline_name, read_only=True)
    now = clock_of(context).now()
    memory = recall(pipeline, now=now, entities=wanted)
    loaded = dict.fromkeys((code for code, _ in memory.streams if code), "") | memory.names
    codes = set(companies.choose_loaded(loaded)) if companies != Companies() else set()
    report = describe(memory, codes, now)
    report |= {"destination": pipeline.destination.destination_name, "dataset": dataset}
    report["place"] = place_of(pipeline)
    if openmetrics is not None:
        replace_file(openmetrics, render(report, now), "--openmetrics")
    if as_json:
        print_json(report)
    else:
        _print(report, View(every, problems), narrowed=entities is not None or bool(codes))


def _entities(entities: str | None) -> list[str] | None:
    if entities is None:
        return None
    from ..catalogue import choose_entities, load_catalogue

    return choose_entities(entities, load_catalogue())


def describe(memory: Memory, divisions: set[int], now: float) -> dict[str, Any]:
    """The report in plain values.

    Args:
        memory: Earlier syncs, from the destination.
        divisions: Codes to report; empty for all. Entities that are read once are always reported.
        now: Seconds since the epoch, UTC.
    """
    from ..client.limits import DAY_LIMIT
    from ._output.tables import iso_instant

    streams = [s for s in memory.streams if not divisions or s[0] in divisions or s[0] == 0]
    codes = sorted({division for division, _ in streams if division})
    # The list of companies is read once for all companies, so its calls belong to no single one.
    counted = codes if divisions else [0, *codes]
    return {
        "at": iso_instant(now),
        "calls_today": sum(memory.calls_today.get(code, 0) for code in counted),
        "divisions": [
            {
                "division": code,
                "name": memory.names.get(code),
                "calls_today": memory.calls_today.get(code, 0),
                # Other apps may have made calls too, and a contract may allow more: the headers
                # with the real numbers are not stored.
                "calls_a_day_assumed": DAY_LIMIT,
                "calls_left_today_at_most": max(0, DAY_LIMIT - memory.calls_today.get(code, 0)),
            }
            for code in codes
        ],
        "streams": [_describe_stream(memory, stream, now) for stream in streams],
    }


def _describe_stream(memory: Memory, stream: Stream, now: float) -> dict[str, Any]:
    from ._output.tables import format_cursor, iso_instant

    division, entity = stream
    cursor, syncs = memory.cursors.get(stream), memory.syncs.get(stream, [])
    latest = syncs[0] if syncs else None
    success = memory.successes.get(stream)
    # A scan may have begun in an earlier round than the one that completed it.
    as_of = cursor.read_at if success and cursor and cursor.read_at else success
    return {
        "division": division or None,
        "entity": entity,
        "feed": latest.feed if latest else None,
        "cursor_column": cursor.column if cursor else None,
        "cursor": cursor and format_cursor(cursor.value, is_version=cursor.column != "Modified"),
        "rows": _rows(memory, division, entity),
        "last_success": iso_instant(as_of),
        "lag_s": None if as_of is None else round(max(0.0, now - as_of)),
        "status": latest.status if latest else None,
        "last_run": iso_instant(latest.ended_at) if latest else None,
        "last_error": (latest.error or None) if latest and latest.status != "complete" else None,
        "code": (latest.code or None) if latest and latest.status != "complete" else None,
        "under_way": cursor is not None and cursor.scan is not None,
    }


def _rows(memory: Memory, division: int, entity: str) -> int:
    if division:
        return memory.rows.get((division, entity), 0)
    return sum(count for (_, name), count in memory.rows.items() if name == entity)


def _print(report: dict[str, Any], view: View, *, narrowed: bool) -> None:
    from ._output.streams import print_problems, show_companies
    from ._output.tables import make_console

    console = make_console()
    streams = report["streams"]
    if not streams:
        console.print(nothing_loaded(report, narrowed=narrowed), markup=False)
        return
    names = {d["division"]: d["name"] or "" for d in report["divisions"]}
    found = [_problem(stream) for stream in streams if has_problem(stream)]
    if view.problems:
        print_problems(console, found, names)
        return
    if view.every:
        _print_streams(console, streams, names)
    else:
        _print_entities(console, streams)
    show_companies(console, found, names)
    for line in closing_lines(report):
        console.print(line, markup=False)


def nothing_loaded(report: Mapping[str, Any], *, narrowed: bool) -> str:
    """One line for an empty report."""
    from .connect import has_project

    place = report["place"]
    if narrowed:
        return (
            f"{place} contains no rows of the chosen divisions and entities; `exact-source status` "
            "without these options shows everything that was loaded"
        )
    # A server hides schemas from users who may not read them.
    hidden = "" if report["destination"] == "duckdb" else ", or this user may not read it"
    lost = "" if has_project() else f"; there is no folder .dlt in {Path.cwd()} or above it"
    return f"nothing has been loaded into {place}{hidden}; run `exact-source sync`{lost}"


def has_problem(stream: Mapping[str, Any]) -> bool:
    """Whether a stream needs attention; not if Exact does not offer it."""
    return stream["status"] != "complete" and stream["code"] not in EXCLUDED


def _problem(stream: Mapping[str, Any]) -> Problem:
    from ._output.streams import Problem

    division, entity = stream["division"] or 0, stream["entity"]
    error = stream["last_error"] or ""
    for where in (f"{entity} of division {division}: ", f"{entity}: "):
        error = error.removeprefix(where)
    return Problem(division, entity, stream["status"] or "never", stream["code"] or "", error)


def _print_streams(
    console: Console, streams: Sequence[Mapping[str, Any]], names: Mapping[int, str]
) -> None:
    from ._output.tables import print_table, span, styled

    rows = []
    for stream in streams:
        state, lag, cursor = stream["status"] or "never", stream["lag_s"], stream["cursor"]
        rows.append(
            [
                stream["division"] and str(stream["division"]),
                names.get(stream["division"]),
                stream["entity"],
                stream["feed"],
                None if cursor is None else str(cursor).replace("T", " "),
                stream["rows"],
                _local(stream["last_success"]),
                None if lag is None else span(lag),
                styled(state, "green" if state == "complete" else "yellow"),
            ]
        )
    print_table(console, STREAM_COLUMNS, rows)


def _print_entities(console: Console, streams: Sequence[Mapping[str, Any]]) -> None:
    """A line for each entity, with the last success and lag of the company that is furthest behind."""
    from ._output.tables import print_table, span

    by_entity: dict[str, list[Mapping[str, Any]]] = {}
    for stream in streams:
        by_entity.setdefault(stream["entity"], []).append(stream)
    rows = []
    for entity, mine in sorted(by_entity.items()):
        oldest = min((s["last_success"] for s in mine if s["last_success"]), default=None)
        lag = max((s["lag_s"] for s in mine if s["lag_s"] is not None), default=None)
        companies = sum(s["division"] is not None for s in mine)
        problems = sum(has_problem(s) for s in mine)
        rows.append(
            [
                entity,
                companies or None,
                sum(s["rows"] for s in mine),
                _local(oldest),
                None if lag is None else span(lag),
                problems or None,
            ]
        )
    print_table(console, ENTITY_COLUMNS, rows)


def _local(instant: str | None) -> str | None:
    from ._output.tables import local_clock, parse_instant

    return None if instant is None else local_clock(parse_instant(instant))


def excluded_lines(report: Mapping[str, Any]) -> list[str]:
    """A line for the streams that Exact does not offer, if there are any."""
    from ..engine.result import StreamResult, describe_excluded

    excluded = [
        StreamResult(s["division"] or 0, s["entity"], "", 0.0, code=s["code"])
        for s in report["streams"]
        if s["code"] in EXCLUDED
    ]
    return describe_excluded(excluded, {d["division"]: d["name"] for d in report["divisions"]})


def closing_lines(report: Mapping[str, Any]) -> list[str]:
    """Where the tables are, and how many calls today's syncs made."""
    from ._output.streams import value_range

    divisions = report["divisions"]
    lines = ["", *excluded_lines(report), f"the tables are in {report['place']}"]
    if divisions:
        left = value_range(d["calls_left_today_at_most"] for d in divisions)
        each = "" if len(divisions) == 1 else " for each company"
        lines += [
            f"{plural(report['calls_today'], 'call')} today by syncs that were loaded",
            f"left today{each}: at most {left} of the usual {divisions[0]['calls_a_day_assumed']:,} calls",
        ]
    return lines
