"""``exact-source status``: how fresh the tables are, from the destination alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._output.options import AsJson, Dataset, Destination, Divisions, Entities, PipelineName

if TYPE_CHECKING:
    from ..engine.cursors import Cursor
    from ._output.stored_syncs import Memory, Stream

COLUMNS = ("division", "entity", "feed", "cursor", "rows", "last success", "lag", "status")


def status(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = "exact_online",
    pipeline_name: PipelineName = "exact_online",
    divisions: Divisions = "all",
    entities: Entities = None,
    openmetrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write OpenMetrics text as well, for Prometheus or its node exporter.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how far each entity of each company is loaded: cursor, rows, last success, lag.

    Asks the destination only, no call goes to Exact Online. A cursor is a row version, or the date
    and time that Exact shows. Without --entities: all that were ever loaded.

    Example: exact-source status --destination duckdb --openmetrics /var/lib/node_exporter/exact.prom
    """
    from ._output.stored_syncs import recall
    from ._output.tables import print_json
    from .connect import clock_of, make_pipeline
    from .files import replace_file
    from .openmetrics import render

    wanted = _entities(entities)
    codes = _divisions(divisions)
    pipeline = make_pipeline(destination, dataset, pipeline_name)
    now = clock_of(context).now()
    memory = recall(pipeline, now=now, entities=wanted)
    report = describe(memory, codes, now)
    report |= {"destination": pipeline.destination.destination_name, "dataset": dataset}
    if openmetrics is not None:
        replace_file(openmetrics, render(report, now), "--openmetrics")
    if as_json:
        print_json(report)
    else:
        _print(report, narrowed=entities is not None or bool(codes))


def _entities(entities: str | None) -> list[str] | None:
    if entities is None:
        return None
    from ..catalogue import load_catalogue
    from ..source import choose_entities

    return choose_entities(entities, load_catalogue())


def _divisions(divisions: str) -> set[int]:
    from ..source import parse_divisions

    return set(parse_divisions(divisions))


def describe(memory: Memory, divisions: set[int], now: float) -> dict[str, Any]:
    """The report in plain values.

    Args:
        memory: What the destination knows.
        divisions: The only ones to tell of; empty for all. What is read once for all is told too.
        now: Seconds since the epoch, UTC.
    """
    from ..client.limits import DAY_LIMIT
    from ._output.tables import iso_instant

    streams = [s for s in memory.streams if not divisions or s[0] in divisions or s[0] == 0]
    codes = sorted({division for division, _ in streams if division})
    return {
        "at": iso_instant(now),
        "divisions": [
            {
                "division": code,
                "calls_today": memory.calls_today.get(code, 0),
                # Others may have spent some too, and a contract may allow more: the headers that tell
                # are not kept.
                "calls_a_day_assumed": DAY_LIMIT,
                "calls_left_today_at_most": max(0, DAY_LIMIT - memory.calls_today.get(code, 0)),
            }
            for code in codes
        ],
        "streams": [_describe_stream(memory, stream, now) for stream in streams],
    }


def _describe_stream(memory: Memory, stream: Stream, now: float) -> dict[str, Any]:
    from ._output.tables import iso_instant

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
        "cursor": format_cursor(cursor),
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


def format_cursor(cursor: Cursor | None) -> str | int | None:
    """A ``Timestamp`` as the number it is, a ``Modified`` as the digits that Exact shows."""
    from ._output.tables import iso_digits

    if cursor is None or cursor.value is None:
        return None
    return iso_digits(cursor.value) if cursor.column == "Modified" else cursor.value


def _print(report: dict[str, Any], *, narrowed: bool) -> None:
    from ._output.tables import make_console, make_table, span, styled

    console = make_console()
    if not report["streams"]:
        where = f"into {report['destination']}, dataset {report['dataset']}"
        if narrowed:
            console.print(
                f"nothing that --divisions and --entities name was loaded {where}; "
                "without them `exact-source status` tells of all that was"
            )
        else:
            console.print(f"nothing was loaded yet {where}; see `exact-source sync`")
        return
    rows = []
    for stream in report["streams"]:
        state = stream["status"] or "never"
        lag = stream["lag_s"]
        rows.append(
            [
                stream["division"] and str(stream["division"]),
                stream["entity"],
                stream["feed"],
                stream["cursor"] and str(stream["cursor"]),
                stream["rows"],
                stream["last_success"],
                None if lag is None else span(lag),
                styled(state, "green" if state == "complete" else "yellow"),
            ]
        )
    console.print(make_table(COLUMNS, rows, right=("rows", "lag")))
    for stream in report["streams"]:
        if stream["last_error"]:
            where = stream["entity"] + (f" of {stream['division']}" if stream["division"] else "")
            console.print(f"{where}: {stream['status']}: {stream['last_error']}", markup=False)
    for division in report["divisions"]:
        console.print(
            f"division {division['division']}: {division['calls_today']:,} calls today, "
            f"at most {division['calls_left_today_at_most']:,} left of the usual "
            f"{division['calls_a_day_assumed']:,}"
        )
