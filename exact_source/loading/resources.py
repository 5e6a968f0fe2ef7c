"""Turns entities into dlt resources: streams side by side in, Arrow batches and state out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.schema import Schema
from dlt.extract.resource import DltResource

from ..catalogue import Entity
from ..catalogue.feeds import plan_feeds
from ..engine import rows
from ..engine.cursors import Cursor
from ..engine.functions import FunctionShape, FunctionStream, shape_of
from ..engine.run import Run
from ..engine.shape import Shape
from ..engine.shared_lists import read_once
from ..engine.stream import Stream
from ..errors import ConfigurationError, ExactError
from ..odata.page import EXTRA
from .batches import Item, batches
from .first_load import FirstLoad, repeated_rows
from .history import History
from .state import (
    DivisionStates,
    all_entries,
    known_divisions,
    load_ids,
    refresh_under_way,
    remember,
    tombstone_starts,
)
from .sync_log import outcome_item, rejected_item, strange_item
from .tables import (
    DELETE_INSERT,
    append_only,
    as_loaded,
    column_hint,
    declare_column,
    declare_table,
)
from .warehouse import Stored

logger = logging.getLogger(__name__)

QUEUE_ITEMS = 16


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


def refuse_other_key(resource: DltResource | None, keys: set[str]) -> None:
    """See that rows are still merged by their own key, whatever a script has adapted.

    By another one, rows that are different would replace each other.

    Raises:
        ConfigurationError: If they are not.
    """
    if resource is None:  # renamed
        return
    hints: Any = resource._hints or {}  # noqa: SLF001 (dlt has no other way to ask)
    for name in ("primary_key", "merge_key"):
        chosen = hints.get(name)
        if not chosen or callable(chosen):
            continue
        found = {chosen} if isinstance(chosen, str) else set(chosen)
        if found != keys:
            raise ConfigurationError(
                f"{resource.name}: {name} is {', '.join(sorted(found))}, but rows are told apart by "
                f"{', '.join(sorted(keys))}; leave it to the source"
            )


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
            declare_table(schema, self._reader.shape, run.options.deletes, run.selection.names)
            self._schema = schema
        if isinstance(item, pa.Table) and EXTRA in item.column_names:
            declare_column(schema, self._reader.name, item.schema.field(EXTRA))
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
        async with run.connected(dlt.current.pipeline) as stored:
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
        remember(run)
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
        if not run.rounds.number and any(r.status == "incomplete" for r in mine):
            logger.warning("%s: not read to the end; run again, or see run_to_end", self.name)
        if run.tombstones.strange:
            found, run.tombstones.strange = run.tombstones.strange, []
            yield strange_item(found)
        if rejected := run.keyless.take(self.name):
            yield rejected_item(rejected, run.clock.now())

    def _begin(self, stored: Stored) -> DivisionStates:
        """The entity's cursors; the first entity of a run looks at what concerns all of them."""
        run = self.run
        refuse_other_key(dlt.current.source().resources.get(self.name), self._keys)
        if run.arrived is None:
            run.arrived = stored.completed_loads(load_ids(all_entries()))
            run.tombstones.since = tombstone_starts(run.arrived)
            run.divisions.known = known_divisions()
            run.limits.recall_errors(dlt.current.source_state().get("errors", {}))
            known = dlt.current.source_state().get("withdrawn", {})
            run.connection.recall_withdrawn(known, run.options.full_refresh)
            run.selection.names = frozenset(dlt.current.source().selected_resources)
            if run.rounds.number <= 1:
                names = run.selection.names & run.options.full_refresh
                run.refresh_asked_at = refresh_under_way(names, run.arrived) or run.started_at
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
            async for batch in batches(queue, states, self.run.batched_rows):
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
                run.rounds.history_rows += table.num_rows
            await queue.put(Item(division, table, cursor))

        run, entity = self.run, self.shape.entity
        noticed = self._noticed(states)
        if noticed is not None:
            run.rounds.noticed[self.name] = noticed
        if noticed is not None and not noticed:
            return []  # before the list of divisions is asked for
        if entity.division_from or self.name == "deleted":
            return [read_once(run, self.shape, put)]
        kind = FunctionStream if isinstance(self.shape, FunctionShape) else Stream
        divisions = await run.divisions.chosen()
        if noticed is not None:
            readable = {division.code for division in divisions if not division.blocked}
            states.note_unreadable(noticed - readable, run.options.notices or {})
        return [
            kind(
                run, self.shape, division, states.cursor(division.code),
                rank=self.rank, stored=stored, emit=partial(put, division.code),
            ).read()
            for division in divisions
            if (self.name, division.code) not in run.rounds.settled
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
