"""The bench of ``tests/support/bench.py`` with all of the source: through dlt into a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dlt
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source.engine.result import StreamResult
from exact_source.errors import ExactError, causes
from exact_source.sandbox import Sandbox
from exact_source.sync.runner import sync
from tests.support.bench import Bench, Stopped, shape_of
from tests.support.world import World, assert_same_rows, expected_rows, key_fields


class NotLoadedError(Exception):
    """The destination is away."""


class DltBench(Bench):
    """A sandbox, a database, and runs that may stop anywhere.

    Args:
        box: The companies.
        folder: For dlt's working folders.
        destination: Of dlt.
        dataset: Its schema in the destination.
    """

    def __init__(self, box: Sandbox, folder: Path, destination: Any, dataset: str) -> None:
        super().__init__(box)
        self._folder = folder
        self._destination = destination
        self._dataset = dataset
        self.pipeline = self._new_pipeline()

    def _new_pipeline(self) -> dlt.Pipeline:
        return dlt.pipeline(
            "exact_online",
            destination=self._destination,
            dataset_name=self._dataset,
            pipelines_dir=str(self._folder / self._dataset),
        )

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
        self._wire.before_call = during
        self.pipeline = self._new_pipeline()
        fate = "arrives"

        def on_round(number: int) -> None:
            nonlocal fate
            if number > rounds:
                raise Stopped
            fate = "arrives" if loads is None else next(loads, "arrives")

        self._let_loads_fail(lambda: fate)
        try:
            outcome = sync(self.pipeline, run, entities, on_round=on_round)
        except (PipelineStepFailed, NotLoadedError) as failure:
            if not any(isinstance(c, Stopped | NotLoadedError) for c in causes(failure)):
                raise
            if fate == "in part":
                self.pipeline.abort_packages()
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

    def half_read(self) -> set[tuple[str, int]]:
        sources: Any = self.pipeline.state.get("sources", {})
        resources = sources.get("exact_online", {}).get("resources", {})
        return {
            (entity, int(code))
            for entity, state in resources.items()
            for code, entry in state.get("divisions", {}).items()
            if "scan" in entry or "scan" in entry.get("before", {})
        }

    def table(self, entity: str, division: int) -> list[dict[str, Any]]:
        me: Any = self
        schemas = self.pipeline.schemas
        name: Any = self.pipeline.default_schema_name
        if name is None or entity not in schemas[name].tables:
            return []
        return World.table(me, entity, division)

    def keys(self, entity: str, division: int) -> set[tuple[Any, ...]]:
        (key,) = key_fields(entity)
        rows = self.table(entity, division)
        return {(division, row[key.lower()]) for row in rows if not row["_deleted_at"]}

    def assert_equal(self, entity: str, route: str, divisions: Iterable[int]) -> None:
        kind = shape_of(entity, route).plan.full.kind
        for division in divisions:
            wanted = expected_rows(self.box, entity, division, by=kind)
            assert_same_rows(entity, self.table(entity, division), wanted)


__all__ = ["DltBench", "ExactError"]
