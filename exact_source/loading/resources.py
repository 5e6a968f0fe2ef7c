"""Turns entities into dlt resources: reads streams concurrently, yields Arrow batches, stores state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, cast

import dlt
import pyarrow as pa
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableFormat
from dlt.extract.resource import DltResource

from ..catalogue import Entity
from ..catalogue.feeds import plan_feeds, plan_window
from ..engine import rows
from ..engine.cursors import Cursor
from ..engine.functions import shape_of
from ..engine.run import Run
from ..engine.shape import Shape
from ..engine.shared_lists import SharedList
from ..engine.stream import Stream
from ..errors import ConfigurationError, ExactError, StreamError
from ..odata.page import EXTRA
from .batches import Item, batches
from .entity_resource import EntityResource, refuse_other_key, table_names
from .first_load import FirstLoad, repeated_rows
from .history import History
from .session import Session
from .state import LOG_RESOURCE, DivisionStates, is_extracting, remember
from .strategy import Held, Strategy, choose_strategy, merge_strategies
from .sync_log import log_entries, rejected_item, unknown_tombstones_item
from .tables import (
    ALL_ROWS,
    DELETE_INSERT,
    append_only,
    as_loaded,
    column_hint,
    declare_column,
    declare_table,
    log_only,
)
from .warehouse import SYNCS_TABLE, Warehouse

logger = logging.getLogger(__name__)

QUEUE_ITEMS = 16
# Streams of an entity that are read at the same time, one for each connection of the client. Each takes a few
# kilobytes, and companies may be thousands.
STREAMS = 192
PREVIEWED = {"complete", "running", "incomplete"}


def make_resource(session: Session, entity: Entity, *, rank: int, selected: bool) -> DltResource:
    """The dlt resource of one entity over all divisions.

    Raises:
        ConfigurationError: If the entity does not have the feed of the route.
    """
    options = session.run.options
    shape = shape_of(
        entity,
        (plan_window if options.window else plan_feeds)(entity, options.route),
        utc_instants=options.utc_instants,
        raw_codes=options.raw_codes,
        guard=options.personal_data.guard(entity),
    )
    reader = EntityReader(session, shape, rank)

    def generator() -> AsyncIterator[pa.Table]:
        return reader.tables()

    resource: DltResource = dlt.resource(
        generator,
        name=entity.name,
        primary_key=["division", *shape.keys],
        write_disposition=DELETE_INSERT,
        file_format="parquet",  # the default of DuckDB and Postgres is INSERT statements
        selected=selected,
        table_format=cast("TTableFormat", options.table_format),  # None is dlt's default
        _impl_cls=EntityResource,
    )
    resource.add_map(Declaration(reader))
    return resource


async def _read_each(streams: Iterator[Coroutine[Any, Any, None]]) -> None:
    for read in streams:
        await read


def make_log_resource(session: Session) -> DltResource:
    """The dlt resource of ``_exact_syncs``, which also loads the other tables of the source itself."""

    def generator() -> Iterator[Any]:
        resources = list(dlt.current.source().resources.selected.values())
        unread = list(resources)
        while unread:  # one is looked at each time, because dlt asks a hundred times a second
            if _is_read(session, unread[-1]):
                unread.pop()
            else:
                yield None  # dlt continues here after the other resources
        for declaration in filter(None, map(declaration_of, resources)):
            declaration.append_if_new()
        yield from session.take_history()
        run, can = session.run, merge_strategies(dlt.current.pipeline())
        disposition: Any = DELETE_INSERT if "delete-insert" in can else "append"
        if unknown := run.tombstones.take_unknown():
            yield unknown_tombstones_item(unknown, disposition)
        if rejected := run.rejected.take():
            yield rejected_item(rejected, run.now(), disposition)
        _end_limited(run)
        if results := session.take_results():
            yield log_entries(results, session.run_id)

    resource: DltResource = dlt.resource(
        generator,
        name=LOG_RESOURCE,
        table_name=SYNCS_TABLE,
        write_disposition="append",
        file_format="parquet",
        schema_contract=ALL_ROWS,
    )
    return resource


def _end_limited(run: Run) -> None:
    for result in run.log.results:
        if result.status == "running":
            result.end("incomplete", "ended by add_limit; the next run goes on")
            run.rounds.settle(result.entity, result.division)


def _is_read(session: Session, resource: DltResource) -> bool:
    """Whether a resource has been read, or was cut off by ``add_limit``."""
    declaration = declaration_of(resource)
    if declaration is None or declaration.reader.session is not session:
        return True
    is_cut_off = resource.limit is not None and resource.limit.exhausted
    return is_cut_off or session.has_ended(declaration.reader)


def declaration_of(resource: DltResource) -> Declaration | None:
    """This package's step in a resource; ``None`` if it is not an entity of this source."""
    for step in resource._pipe.steps:  # noqa: SLF001 (dlt copies resources; their steps stay the same)
        if isinstance(declaration := getattr(step, "_f", None), Declaration):
            return declaration
    return None


