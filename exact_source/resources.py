"""Turns entities into dlt resources: streams side by side in, Arrow batches and state out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from dataclasses import dataclass
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.schema import Schema
from dlt.common.schema.typing import TDeleteInsertStrategyDict
from dlt.extract.resource import DltResource

from . import rows
from .cursors import Cursor
from .entities import Entity
from .errors import ExactError
from .feeds import plan_feeds
from .first_load import FirstLoad, repeated_rows
from .functions import FunctionShape, FunctionStream, shape_of
from .history import History
from .once import read_once
from .run import Rejected, Run, StreamResult
from .shape import Shape
from .stored import REJECTED_TABLE, SYNCS_TABLE, Stored
from .streams import Stream
from .tables import append_only, as_loaded, column_hint, declare_table

logger = logging.getLogger(__name__)

# Each yield costs dlt some milliseconds, so pages of 60 rows travel together.
BATCH_ROWS = 20_000
BATCH_TABLES = 200
QUEUE_ITEMS = 16
DELETE_INSERT: TDeleteInsertStrategyDict = {"disposition": "merge", "strategy": "delete-insert"}

_SYNCS = pa.schema(
    [
        pa.field("division", pa.int32()),
        pa.field("entity", pa.string()),
        pa.field("feed", pa.string()),
        pa.field("started_at", rows.INSTANT),
        pa.field("ended_at", rows.INSTANT),
        pa.field("calls", pa.int64()),
        pa.field("shared_calls", pa.int64()),  # for lists that all streams use
        pa.field("rows", pa.int64()),
        pa.field("deleted", pa.int64()),
        pa.field("cursor", pa.string()),
        pa.field("status", pa.string()),
        pa.field("error", pa.string()),
        pa.field("notes", pa.string()),
    ]
)


# What an entry of the state has beside the cursor.
_ENTRY = frozenset({"load_id", "before", "columns"})


@dataclass(frozen=True)
class Item:
    """Rows of one division and the cursor that covers them; or rows without a cursor."""

    division: int
    table: pa.Table | None
    cursor: Cursor | None


def make_resource(run: Run, entity: Entity, *, rank: int, selected: bool) -> DltResource:
    """The dlt resource of one entity over all divisions.

    Raises:
        ConfigurationError: If the route asks for a feed that the entity has not.
    """
    shape = shape_of(
        entity,
        plan_feeds(entity, run.options.route),
        utc_instants=run.options.utc_instants,
        raw_codes=run.options.raw_codes,
    )

    reader = EntityReader(run, shape, rank)

    def generator() -> AsyncIterator[pa.Table]:
        return reader.tables()

    resource: DltResource = dlt.resource(
        generator,
        name=entity.name,
        primary_key=["division", *shape.keys],
        write_disposition=DELETE_INSERT,
        file_format="parquet",  # the default of DuckDB and Postgres is INSERT statements
        selected=selected,
    )
    resource.add_map(Declaration(reader))
    return resource


def run_behind(resource: DltResource) -> Run | None:
    """The run that a resource reads for; ``None`` if it is not one of ours."""
    for step in resource._pipe.steps:  # noqa: SLF001 (dlt copies resources; their steps stay the same)
        if isinstance(declaration := getattr(step, "_f", None), Declaration):
            return declaration.run
    return None


class Declaration:
    """Puts the entity's table into the dlt schema in front of the first item.

    A step and not the generator does it: steps run in the thread that works on the schema.
    """

    def __init__(self, reader: EntityReader) -> None:
        self._reader = reader
        self._schema: Schema | None = None

    @property
    def run(self) -> Run:
        """That the entity is read for."""
        return self._reader.run

    def __call__(self, item: Any) -> Any:
        """Let the item through."""
        schema = dlt.current.source_schema()
        if schema is not self._schema:
            run = self.run
            declare_table(schema, self._reader.shape, run.options.deletes, run.selected)
            self._schema = schema
        if self._reader.appends:
            append_only(schema, self._reader.name)
            self._schema = None  # a source may serve another round
        return item


class EntityReader:
    """One entity, all divisions, one dlt run."""

    def __init__(self, run: Run, shape: Shape, rank: int) -> None:
        self.run = run
        self.shape = shape
        self.rank = rank
        self.name = shape.entity.name
        self.appends = False
        self._keys = {"division", *shape.keys}

    async def tables(self) -> AsyncIterator[pa.Table]:
        """Arrow batches; dlt's state is written just before the batch that it covers."""
        run = self.run
        before, self.appends = len(run.results), False
        async with run.connected(dlt.current.pipeline()) as stored:
            states = self._begin(stored)
            history = History(self.shape) if self.name in run.options.history else None
            first_load = self._first_load(states, stored)
            yielded = False
            async for batch in self._batches(states, stored):
                yielded = True
                first_load.take(batch)
                if history is not None:
                    history.hold(batch)
                yield batch
        if yielded:
            self._settle(first_load)
        # Only where deletions go as rows; an empty file is refused by ADBC on Postgres.
        elif not states.known and run.options.deletes == "hard":
            yield rows.with_required(self._nothing(), self._keys)
        if history is not None and (item := history.item(column_hint)) is not None:
            yield item
        remember_errors(run)
        for item in self._outcomes(before, has_news=yielded):
            yield item

    def _outcomes(self, before: int, *, has_news: bool) -> Iterator[Any]:
        """What became of the streams whose results stand behind ``before``."""
        run = self.run
        mine = [r for r in run.results[before:] if r.entity == self.name]
        run.unsaid += mine
        # What had no news waits for others: dlt works a while on each item of a table of its own.
        if run.unsaid and (has_news or not run.is_connected):
            said, run.unsaid = run.unsaid, []
            yield outcome_item(said)
        if not run.rounds and any(r.status == "incomplete" for r in mine):
            logger.warning("%s: not read to the end; run again, or see run_to_end", self.name)
        rejected = [r for r in run.rejected if r.entity == self.name]
        if rejected:
            run.rejected = [r for r in run.rejected if r.entity != self.name]
            yield rejected_item(rejected, run.clock.now())

    def _begin(self, stored: Stored) -> DivisionStates:
        """The entity's cursors; the first entity of a run looks at what concerns all of them."""
        run = self.run
        if run.arrived is None:
            run.arrived = stored.completed_loads(load_ids(all_entries()))
            run.tombstones_since = tombstone_starts(run.arrived)
            run.known_divisions = known_divisions()
            run.limits.recall_errors(dlt.current.source_state().get("errors", {}))
            run.recall_withdrawn(dlt.current.source_state().get("withdrawn", {}))
            run.selected = frozenset(dlt.current.source().selected_resources)
        self.shape = as_loaded(self.shape, stored.columns(self.name))
        return DivisionStates(self.name, run.arrived, self.shape.full.arrow.names)

    def _settle(self, first_load: FirstLoad) -> None:
        """Say how the rows go into their table, now that all of them are known."""
        if not first_load.is_over:
            self.appends = True
            dlt.current.resource_state(self.name)["appended"] = first_load.rows

    def _first_load(self, states: DivisionStates, stored: Stored) -> FirstLoad:
        """Goes on over the rounds of a process, as its cursors do."""
        first_loads, name = self.run.first_loads, self.name
        if name not in first_loads:
            keys = ["division", *self.shape.keys]
            known = states.divisions

            def divisions_with_rows() -> set[int]:
                return stored.divisions(name, marked=True)

            first_loads[name] = FirstLoad(keys, known, divisions_with_rows)
        return first_loads[name]

    def _loaded_twice(self, stored: Stored) -> Iterator[pa.Table]:
        """What an append left in the table twice because its load was repeated; a merge mends it."""
        state = dlt.current.resource_state(self.name)
        if state.get("appended", 0) and stored.count(self.name) != state["appended"]:
            for found in repeated_rows(stored, self.name, ["division", *self.shape.keys]):
                yield rows.again(found, self.shape.arrow)
        state.pop("appended", None)

    def _nothing(self) -> pa.Table:
        """The deletion of a row that cannot exist: makes the table, so that SQL finds it."""
        keys = {f.name: [rows.zero(f.type)] for f in self.shape.arrow if f.name in self._keys}
        return rows.deletions(self.shape.arrow, keys, at=self.run.clock.now())

    async def _batches(self, states: DivisionStates, stored: Stored) -> AsyncIterator[pa.Table]:
        queue: asyncio.Queue[Item | None] = asyncio.Queue(QUEUE_ITEMS)
        reading = asyncio.create_task(self._read_all(states, stored, queue))
        try:
            for table in self._loaded_twice(stored):
                yield rows.with_required(table, self._keys)
            async for batch in _collect(queue, states):
                yield rows.with_required(batch, self._keys)
            await reading
        finally:
            reading.cancel()

    async def _read_all(
        self, states: DivisionStates, stored: Stored, queue: asyncio.Queue[Item | None]
    ) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for read in await self._streams(states, stored, queue):
                    group.create_task(read)
        except* ExactError as errors:
            # Of several divisions' errors the first says it; they concern the whole connection.
            raise errors.exceptions[0] from None
        finally:
            await queue.put(None)

    async def _streams(
        self, states: DivisionStates, stored: Stored, queue: asyncio.Queue[Item | None]
    ) -> list[Coroutine[Any, Any, None]]:
        """What there is to read, a coroutine for each division."""

        async def put(division: int, table: pa.Table | None, cursor: Cursor | None) -> None:
            if table is not None and self.name in run.options.history:
                run.history_rows += table.num_rows
            await queue.put(Item(division, table, cursor))

        run, entity = self.run, self.shape.entity
        noticed = self._noticed(states)
        if noticed is not None:
            run.noticed[self.name] = noticed
        if noticed is not None and not noticed:
            return []  # before the list of divisions is asked for
        if entity.division_from or self.name == "deleted":
            return [read_once(run, self.shape, put)]
        kind = FunctionStream if isinstance(self.shape, FunctionShape) else Stream
        divisions = await run.divisions()
        if noticed is not None:
            readable = {division.code for division in divisions if not division.blocked}
            states.note_unreadable(noticed - readable, run.options.notices or {})
        return [
            kind(
                run, self.shape, division, states.cursor(division.code),
                rank=self.rank, stored=stored, emit=partial(put, division.code),
            ).read()
            for division in divisions
            if (self.name, division.code) not in run.settled
            and (noticed is None or division.code in noticed)
        ]  # fmt: skip

    def _noticed(self, states: DivisionStates) -> set[int] | None:
        """Divisions of which a webhook told more than the rows cover; ``None``: nobody listened."""
        options = self.run.options
        if options.notices is None:
            return None
        return {
            division
            for (entity, division), mark in options.notices.items()
            if entity == self.name
            and division in (options.divisions or {division})
            and mark not in {states.cursor(division).noticed, states.unreadable(division)}
        }


