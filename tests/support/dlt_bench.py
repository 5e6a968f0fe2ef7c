"""The bench of ``tests/support/bench.py`` with the complete source: through dlt into a database."""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import dlt
import duckdb
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source.engine.result import StreamResult
from exact_source.errors import ExactError, causes
from exact_source.loading.entries import items_of
from exact_source.sandbox import Sandbox
from exact_source.sync.runner import sync
from tests.support.bench import NEWER, Bench, Stopped, shape_of
from tests.support.world import World, assert_same_rows, expected_rows, key_fields, sql_client

KILL_PATIENCE_S = 120.0  # limit for a process that should kill itself


class NotLoadedError(Exception):
    """The destination cannot be reached."""


class RoundsOverError(Exception):
    """All rounds of a sync are over that were asked for."""


def ordered(failure: Exception) -> BaseException:
    """The cause of a failure, which the test ordered.

    Raises:
        Exception: The failure, if it did not.
    """
    for cause in causes(failure):
        if isinstance(cause, Stopped | NotLoadedError):
            return cause
    raise failure


class OpenFiles:
    """DuckDB files that stay open, because opening and closing one takes longer than most statements."""

    def __init__(self) -> None:
        self._open: dict[str, Any] = {}

    def keep(self, pipeline: dlt.Pipeline) -> None:
        """Keep the file of a pipeline open; one file at a time."""
        if not str(pipeline.destination.destination_type).endswith(".duckdb"):
            return
        path = str(pipeline.sql_client().credentials.database)
        if path not in self._open:
            self.close()
            self._open[path] = duckdb.connect(path)

    def close(self) -> None:
        """Close it, because a forked process must open it itself."""
        while self._open:
            self._open.popitem()[1].close()


OPEN_FILES = OpenFiles()