def run_behind(resource: DltResource) -> Run | None:
    """The run of a resource; ``None`` if it is not an entity of this source."""
    declaration = declaration_of(resource)
    return None if declaration is None else declaration.reader.session.run


def refuse_other_keys(resource: DltResource, keys: set[str]) -> None:
    """Make sure that rows are still merged by their own key after a script's adaptations.

    Raises:
        ConfigurationError: If they are not.
    """
    hints: Any = resource._hints or {}  # noqa: SLF001 (dlt has no other way to ask)
    for name in ("primary_key", "merge_key"):
        if hints.get(name):
            refuse_other_key(resource.name, name, hints[name], keys)


class Declaration:
    """Puts the entity's table into the dlt schema before the first item.

    This is a step rather than part of the generator, because steps run in the thread that changes the schema.
    """

    def __init__(self, reader: EntityReader) -> None:
        self.reader = reader
        self._schema: Schema | None = None

    def __call__(self, item: Any) -> Any:
        """Pass on the item."""
        if not is_extracting():
            return item
        schema, run = dlt.current.source_schema(), self.reader.session.run
        if schema is not self._schema:
            declare_table(
                schema,
                self.reader.shape,
                run.options.deletes,
                run.selection.names,
                self.reader.table,
            )
            if self.reader.strategy.kind == "log":
                log_only(schema, self.reader.table)
            self._schema = schema
        if isinstance(item, pa.Table) and EXTRA in item.column_names:
            field = item.schema.field(EXTRA)
            declare_column(schema, self.reader.table, field, self.reader.name)
        return item

    def append_if_new(self) -> None:
        """Append the rows of this load if all of them are new to their table."""
        if self.reader.appends:
            append_only(dlt.current.source_schema(), self.reader.table)
            self._schema = None  # a source may serve another round