async def _collect(
    queue: asyncio.Queue[Item | None], states: DivisionStates
) -> AsyncIterator[pa.Table]:
    """Batches of whole items; an item's cursor is stored together with its rows, never before."""
    held: list[Item] = []
    while (item := await queue.get()) is not None:
        held.append(item)
        if _is_full(held):
            if (table := _flush(held, states)) is not None:
                yield table
            held = []
    if (table := _flush(held, states)) is not None:
        yield table


def _is_full(held: Iterable[Item]) -> bool:
    tables = [item.table for item in held if item.table is not None]
    return len(tables) >= BATCH_TABLES or sum(t.num_rows for t in tables) >= BATCH_ROWS


def _flush(held: Iterable[Item], states: DivisionStates) -> pa.Table | None:
    tables = []
    for item in held:
        if item.cursor is not None:
            states.store(item.division, item.cursor)
        if item.table is not None:
            tables.append(item.table)
    return rows.concat(tables) if tables else None


class DivisionStates:
    """Cursors of one entity, by division, in dlt's resource state.

    dlt keeps the state locally even if the load that it belongs to never arrives (a failed job, a
    dropped package, a lost disk). So each entry names its load package and keeps the entry before
    it; what counts is the newest one whose package the destination lists as loaded.

    Each entry also names the set of columns that its rows were loaded with. The sets are numbered
    and kept once, beside the entries.

    Args:
        name: Of the entity.
        arrived: Load packages that the destination lists as loaded.
        columns: That rows are loaded with now.
    """

    def __init__(self, name: str, arrived: set[str], columns: Iterable[str]) -> None:
        state: MutableMapping[str, Any] = dlt.current.resource_state(name)
        self._name = name
        self._state: MutableMapping[str, Any] = state.setdefault("divisions", {})
        self._load_id: str = dlt.current.load_package_state()["load_id"]
        self._arrived = {code: arrived_entry(e, arrived) for code, e in self._state.items()}
        self._sets: MutableMapping[str, list[str]] = state.setdefault("columns", {})
        self._columns = sorted(columns)
        self._resource_state = state

    def unreadable(self, division: int) -> str:
        """Mark of the last webhook that told of a division which could not be read; else empty."""
        return str(self._resource_state.get("unreadable", {}).get(str(division), ""))

    def note_unreadable(
        self, divisions: Iterable[int], notices: Mapping[tuple[str, int], str]
    ) -> None:
        """A webhook told of divisions that are closed, or that the app may not see: done with."""
        for division in divisions:
            marks = self._resource_state.setdefault("unreadable", {})
            marks[str(division)] = notices[self._name, division]

    @property
    def known(self) -> bool:
        """Whether any division was read before."""
        return bool(self._arrived)

    @property
    def divisions(self) -> frozenset[int]:
        """Divisions that were read before."""
        return frozenset(int(code) for code, entry in self._arrived.items() if entry)

    def cursor(self, division: int) -> Cursor:
        """How far a division was read, by loads that arrived."""
        entry = self._arrived.get(str(division)) or {}
        before = self._sets.get(entry.get("columns", ""), self._columns)
        lacks = tuple(name for name in self._columns if name not in before)
        return stored_cursor(entry, lacks)

    def store(self, division: int, cursor: Cursor) -> None:
        """Write a division's cursor, to be committed with this load."""
        before = self._arrived.get(str(division))
        entry = {**cursor.to_state(), "load_id": self._load_id}
        entry["columns"] = before["columns"] if cursor.lacks and before else self._number()
        if before:
            entry["before"] = {k: v for k, v in before.items() if k != "before"}
        self._state[str(division)] = entry

    def _number(self) -> str:
        """Of the present set of columns."""
        for number, columns in self._sets.items():
            if columns == self._columns:
                return number
        number = str(len(self._sets) + 1)
        self._sets[number] = self._columns
        return number