class DltBench(Bench):
    """A sandbox, a database, and runs that may stop anywhere.

    Args:
        box: The companies.
        folder: Folder for dlt's working folders.
        destination: dlt destination.
        dataset: Its schema in the destination.
        name: Pipeline name.
        ahead_s: Seconds by which the host's clock is ahead.
    """

    def __init__(
        self,
        box: Sandbox,
        folder: Path,
        destination: Any,
        dataset: str,
        *,
        name: str = "exact_online",
        ahead_s: float = 0.0,
    ) -> None:
        super().__init__(box, ahead_s)
        self._folder = folder
        self._destination = destination
        self._dataset = dataset
        self._name = name
        self._others = itertools.count(1)
        self.pipeline = self._new_pipeline()

    def _new_pipeline(self) -> dlt.Pipeline:
        return dlt.pipeline(
            self._name,
            destination=self._destination,
            dataset_name=self._dataset,
            pipelines_dir=str(self._folder / self._dataset),
        )

    # -- others who load, and what they do to the tables ---------------------------------------

    @property
    def owner(self) -> object:
        """The name of the pipeline."""
        return self._name

    def host(self, ahead_s: float) -> DltBench:
        """Another host with the same pipeline, and a working folder of its own."""
        return self._other(ahead_s, self._name)

    def writer(self, ahead_s: float) -> DltBench:
        """Another pipeline into the same dataset."""
        return self._other(ahead_s, f"{self._name}_{next(self._others)}")

    def _other(self, ahead_s: float, name: str) -> DltBench:
        folder = self._folder / f"{self._dataset}_{uuid4().hex[:8]}"
        return DltBench(
            self.box, folder, self._destination, self._dataset, name=name, ahead_s=ahead_s
        )

    def drop(self, entity: str) -> None:
        """Drop a table."""
        self._execute(f"DROP TABLE {self._qualified(entity)}")

    def truncate(self, entity: str) -> None:
        """Remove all rows of a table."""
        self._execute(f"DELETE FROM {self._qualified(entity)}")

    def back_up(self, entity: str) -> None:
        """Copy a table; the copy is removed with the database."""
        copy, table = self._qualified(f"copy_of_{entity}"), self._qualified(entity)
        with suppress(DatabaseUndefinedRelation):
            self._execute(f"DROP TABLE IF EXISTS {copy}")
            self._execute(f"CREATE TABLE {copy} AS SELECT * FROM {table}")
            found = self._execute(f"SELECT division, COUNT(*) FROM {copy} GROUP BY division")
            self._backups[entity] = Counter({int(code): int(n) for code, n in found})

    def restore(self, entity: str) -> None:
        """Put the copy in the place of the rows."""
        self.truncate(entity)
        copy, table = self._qualified(f"copy_of_{entity}"), self._qualified(entity)
        self._execute(f"INSERT INTO {table} SELECT * FROM {copy}")

    def backed_up(self, entity: str) -> Counter[int] | None:
        """Number of rows of each division in the copy; ``None`` without one."""
        found: Counter[int] | None = self._backups.get(entity)
        return found

    def _qualified(self, table: str) -> str:
        return str(sql_client(self.pipeline).make_qualified_table_name(table))

    def _execute(self, statement: str) -> list[Any]:
        OPEN_FILES.keep(self.pipeline)
        with sql_client(self.pipeline) as client:
            return list(client.execute_sql(statement) or ())

    def bounds(self, entity: str, division: int) -> tuple[int, int] | None:
        """Fewest and most rows that the stream expects; ``None`` if it reads everything anyway."""
        entry = self._entries().get(entity, {}).get(str(division), {})
        # The load of the newest entry may have failed.
        entries = [entry, *([entry["before"]] if "before" in entry else [])]
        if self.pipeline.has_pending_data or any("stored_max" not in found for found in entries):
            return None
        return (
            min(found.get("stored_min", 0) for found in entries),
            max(found["stored_max"] for found in entries),
        )

    def _entries(self) -> dict[str, dict[str, Any]]:
        sources: Any = self.pipeline.state.get("sources", {})
        resources = sources.get("exact_online", {}).get("resources", {})
        return {entity: dict(items_of(state)) for entity, state in resources.items()}

    def kill(self, entities: Sequence[str], step: int, **options: Any) -> bool:
        """Sync in a process that is killed at a step or while it loads; returns whether it got that far.

        The process is a fork of this one. Only the time that it took is passed back.
        """
        time_of_child = mmap.mmap(-1, 8)
        OPEN_FILES.close()
        child = os.fork()
        if not child:
            self._sync_until_killed(entities, step, options, time_of_child)
        deadline = time.monotonic() + KILL_PATIENCE_S
        ended, status = os.waitpid(child, os.WNOHANG)
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)
            ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        (now,) = struct.unpack("d", time_of_child)
        self.box.clock.set(max(self.box.clock.now(), now))
        self.pipeline = self._new_pipeline()
        return os.waitstatus_to_exitcode(status) == -signal.SIGKILL

    def _sync_until_killed(
        self, entities: Sequence[str], step: int, options: dict[str, Any], time_of_child: mmap.mmap
    ) -> None:
        steps = itertools.count(1)

        def during() -> None:
            time_of_child[:] = struct.pack("d", self.box.clock.now())
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        load = dlt.Pipeline.load

        def load_half(*args: Any, **more: Any) -> Any:
            if step % 3 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            info = load(*args, **more)
            if step % 3 == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return info

        try:
            dlt.Pipeline.load = load_half  # type: ignore[method-assign]
            self.sync(entities, during=during, **options)
        finally:
            os._exit(0)

    # -- loads ---------------------------------------------------------------------------------

    def sync(
        self,
        entities: Sequence[str],
        *,
        rounds: int = 200,
        during: Callable[[], None] = lambda: None,
        loads: Iterator[str] | None = None,
        **options: Any,
    ) -> list[StreamResult]:
        """As ``Bench.sync``; a load that ``fails`` waits for the next sync, ``in part`` is dropped."""
        run = self.make_run(**options)
        run.log.on_progress = lambda _result: during()
        self.wire.before_call = during
        self.pipeline = self._new_pipeline()
        fate = "arrives"

        def on_round(number: int) -> None:
            nonlocal fate
            if number > rounds:
                raise RoundsOverError
            fate = "arrives" if loads is None else next(loads, "arrives")

        self._let_loads_fail(lambda: fate)
        try:
            outcome = sync(self.pipeline, run, entities, on_round=on_round)
        except RoundsOverError:
            return []
        except (PipelineStepFailed, NotLoadedError) as failure:
            stop = ordered(failure)
            if fate == "in part":
                fate = "arrives"  # dlt ends what it drops with a load
                self.pipeline.abort_packages()
            if isinstance(stop, Stopped):
                raise Stopped from failure
            return []
        if outcome.error is not None:
            raise outcome.error
        return outcome.results

    def _let_loads_fail(self, fate: Callable[[], str]) -> None:
        pipeline: Any = self.pipeline
        load = pipeline.load

        def load_or_fail(*args: Any, **more: Any) -> Any:
            if fate() != "arrives":
                raise NotLoadedError
            return load(*args, **more)

        pipeline.load = load_or_fail

    def newer(self) -> set[tuple[str, int]]:
        # The load of the newest entry may have failed; then the one before it counts.
        return {
            (entity, int(code))
            for entity, entries in self._entries().items()
            for code, entry in entries.items()
            if NEWER in entry and NEWER in entry.get("before", {})
        }

    def half_read(self) -> set[tuple[str, int]]:
        return {
            (entity, int(code))
            for entity, entries in self._entries().items()
            for code, entry in entries.items()
            if "scan" in entry or "scan" in entry.get("before", {})
        }

    def table(self, entity: str, division: int) -> list[dict[str, Any]]:
        me: Any = self
        if not self._has_table(entity):
            return []
        try:
            return World.table(me, entity, division)
        except DatabaseUndefinedRelation:
            return []

    def _has_table(self, entity: str) -> bool:
        name: Any = self.pipeline.default_schema_name
        return name is not None and entity in self.pipeline.schemas[name].tables

    def keys(self, entity: str, division: int) -> set[tuple[Any, ...]]:
        if not self._has_table(entity):
            return set()
        (key,) = key_fields(entity)
        lives = f"division = {division} AND _deleted_at IS NULL"
        with suppress(DatabaseUndefinedRelation):
            found = self._execute(
                f"SELECT {key.lower()} FROM {self._qualified(entity)} WHERE {lives}"
            )
            return {(division, value) for (value,) in found}
        return set()

    def assert_equal(self, entity: str, route: str, divisions: Iterable[int]) -> None:
        kind = shape_of(entity, route).plan.full.kind
        for division in divisions:
            wanted = expected_rows(self.box, entity, division, by=kind)
            assert_same_rows(entity, self.table(entity, division), wanted)


__all__ = ["DltBench", "ExactError"]
