"""``exact-source plan``: calls, minutes and days of the next sync, before it is started."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError
from .options import (
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
    from collections.abc import Callable

    from ..api.counting import Counts, Question
    from ..asking import AskingRun
    from ..entities import Catalogue, Entity
    from ..protocol.feeds import Plan
    from ..protocol.planning import Allowance, Basis, Duration, StreamPlan
    from ..streams.run import Division
    from .display import Line
    from .stored_syncs import Memory

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
    from ..api.refusals import ErrorFile
    from ..asking import make_asking_run
    from ..entities import load_catalogue
    from ..entities.parameters import all_sources
    from ..protocol.limits import Limits
    from ..source import choose_entities, make_options
    from .connect import clock_of, make_connection, make_pipeline
    from .output import print_json
    from .stored_syncs import recall
    from .sync import parse_route

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
        options, settings, storage, clock, limits, error_file=ErrorFile.of(pipeline)
    )
    feeding = {s.parent for s in all_sources() if s.parent is not None}
    memory = recall(pipeline, now=clock.now(), entities={*chosen, *feeding})
    planner = Planner(run, catalogue, chosen, memory)
    look(planner, count=not no_count)
    report = make_report(planner, reserve_calls, contract_cap)
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report["stopped"]:
        raise typer.Exit(EXIT_INCOMPLETE)


@dataclass
class Planner:
    """What the next sync has to read.

    Attributes:
        run: The connection, with what the user asked for.
        catalogue: What there is.
        chosen: Entities, in the order of their turns.
        memory: What the destination knows.
        divisions: To be read.
        streams: What each entity of each division will take.
        counts: What was counted.
        line: Where to say how far that is.
    """

    run: AskingRun
    catalogue: Catalogue
    chosen: Sequence[str]
    memory: Memory
    divisions: list[Division] = field(default_factory=list)
    streams: list[StreamPlan] = field(default_factory=list)
    counts: Counts | None = None
    line: Line | None = None

    async def look(self, *, count: bool) -> None:
        """Read the divisions, count what has to be counted, and make the plan."""
        from ..api.counting import Counts, count_rows
        from ..protocol.planning import in_order

        spent = self.memory.all_calls_today
        self.run.limits.note_earlier_calls(spent, self.run.clock.now())
        async with self.run.asking() as client:
            self.divisions = await self.run.divisions()
            self.counts = Counts()
            if count:
                questions = self.questions()
                self.counts = await count_rows(client, questions, self.counter(len(questions)))
        ranks = {name: turn for turn, name in enumerate(self.chosen)} | {"deleted": -1}
        self.streams = in_order([*self._once(), *self._by_division()], ranks)

    def counter(self, total: int) -> Callable[[], None]:
        """What is told of each answer."""
        turns = itertools.count(1)

        def note() -> None:
            if self.line is not None:
                self.line.idle = f"counted {next(turns):,} of {total:,} streams"

        return note

    @property
    def open_divisions(self) -> list[Division]:
        """Divisions that are not blocked."""
        return [d for d in self.divisions if not d.blocked]

    def questions(self) -> list[Question]:
        """Streams that only a count can tell of."""
        return [
            self._question(division.code, entity, plan)
            for division in self.open_divisions
            for entity, plan in self._entities()
            if plan.full.kind != "function" and not self._is_known(division.code, entity.name)
        ]

    def _question(self, division: int, entity: Entity, plan: Plan) -> Question:
        from ..api.counting import Question
        from ..protocol.feeds import starts_by_version

        key, options = (division, entity.name), self.run.options
        question = Question(division, entity, plan, options.start_ms)
        by_version = options.start_by == "timestamp" and starts_by_version(plan)
        if options.start_ms is None or not by_version:
            return question
        cursor = self.memory.cursors.get(key)
        if cursor is not None and cursor.start_version is not None:
            return replace(question, version=cursor.start_version)
        return replace(question, asks_version=not self.memory.rows.get(key))

    def _entities(self) -> Iterator[tuple[Entity, Plan]]:
        """Entities that are read per division, and how."""
        from ..protocol.feeds import plan_feeds

        for name in self.chosen:
            entity = self.catalogue.entities[name]
            if entity.division_from is None and name != "deleted":
                yield entity, plan_feeds(entity, self.run.options.route)

    def _is_known(self, division: int, entity: str) -> bool:
        """Whether a first load was completed."""
        cursor = self.memory.cursors.get((division, entity))
        return (division, entity) in self.memory.successes and (
            cursor is None or cursor.scan is None or cursor.scan.since is not None
        )

    def with_key_notes(
        self, allowances: Mapping[int, Allowance], contract_cap: int | None
    ) -> Iterator[StreamPlan]:
        """The streams; those whose keys can never be compared within a day say so."""
        from ..protocol.feeds import deletes_of, plan_feeds
        from ..protocol.planning import calls_for
        from ..streams.reconcile import hindrance

        for stream in self.streams:
            key, entity = (stream.division, stream.entity), self.catalogue.entities[stream.entity]
            cursor, counted = (
                self.memory.cursors.get(key),
                self.counts and self.counts.rows.get(key),
            )
            plan = plan_feeds(entity, self.run.options.route)
            if deletes_of(entity, plan.column) != "keys" or stream.division not in allowances:
                yield stream
                continue
            rows = counted or self.memory.rows.get(key, 0)
            needed = max(cursor.pages if cursor else 0, calls_for(rows, stream.page_size))
            most = allowances[stream.division].full_day()
            why = hindrance(needed, None, most if contract_cap is None else min(most, contract_cap))
            yield replace(stream, note="; ".join(filter(None, (stream.note, why))))

    def _once(self) -> Iterator[StreamPlan]:
        from ..protocol.planning import StreamPlan, calls_for

        for name in dict.fromkeys(["divisions", *self.chosen]):
            entity = self.catalogue.entities[name]
            if entity.division_from is None:
                continue
            rows = len(self.divisions) if name == "divisions" else 1
            size = entity.feeds["regular"].page_size
            yield StreamPlan(0, name, "regular", size, rows, calls_for(rows, size), "one call")

    def _by_division(self) -> Iterator[StreamPlan]:
        from ..protocol.planning import StreamPlan

        tombstones = "deleted" in self.chosen or any(
            entity.deleted_code is not None for entity, _ in self._entities()
        )
        for division in self.open_divisions:
            if tombstones:
                note = "tombstones, for all entities"
                yield StreamPlan(division.code, "deleted", "sync", 1000, None, 1, "unknown", note)
            for entity, plan in self._entities():
                yield self._stream(division.code, entity, plan)

    def _stream(self, division: int, entity: Entity, plan: Plan) -> StreamPlan:
        from ..protocol.planning import StreamPlan

        key, size = (division, entity.name), plan.full.page_size

        def made(rows: int | None, calls: int, basis: Any, note: str = "") -> StreamPlan:
            return StreamPlan(division, entity.name, plan.label, size, rows, calls, basis, note)

        counts = self.counts
        if plan.full.parameters:
            return made(None, *self._of_function(division, entity, plan))
        if self._is_known(division, entity.name):
            return made(*self._from_history(key, plan))
        if counts is not None and key in counts.refused:
            return made(None, 1, "refused", counts.refused[key])
        if counts is not None and key in counts.rows:
            return made(*self._from_count(counts, key, size))
        if plan.full.kind == "function":
            return made(None, 1, "one call")
        return made(None, 1, "unknown", "not counted; at least one call")

    def _from_count(
        self, counts: Counts, key: tuple[int, str], size: int
    ) -> tuple[int, int, str, str]:
        from ..protocol.planning import calls_for

        rows, note = self._still_to_read(key, counts.rows[key])
        asked = key in counts.versions
        if asked:
            version = counts.versions[key]
            note = "SyncTimestamp names no row: all are read"
            note = note if version is None else f"from Timestamp {version} on, by SyncTimestamp"
        return rows, calls_for(rows, size) + asked, "count", note

    def _of_function(self, division: int, entity: Entity, plan: Plan) -> tuple[int, Basis, str]:
        """A call for each value of the parameters."""
        from ..entities.parameters import count_combinations, parents_of, sources_of

        counted = {} if self.counts is None else self.counts.rows

        def rows_in(parent: str) -> int | None:
            return counted.get((division, parent), self.memory.rows.get((division, parent)))

        today = datetime.fromtimestamp(self.run.clock.now(), UTC).date()
        sources, given = sources_of(entity, plan.full), self.run.options.parameters
        calls = count_combinations(sources, given, rows_in, today)
        if calls is not None:
            return calls, "count", ""
        return 1, "unknown", f"a call for each of {', '.join(parents_of(sources, given))}"

    def _still_to_read(self, key: tuple[int, str], rows: int) -> tuple[int, str]:
        """Rows that are left of a first load that was begun."""
        cursor = self.memory.cursors.get(key)
        if cursor is None or cursor.scan is None or cursor.scan.next is None:
            return rows, ""
        return max(0, rows - cursor.scan.rows), f"{cursor.scan.rows:,} rows were read before"

    def _from_history(self, key: tuple[int, str], plan: Plan) -> tuple[int | None, int, str]:
        from ..protocol.planning import calls_for, usual_calls
        from .stored_syncs import syncs_of_changes

        if plan.column is None:
            rows = self.memory.rows.get(key, 0)
            return rows, calls_for(rows, plan.full.page_size), "history"
        done = syncs_of_changes(self.memory.syncs.get(key, []))
        usual = round(sum(s.rows for s in done) / len(done)) if done else 0
        return usual, usual_calls([s.calls for s in done]), "history"


def look(planner: Planner, *, count: bool) -> None:
    """Ask what has to be asked, and show on stderr how far that is."""
    import asyncio

    from .display import asking

    with asking(planner.run) as planner.line:
        asyncio.run(planner.look(count=count))


def make_report(planner: Planner, reserve: int, contract_cap: int | None) -> dict[str, Any]:
    """The plan in plain values.

    Raises:
        ConfigurationError: If the reserve leaves no call.
    """
    from ..protocol.planning import allowance_of

    run, counts = planner.run, planner.counts
    calls = _calls(planner)
    allowances = {code: allowance_of(run.limits, code, run.clock.now()) for code in calls}
    rows = [s.rows for s in planner.streams if s.rows is not None]
    known = all(s.rows is not None or s.basis == "one call" for s in planner.streams)
    spent = planner.memory.all_calls_today + run.limits.calls
    total = _duration(calls, allowances, run.clock.now(), contract_cap, spent)
    limit = counts.limit if counts else None
    return {
        "order": [
            {**asdict(s), "division": s.division or None}
            for s in planner.with_key_notes(allowances, contract_cap)
        ],
        "divisions": [_division_report(planner, d, calls, allowances) for d in planner.divisions],
        "total": {"rows": sum(rows), "at_least": not known, **_as_json(total)},
        "reserve_calls": reserve,
        "contract_cap": contract_cap,
        "spent_calls": run.limits.calls,
        "stopped": None if limit is None else str(limit),
    }


def _calls(planner: Planner) -> dict[int, int]:
    calls = {d.code: 0 for d in planner.open_divisions}
    for stream in planner.streams:
        # What is read once for all counts on the division whose URL is asked, the first.
        code = stream.division or next(iter(calls), None)
        if code is not None:
            calls[code] += stream.calls
    return calls


def _duration(
    calls: Mapping[int, int],
    allowances: Mapping[int, Allowance],
    now: float,
    contract_cap: int | None = None,
    contract_spent: int = 0,
) -> Duration:
    from ..protocol.planning import duration

    try:
        return duration(
            calls, allowances, now=now, contract_cap=contract_cap, contract_spent=contract_spent
        )
    except ValueError as error:
        raise ConfigurationError(f"--reserve-calls, --contract-cap: {error}") from None


def _division_report(
    planner: Planner,
    division: Division,
    calls: Mapping[int, int],
    allowances: Mapping[int, Allowance],
) -> dict[str, Any]:
    from .divisions import status_text

    code = division.code
    report = {"division": code, "name": division.name, "status": status_text(division.blocked)}
    if code not in calls:
        return report
    allowance = allowances[code]
    took = _duration({code: calls[code]}, allowances, planner.run.clock.now())
    return report | {
        **_as_json(took),
        "minute_limit": allowance.minute,
        "day_limit": allowance.day,
        "left_today": allowance.left,
        "limits_known": allowance.left is not None,
    }


def _as_json(took: Duration) -> dict[str, Any]:
    from .output import iso_instant

    return {**asdict(took), "ends_at": iso_instant(took.ends_at)}


def _print(report: dict[str, Any]) -> None:
    from .output import make_console, make_table

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
