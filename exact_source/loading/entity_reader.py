"""Reads one entity: its divisions in parallel streams. Yields Arrow batches and stores their cursors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import dlt
import pyarrow as pa

from ..engine import rows
from ..engine.result import StreamResult
from ..engine.shape import Shape
from ..errors import ConfigurationError, ExactError, StreamError
from .batches import Batch, Item
from .entity_resource import EntityResource, table_names
from .entity_streams import EntityStreams
from .first_load import FirstLoad, repeated_rows
from .history import History
from .session import Session
from .state import LOG_RESOURCE, DivisionStates, divisions_read, is_extracting, remember
from .strategy import Held, Strategy, choose_strategy, merge_strategies
from .tables import as_loaded
from .warehouse import Warehouse

logger = logging.getLogger(__name__)

QUEUE_ITEMS = 16
PREVIEWED = {"complete", "running", "incomplete"}


class EntityReader:
    """Reads one entity of all divisions in one dlt run.

    Attributes:
        session: The run and the objects that its resources share.
        shape: Shape of the entity's rows.
        name: Entity name.
        table: Name of its table.
        strategy: How its rows are written to the destination.
        appends: Whether all rows of this load are new to the table, so that they are appended.
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
        asyncio.get_running_loop().set_exception_handler(_report)
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
        self.session.run.rounds.read_by_page(self.name)
        async for page in self._pages(states, warehouse, resource.pages):
            yield page
        failed = [r for r in self.session.run.log.results if r.status not in PREVIEWED]
        if failed:  # without a sync log that could record it
            raise StreamError(f"{failed[0].where}: {failed[0].status}: {failed[0].error}")

    def _resource(self) -> EntityResource:
        """The resource, with the user's adaptations."""
        for resource in dlt.current.source().resources.values():
            if isinstance(resource, EntityResource) and resource.entity == self.name:
                return resource
        raise ConfigurationError(
            f"{self.name} is only the parent of a transformer; load it too, as in "
            f"pipeline.run([source.{self.name}, source.{self.name} | transformer])"
        )

    async def _tables(self, warehouse: Warehouse) -> AsyncIterator[pa.Table]:
        run, self.appends = self.session.run, False
        before = len(run.log.results)
        resource = self._resource()
        states = self._begin(warehouse, resource)
        history = self._history()
        first_load = self._first_load(warehouse)
        yielded = False
        async for batch in self._loadable(states, warehouse, resource):
            yielded = True
            first_load.take(batch)
            if history is not None:
                history.hold(batch)
            self._refuse_unlogged_rows()
            yield batch
        self._refuse_unlogged_rows()
        states.close()
        if yielded:
            self._settle(first_load)
        # Only if deletions are loaded as rows; ADBC on Postgres refuses an empty file.
        elif self._must_create_table(states, warehouse):
            yield rows.with_required(self._impossible_deletion(), self._keys)
        remember(run)
        self._warn([r for r in run.log.results[before:] if r.entity == self.name])

    def _must_create_table(self, states: DivisionStates, warehouse: Warehouse) -> bool:
        """Whether the table may still be missing after this load, so that a query on it would fail."""
        is_marked = self.strategy.deletes_marked and self.session.run.options.deletes == "hard"
        return is_marked and not states.known and not warehouse.count(self.name)

    def _history(self) -> History | None:
        """The history of a load; the sync log loads it even if ``add_limit`` ends this generator."""
        if self.name not in self.session.run.options.history:
            return None
        history = History(self.shape)
        self.session.hold_history(self.name, history)
        return history

    def _warn(self, results: Sequence[StreamResult]) -> None:
        if self.session.run.rounds.number:
            return
        if any(r.status == "incomplete" for r in results):
            logger.warning("%s: not read to the end; run again, or see run_to_end", self.name)
        for result in results if self._is_alone else ():
            if result.has_failed:
                logger.warning("%s: %s: %s", result.where, result.status, result.error)

    def _begin(self, warehouse: Warehouse, resource: EntityResource) -> DivisionStates:
        """The entity's cursors; the first entity of a load reads the state that all entities share."""
        resource.check_keys(self._keys)
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
        if self.name not in self.session.run.options.history:
            return
        if self._is_alone:
            raise ConfigurationError(
                f"{self.name}: history needs the sync log, which a resource that is run alone leaves out; "
                f'run the source, or source.with_resources("{self.name}")'
            )
        if self._is_adapted:
            raise ConfigurationError(
                f"{self.name}: history keeps rows as Exact sends them, which add_map and add_filter would "
                "not reach; leave out one of them"
            )

    @property
    def _is_alone(self) -> bool:
        """Whether the load has no sync log, because a script runs the resource instead of the source."""
        return is_extracting() and LOG_RESOURCE not in dlt.current.source().resources.selected

    def _refuse_unlogged_rows(self) -> None:
        """Raise if there are rejected rows but no sync log to load them, before the cursor passes them."""
        if self.session.run.rejected.waiting and self._is_alone:
            raise StreamError(
                f"{self.name}: rows without a key cannot be stored in _exact_rejected, because the resource "
                f'is run alone; run the source, or source.with_resources("{self.name}")'
            )

    def _choose_strategy(self, warehouse: Warehouse, resource: EntityResource) -> None:
        options, pipeline = self.session.run.options, warehouse.pipeline
        self.strategy = choose_strategy(
            pipeline, resource, deletes=options.deletes, change_log=options.change_log
        )
        if self.name in options.history and "scd2" not in merge_strategies(pipeline):
            raise ConfigurationError(
                f"{self.name}: history needs a destination that can merge by scd2; leave it out, or set "
                "sources.exact_online.change_log to true, which keeps all states"
            )
        if self.strategy.kind == "log":
            keys = ["division", *self.shape.keys]
            warehouse.read_as_log(self.name, keys, marked=options.deletes != "hard")

    # Plain functions, because each async generator would add a frame per batch.

    def _loadable(
        self, states: DivisionStates, warehouse: Warehouse, resource: EntityResource
    ) -> AsyncIterator[pa.Table]:
        """The tables to load, reduced to the last state of each key if the strategy requires that."""
        items = self._items(states, warehouse, resource)
        return self._last_states(items) if self.strategy.takes_keys_once else items

    def _items(
        self, states: DivisionStates, warehouse: Warehouse, resource: EntityResource
    ) -> AsyncIterator[pa.Table]:
        """Batches of pages, or single pages if ``add_limit`` counts the yielded items."""
        is_limited = resource.limit is not None
        self.session.run.rounds.read_by_page(self.name, one_by_one=is_limited)
        if is_limited:
            return self._pages(states, warehouse, resource.pages)
        return self._batches(states, warehouse)

    async def _last_states(self, items: AsyncIterator[pa.Table]) -> AsyncIterator[pa.Table]:
        """One table with the last state of each key."""
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

    def _first_load(self, warehouse: Warehouse) -> FirstLoad:
        keys, session = ["division", *self.shape.keys], self.session

        def read_before() -> frozenset[int]:
            return divisions_read(self.name, session.arrived, session.run.options.window)

        def divisions_with_rows() -> set[int]:
            return warehouse.divisions(self.name, marked=True)

        found = session.first_load(
            self.name, lambda: FirstLoad(keys, read_before, divisions_with_rows)
        )
        # Of a list of all divisions, several workers may load the same rows first.
        is_shared = self.shape.entity.division_from and session.run.leases is not None
        if self.strategy.takes_keys_once or is_shared:
            found.end()
        return found

    def _loaded_twice(self, warehouse: Warehouse) -> Iterator[pa.Table]:
        """Rows that are stored twice because the load of an append was repeated; they are merged."""
        state = dlt.current.resource_state(self.name)
        if self.strategy.takes_keys_once:
            state.pop("appended", None)
        if state.get("appended", 0) and warehouse.count(self.name) != state["appended"]:
            for found in repeated_rows(warehouse, self.name, ["division", *self.shape.keys]):
                yield rows.again(found, self.shape.arrow)
        state.pop("appended", None)

    def _impossible_deletion(self) -> pa.Table:
        """The deletion of a row that cannot exist, which creates the table so that SQL finds it."""
        keys = {f.name: [rows.zero(f.type)] for f in self.shape.arrow if f.name in self._keys}
        return rows.deletions(self.shape.arrow, keys, at=self.session.run.next_stamp())

    # -- pages, one at a time ------------------------------------------------------------------

    async def _pages(
        self, states: DivisionStates, warehouse: Warehouse, most: int | None
    ) -> AsyncIterator[pa.Table]:
        """Pages, one company after the other; no call is made before the caller requests a page.

        Args:
            states: Stores the cursors.
            warehouse: The destination.
            most: Number of pages; ``None`` for all.
        """
        if most == 0:
            return
        queue: asyncio.Queue[Item | None] = asyncio.Queue(1)
        reading = asyncio.create_task(self._streams(states).read(queue))
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

    # -- batches -------------------------------------------------------------------------------

    async def _batches(
        self, states: DivisionStates, warehouse: Warehouse
    ) -> AsyncIterator[pa.Table]:
        """Batches of whole items."""
        queue: asyncio.Queue[Item | None] = asyncio.Queue(QUEUE_ITEMS)
        reading = asyncio.create_task(self._streams(states).read(queue))
        batch = Batch(states, self.session.batched_rows)
        try:
            for table in self._loaded_twice(warehouse):
                yield rows.with_required(table, self._keys)
            while (item := await queue.get()) is not None:
                if batch.add(item) and (found := batch.take()) is not None:
                    yield rows.with_required(found, self._keys)
            if (found := batch.take()) is not None:
                yield rows.with_required(found, self._keys)
            await reading
        finally:
            batch.drop()
            reading.cancel()

    def _streams(self, states: DivisionStates) -> EntityStreams:
        keeps_history = self.name in self.session.run.options.history
        return EntityStreams(
            self.session.run,
            self.shape,
            states,
            rank=self._rank,
            holds_rows=keeps_history or self.strategy.takes_keys_once,
            may_drop_rows=self._is_adapted,
        )


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report an error of dlt's event loop.

    If a step of a resource fails, dlt closes all asynchronous generators of its loop while tasks still use
    them, and stops the loop, perhaps before it has fetched the same error of another resource. asyncio would
    print an error for each of them beside the real one.
    """
    is_repeated = isinstance(context.get("exception"), ExactError)
    if "asyncgen" not in context and not is_repeated:
        loop.default_exception_handler(context)