def tombstone_starts(arrived: set[str]) -> dict[tuple[int, int], int]:
    """From where ``sync/Deleted`` must be read for all entities of this run.

    Each entity knows which tombstones it has seen, because the choice of entities may change from
    run to run; the one that is furthest behind counts. What is not named is read from its beginning.

    Returns:
        ``(division, DivisionMoveDate)`` -> ``Timestamp``: another database counts anew (API 4.2).
    """
    selected = dlt.current.source().selected_resources
    states = {name: dlt.current.resource_state(name).get("divisions", {}) for name in selected}
    starts: dict[tuple[int, int], int] = {}
    for state in states.values():
        for code, entry in state.items():
            seen = arrived_entry(entry, arrived) or {}
            if "tombstones" in seen:
                at = int(code), seen.get("moved") or 0
                starts[at] = min(seen["tombstones"], starts.get(at, seen["tombstones"]))
    listed = states.get("deleted")
    if listed is not None:  # the table of tombstones itself may be new
        known = {int(code) for code, entry in listed.items() if arrived_entry(entry, arrived)}
        starts = {at: since for at, since in starts.items() if at[0] in known}
    return starts


def remember_errors(run: Run) -> None:
    """Keep the errors of the past hour for the next run, which may begin within it (API 2.3)."""
    errors, state = run.limits.errors(run.clock.now()), dlt.current.source_state()
    if state.get("errors", {}) != errors:
        state["errors"] = errors
    withdrawn = {path: list(gone) for path, gone in run.withdrawn.items()}
    if state.get("withdrawn", {}) != withdrawn:
        state["withdrawn"] = withdrawn