class EntityReader:
    """One entity, all divisions, one dlt run.

    Attributes:
        session: The run and the objects that its resources share.
        shape: Shape of the entity's rows.
        name: Entity name.
        table: Name of its table.
        strategy: How its rows reach the destination.
        appends: Whether the rows of this load are new to the table, so that they are appended.
    """

    def __init__(self, session: Session, shape: Shape, rank: int) -> None:
        self.session = session
        self.shape = shape
        self.name = self.table = shape.entity.name
        self.appends = False
        self.strategy = Strategy()
        self._rank = rank
        self._is_adapted = False
        self._keys = {"division", *shape.keys}

    async def tables(self) -> AsyncIterator[pa.Table]:
        """Arrow batches; dlt's state is written just before the batch that it covers.

        A resource that is iterated without a pipeline returns pages from the beginning, and stores nothing.
        """
        if not is_extracting():
            preview = EntityReader(Session(self.session.run.preview()), self.shape, self._rank)
            async with preview.session.connected() as nothing:
                async for table in preview._preview(nothing):
                    yield table
            return
        try:
            async with self.session.connected() as warehouse:
                async for table in self._tables(warehouse):
                    yield table
        finally:
            self.session.end(self)

    async def _preview(self, warehouse: Warehouse) -> AsyncIterator[pa.Table]:
        resource = self._resource()
        states = self._begin(warehouse, resource)
        self.session.run.rounds.by_page.add(self.name)
        async for page in self._pages(states, warehouse, resource.pages):
            yield page
        failed = [r for r in self.session.run.log.results if r.status not in PREVIEWED]
        if failed:  # without a sync log that could record it
            raise StreamError(f"{failed[0].where}: {failed[0].status}: {failed[0].error}")

    def _resource(self) -> EntityResource:
        """The resource with a script's adaptations."""
        for resource in dlt.current.source().resources.values():
            if isinstance(resource, EntityResource) and resource.entity == self.name:
                return resource
        raise ConfigurationError(f"{self.name} is not read by a resource of this source")

    async def _tables(self, warehouse: Warehouse) -> AsyncIterator[pa.Table]:
        run, self.appends = self.session.run, False
        before = len(run.log.results)
        resource = self._resource()
        states = self._begin(warehouse, resource)
        history = History(self.shape) if self.name in run.options.history else None
        first_load = self._first_load(states, warehouse)
        yielded = False
        async for batch in self._loadable(states, warehouse, resource):
            yielded = True
            first_load.take(batch)
            if history is not None:
                history.hold(batch)
            yield batch
        states.close()
        if yielded:
            self._settle(first_load)
        # Only if deletions are loaded as rows; ADBC on Postgres refuses an empty file.
        elif not states.known and self.strategy.deletes_marked and run.options.deletes == "hard":
            yield rows.with_required(self._nothing(), self._keys)
        if history is not None and (item := history.item(column_hint)) is not None:
            self.session.hold_history(item)
        remember(run)
        mine = [r for r in run.log.results[before:] if r.entity == self.name]
        if not run.rounds.number and any(r.status == "incomplete" for r in mine):
            logger.warning("%s: not read to the end; run again, or see run_to_end", self.name)

    def _begin(self, warehouse: Warehouse, resource: EntityResource) -> DivisionStates:
        """The entity's cursors; the first entity of a load reads the state that all entities share."""
        refuse_other_keys(resource, self._keys)
        self.table = table_names().get(self.name, self.name)
        self._is_adapted = resource.is_adapted
        self._check_history()
        if is_extracting():
            self._choose_strategy(warehouse, resource)
        self.session.recall(warehouse)
        self.shape = as_loaded(self.shape, warehouse.columns(self.name))
        return DivisionStates(
            self.name,
            self.session.arrived,
            self.shape.content,
            self.session.run.options.window,
        )

    def _check_history(self) -> None:
        if self._is_adapted and self.name in self.session.run.options.history:
            raise ConfigurationError(
                f"{self.name}: history keeps rows as Exact sends them, which add_map and add_filter would "
                "not reach; leave out one of them"
            )

    def _choose_strategy(self, warehouse: Warehouse, resource: EntityResource) -> None:
        options, pipeline = self.session.run.options, warehouse.pipeline
        self.strategy = choose_strategy(
            pipeline, resource, deletes=options.deletes, change_log=options.change_log
        )
        if self.name in options.history and "scd2" not in merge_strategies(pipeline):
            raise ConfigurationError(
                f"{self.name}: history needs a destination that can merge by scd2; leave it out, or use "
                "change_log=True, which keeps all states"
            )
        if self.strategy.kind == "log":
            keys = ["division", *self.shape.keys]
            warehouse.read_as_log(self.name, keys, marked=options.deletes != "hard")

    async def _loadable(
        self, states: DivisionStates, warehouse: Warehouse, resource: EntityResource
    ) -> AsyncIterator[pa.Table]:
        """What is read, or the last state of each key where each may come once in a load."""
        items = self._items(states, warehouse, resource)
        if not self.strategy.takes_keys_once:
            async for item in items:
                yield item
            return
        is_versioned = self.shape.version == "timestamp"
        by = "timestamp" if is_versioned else rows.SYNCED_AT.name
        held = Held(["division", *self.shape.keys], by)
        async for item in items:
            held.hold(item)
        if (table := held.take()) is not None:
            yield table

    # -- first loads ---------------------------------------------------------------------------

    def _settle(self, first_load: FirstLoad) -> None:
        """Append the rows if all of them are new to their table."""
        if not first_load.is_over and not self.strategy.takes_keys_once:
            self.appends = True
            dlt.current.resource_state(self.name)["appended"] = first_load.rows

    def _first_load(self, states: DivisionStates, warehouse: Warehouse) -> FirstLoad:
        keys = ["division", *self.shape.keys]

        def divisions_with_rows() -> set[int]:
            return warehouse.divisions(self.name, marked=True)

        found = self.session.first_load(
            self.name, lambda: FirstLoad(keys, states.divisions, divisions_with_rows)
        )
        if self.strategy.takes_keys_once:
            found.end()
        return found

    def _loaded_twice(self, warehouse: Warehouse) -> Iterator[pa.Table]:
        """Rows that an append left twice in the table because its load was repeated, to be merged."""
        state = dlt.current.resource_state(self.name)
        if self.strategy.takes_keys_once:
            state.pop("appended", None)
        if state.get("appended", 0) and warehouse.count(self.name) != state["appended"]:
            for found in repeated_rows(warehouse, self.name, ["division", *self.shape.keys]):
                yield rows.again(found, self.shape.arrow)
        state.pop("appended", None)

    def _nothing(self) -> pa.Table:
        """The deletion of a row that cannot exist, which creates the table so that SQL finds it."""
        keys = {f.name: [rows.zero(f.type)] for f in self.shape.arrow if f.name in self._keys}
        return rows.deletions(self.shape.arrow, keys, at=self.session.run.next_stamp())

    # -- pages, one at a time ------------------------------------------------------------------

    async def _items(
        self, states: DivisionStates, warehouse: Warehouse, resource: EntityResource
    ) -> AsyncIterator[pa.Table]:
        """Batches of pages, or pages where ``add_limit`` counts what is yielded."""
        run = self.session.run
        run.rounds.by_page.discard(self.name)
        if resource.limit is None:
            async for batch in self._batches(states, warehouse):
                yield batch
            return
        run.rounds.by_page.add(self.name)
        async for page in self._pages(states, warehouse, resource.pages):
            yield page

    async def _pages(
        self, states: DivisionStates, warehouse: Warehouse, most: int | None
    ) -> AsyncIterator[pa.Table]:
        """Pages, one company after the other; no call is made before the caller wants a page.

        Args:
            states: Stores the cursors.
            warehouse: The destination.
            most: Number of pages; ``None`` for all.
        """
        if most == 0:
            return
        queue: asyncio.Queue[Item | None] = asyncio.Queue(1)
        reading = asyncio.create_task(self._read_all(states, queue))
        count = 0
        try:
            for table in self._loaded_twice(warehouse):
                yield rows.with_required(table, self._keys)
            while (item := await queue.get()) is not None:
                if item.cursor is not None:
                    states.store(item.division, item.cursor)
                    states.write()
                if item.table is not None:
                    count += 1
                    yield rows.with_required(item.table, self._keys)
                if count == most:
                    return
                queue.task_done()
            await reading
        finally:
            reading.cancel()

    # -- streams -------------------------------------------------------------------------------

    async def _batches(
        self, states: DivisionStates, warehouse: Warehouse
    ) -> AsyncIterator[pa.Table]:
        queue: asyncio.Queue[Item | None] = asyncio.Queue(QUEUE_ITEMS)
        reading = asyncio.create_task(self._read_all(states, queue))
        try:
            for table in self._loaded_twice(warehouse):
                yield rows.with_required(table, self._keys)
            async for batch in batches(queue, states, self.session.batched_rows):
                yield rows.with_required(batch, self._keys)
            await reading
        finally:
            reading.cancel()

    async def _read_all(self, states: DivisionStates, queue: asyncio.Queue[Item | None]) -> None:
        try:
            streams = await self._streams(states, queue)
            by_page = self.name in self.session.run.rounds.by_page
            async with asyncio.TaskGroup() as group:
                for _ in range(1 if by_page else STREAMS):
                    group.create_task(_read_each(streams))
        except* ExactError as errors:
            # Errors of several divisions concern the whole connection; the first one is raised.
            raise errors.exceptions[0] from None
        finally:
            await queue.put(None)

    async def _streams(
        self, states: DivisionStates, queue: asyncio.Queue[Item | None]
    ) -> Iterator[Coroutine[Any, Any, None]]:
        """The streams to read, a coroutine for each division; each is made when its turn comes."""
        put = partial(self._put, queue)
        run, entity = self.session.run, self.shape.entity
        changed = self._changed(states)
        if changed is not None:
            run.rounds.read_only(self.name, changed)
        if changed is not None and not changed:
            return iter(())  # before the list of divisions is read
        if entity.division_from or self.name == "deleted":
            return iter([SharedList(run, self.shape, put).read()])
        divisions = await run.divisions.chosen()
        if changed is not None:
            readable = {division.code for division in divisions if not division.blocked}
            states.note_unreadable(changed - readable, run.options.notices or {})
        return (
            Stream(
                run, self.shape, division, states.cursor(division.code),
                rank=self._rank, emit=partial(put, division.code),
            ).read()
            for division in divisions
            if not run.rounds.is_settled(self.name, division.code)
        )  # fmt: skip

    async def _put(
        self,
        queue: asyncio.Queue[Item | None],
        division: int,
        table: pa.Table | None,
        cursor: Cursor | None,
    ) -> None:
        run = self.session.run
        is_held = self.name in run.options.history or self.strategy.takes_keys_once
        if table is not None and is_held:
            run.rounds.count_history_rows(table.num_rows)
        if cursor is not None and self._is_adapted:  # rows may not arrive
            cursor = replace(cursor, stored_min=0, stored_until=0.0)
        await queue.put(Item(division, table, cursor))
        if self.name in run.rounds.by_page:
            await queue.join()

    def _changed(self, states: DivisionStates) -> set[int] | None:
        """Divisions with webhooks that the rows do not cover; ``None`` if webhooks do not matter."""
        options = self.session.run.options
        if options.notices is None:
            return None
        return {
            division
            for (entity, division), mark in options.notices.items()
            if entity == self.name
            and division in (options.divisions or {division})
            and mark not in {states.cursor(division).noticed, states.unreadable(division)}
        }
