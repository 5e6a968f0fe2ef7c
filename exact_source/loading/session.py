"""The objects that the resources of a run share while dlt extracts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dlt

from ..client.adaptations import AdaptationFile
from ..client.error_log import ErrorFile
from ..client.limits import DAY_S
from ..engine import rows
from ..engine.dedupe import Total
from ..engine.result import StreamResult
from ..engine.run import Run
from .entity_resource import table_names
from .first_load import FirstLoad
from .history import History
from .overtaken import note_loads, refuse_waiting_rows
from .state import (
    all_entries,
    earlier_runs,
    is_extracting,
    load_id,
    load_ids,
    refuse_newer_version,
    refuse_second_reader,
)
from .tables import column_hint
from .warehouse import NoTables, Warehouse
from .working_folder import make_folder_private
from .writer_lock import lock_until_loaded

PATIENCE_S = 3600.0  # how long a window waits for other loads
# Rows of the sync log that are written together. As Python objects, the rows of thousands of companies would
# take more memory than anything else.
LOG_ROWS = 4096


class Connected:
    """The time during which a resource uses the connection.

    It is not an async generator: if one resource fails, dlt closes all generators at once, while others
    still read.
    """

    def __init__(self, session: Session, pipeline: Callable[[], dlt.Pipeline]) -> None:
        self._session, self._pipeline = session, pipeline

    async def __aenter__(self) -> Warehouse:
        return self._session.enter(self._pipeline)

    async def __aexit__(self, *_: object) -> None:
        await self._session.leave()


class Session:
    """One run, over all its load packages.

    Args:
        run: The run.

    Attributes:
        run: The run.
        batched_rows: Number of rows of all entities that wait for dlt.
        arrived: Load packages of earlier runs that the destination lists as loaded.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.batched_rows = Total()
        self.arrived: set[str] = set()
        self._id = uuid4().hex
        self._warehouse: Warehouse | None = None
        self._users = 0
        self._first_loads: dict[str, FirstLoad] = {}
        self._histories: dict[str, History] = {}
        self._ended: Counter[tuple[str, object]] = Counter()
        self._logged = 0
        self._knows_earlier_calls = False

    @property
    def run_id(self) -> str:
        """Id of the sync, or of the load if the caller repeats a run of one round."""
        return self._id if self.run.rounds.number else load_id()

    # -- its two ends --------------------------------------------------------------------------

    def connected(self, pipeline: Callable[[], dlt.Pipeline] = dlt.current.pipeline) -> Connected:
        """Open the connection and the destination with the first resource, and close them with the last."""
        return Connected(self, pipeline)

    def enter(self, pipeline: Callable[[], dlt.Pipeline]) -> Warehouse:
        """Count one more resource; the first one opens the connection."""
        if self._warehouse is None:
            self._warehouse = self._open(pipeline()) if is_extracting() else self._open_nothing()
        self._users += 1
        return self._warehouse

    async def leave(self) -> None:
        """Count one resource less; the last one closes the connection."""
        self._users -= 1
        if self._users == 0:
            await self._close()

    def _open(self, pipeline: dlt.Pipeline) -> Warehouse:
        warehouse = Warehouse(pipeline, table_names(), repairs=True)
        warehouse.check()
        if self.run.leases is None:
            # Several pipelines may read windows at the same time: each waits for its turn.
            wait_s = PATIENCE_S if self.run.options.window else 0.0
            lock_until_loaded(pipeline, self.run.clock.now(), wait_s)
        make_folder_private(pipeline)
        self.run.open(warehouse)
        connection = self.run.connection
        connection.share_errors(error_file(pipeline))
        connection.adapt(adaptation_file(pipeline).load(connection.client.base_url))
        self._count_earlier_calls(warehouse)
        return warehouse

    def _open_nothing(self) -> Warehouse:
        warehouse = NoTables()
        self.run.open(warehouse)
        return warehouse

    async def _close(self) -> None:
        warehouse, self._warehouse = self._warehouse, None
        try:
            if warehouse is not None:
                warehouse.close()
        finally:
            await self.run.close()

    def _count_earlier_calls(self, warehouse: Warehouse) -> None:
        """Count today's calls of earlier runs toward the contract; once."""
        run = self.run
        if run.limits.contract is not None and not self._knows_earlier_calls:
            now = run.clock.now()
            calls = warehouse.calls_since(rows.instant(now // DAY_S * DAY_S))
            run.limits.note_earlier_calls(calls, now)
            self._knows_earlier_calls = True

    # -- what is known of earlier runs ----------------------------------------------------------

    def recall(self, warehouse: Warehouse) -> None:
        """Read the state of earlier runs, once per load package."""
        if self._ended[load_id(), "recalled"]:
            return
        self._ended[load_id(), "recalled"] += 1
        if is_extracting():
            refuse_second_reader(self._id)
            refuse_waiting_rows(warehouse.pipeline)
            note_loads(warehouse)
        refuse_newer_version()
        self.arrived = warehouse.completed_loads(load_ids(all_entries()))
        self.run.recall(earlier_runs(self.arrived, self.run.options))

    def first_load(self, entity: str, make: Callable[[], FirstLoad]) -> FirstLoad:
        """The first load of an entity, which continues over the rounds of a process like its cursors."""
        if entity not in self._first_loads:
            self._first_loads[entity] = make()
        return self._first_loads[entity]

    # -- the sync log --------------------------------------------------------------------------

    def end(self, reader: object) -> None:
        """Note that a resource has been read, in this load package."""
        # Keyed by id: the reader itself as a key would keep the tables of every round in memory.
        self._ended[load_id(), id(reader)] += 1

    def has_ended(self, reader: object) -> bool:
        """Whether a resource has been read, in this load package."""
        return bool(self._ended[load_id(), id(reader)])

    def hold_history(self, entity: str, history: History) -> None:
        """Keep an entity's history rows until the sync log is written; replaces those of a failed load."""
        self._histories[entity] = history

    def take_history(self) -> Iterator[Any]:
        """Return the rows for the tables of earlier states; the caller loads them."""
        taken, self._histories = self._histories, {}
        return filter(None, (history.item(column_hint) for history in taken.values()))

    def take_results(self) -> Iterator[list[StreamResult]]:
        """The results that are not in the sync log yet, in groups; the caller loads them."""
        results = self.run.log.results
        while self._logged < len(results):
            taken = results[self._logged : self._logged + LOG_ROWS]
            self._logged += len(taken)
            yield taken


def error_file(pipeline: dlt.Pipeline) -> ErrorFile:
    """The error file of a pipeline; it is outside the working folder, which may be deleted."""
    name = f"{pipeline.pipeline_name}.exact-errors.json"
    return ErrorFile(Path(pipeline.pipelines_dir) / name)


def adaptation_file(pipeline: dlt.Pipeline) -> AdaptationFile:
    """The file with the findings of ``verify`` about a pipeline's connection."""
    name = f"{pipeline.pipeline_name}.exact-adaptations.json"
    return AdaptationFile(Path(pipeline.pipelines_dir) / name)