def known_divisions() -> list[int]:
    """Codes of the divisions of earlier runs."""
    states = dlt.current.source_state().get("resources", {}).values()
    return sorted({int(code) for state in states for code in state.get("divisions", {})})


def all_entries() -> Iterator[Mapping[str, Any]]:
    """The state entries of all entities and divisions."""
    for state in dlt.current.source_state().get("resources", {}).values():
        yield from state.get("divisions", {}).values()


def load_ids(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Load packages that state entries name."""
    found = set()
    for entry in entries:
        found.add(entry.get("load_id", ""))
        found.add(entry.get("before", {}).get("load_id", ""))
    return found - {""}


def arrived_entry(entry: Mapping[str, Any], arrived: set[str]) -> Mapping[str, Any] | None:
    """The newest of an entry and its forerunner whose load package arrived."""
    if entry.get("load_id") in arrived:
        return entry
    before: Mapping[str, Any] = entry.get("before", {})
    return before if before.get("load_id") in arrived else None


def stored_cursor(entry: Mapping[str, Any], lacks: tuple[str, ...] = ()) -> Cursor:
    """The cursor that an entry of the state holds."""
    return Cursor.from_state({k: v for k, v in entry.items() if k not in _ENTRY}, lacks)


def outcome_item(results: list[StreamResult]) -> Any:
    """Rows for ``_exact_syncs``, in the same load as the data that they tell of."""
    columns: dict[str, list[Any]] = {name: [] for name in _SYNCS.names}
    for result in results:
        for name in (
            "division",
            "entity",
            "feed",
            "calls",
            "shared_calls",
            "rows",
            "deleted",
            "cursor",
            "status",
            "error",
        ):
            columns[name].append(getattr(result, name))
        columns["started_at"].append(rows.instant(result.started_at))
        columns["ended_at"].append(rows.instant(result.ended_at))
        columns["notes"].append("; ".join(result.notes))
    hints = dlt.mark.make_hints(
        table_name=SYNCS_TABLE,
        write_disposition="append",
        primary_key=(),
        merge_key=(),
        columns={},
        file_format="parquet",
    )
    return dlt.mark.with_hints(pa.table(columns, schema=_SYNCS), hints, create_table_variant=True)


def rejected_item(rejected: list[Rejected], at: float) -> Any:
    """Rows for ``_exact_rejected``; the same row read again is there once."""
    kinds = {"division": pa.int32(), "entity": pa.string(), "mark": pa.string()}
    kinds |= {"seen_at": rows.INSTANT, "reason": pa.string(), "row": pa.string()}
    keys = ["division", "entity", "mark"]
    found = {
        (r.division, r.entity, rows.mark(r.row)): (rows.instant(at), r.reason, r.row)
        for r in rejected
    }
    columns = zip(*(key + rest for key, rest in found.items()), strict=True)
    table = pa.table(dict(zip(kinds, map(list, columns), strict=True)), pa.schema(kinds))
    hints = dlt.mark.make_hints(
        table_name=REJECTED_TABLE,
        write_disposition=DELETE_INSERT,
        primary_key=keys,
        merge_key=(),
        columns={},
        file_format="parquet",
    )
    table = rows.with_required(table, set(keys))
    return dlt.mark.with_hints(table, hints, create_table_variant=True)
