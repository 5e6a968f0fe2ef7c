"""The world of ``tests/support/world.py`` without dlt and without sockets, for tests of the engine.

``Ledger`` replaces the destination. ``tests/dlt`` tests what dlt does with the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from dlt.common.schema.typing import TColumnSchema

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.client.client import ExactClient
from exact_source.client.limits import Limits
from exact_source.engine.cursors import Cursor
from exact_source.engine.functions import shape_of
from exact_source.engine.result import StreamResult
from exact_source.engine.rows import concat
from exact_source.engine.run import EarlierRuns, Run
from exact_source.engine.shape import Shape
from exact_source.engine.shared_lists import SharedList
from exact_source.engine.starts import refresh_begun_at
from exact_source.errors import ExactError
from exact_source.loading.tables import as_loaded, column_hint
from exact_source.loading.warehouse import loaded_type
from exact_source.source import make_options
from exact_source.sync.outcome import Outcome, clock_notes, outcome_of
from tests.support.bench import (
    BASE_URL,
    Ledger,
    Load,
    Tokens,
    Wire,
    make_stream,
    tombstone_starts,
)
from tests.support.world import BETWEEN_SYNCS_S, Clock, Row, World


class Tables(Ledger):
    """A ledger that keeps columns missing from later loads, as a database does."""

    def __init__(self) -> None:
        super().__init__()
        self.hints: dict[str, dict[str, TColumnSchema]] = {}
        self.errors: Mapping[str, Sequence[float]] = {}
        self.withdrawn: Mapping[str, Sequence[str]] = {}

    def declare(self, shape: Shape) -> None:
        """Create the columns of an entity's table, as dlt does before the first row."""
        self._declare(shape, shape.arrow)

    def _declare(self, shape: Shape, fields: pa.Schema) -> None:
        hints = self.hints.setdefault(shape.entity.name, {})
        for field in fields:
            hints.setdefault(field.name, column_hint(field))

    def merge(self, shape: Shape, tables: Iterable[pa.Table], deletes: str) -> None:
        kept = list(tables)
        for table in kept:
            self._declare(shape, table.schema)
        earlier = self.schemas.get(shape.entity.name)
        super().merge(shape, kept, deletes)
        if earlier is not None:
            latest = self.schemas[shape.entity.name]
            gone = [field for field in earlier if field.name not in latest.names]
            self.schemas[shape.entity.name] = pa.schema([*latest, *gone])

    def columns(self, table: str) -> Mapping[str, TColumnSchema]:
        return self.hints.get(table, {})

    def rows(
        self, table: str, division: int, key: str, values: Sequence[str | int]
    ) -> Iterator[pa.Table]:
        """Whole rows, with the declared columns that no load has filled."""
        declared = pa.schema([(n, loaded_type(hint)) for n, hint in self.columns(table).items()])
        for found in super().rows(table, division, key, values) if table in self.schemas else ():
            yield concat([found, declared.empty_table()])

    def remember(self, run: Run) -> None:
        """Keep the state that dlt would keep for the next run."""
        self.errors = run.limits.errors(run.clock.now())
        self.withdrawn = {path: list(gone) for path, gone in run.connection.withdrawn.items()}


class EngineWorld(World):
    """A sandbox in the same process, and a reader."""

    def __post_init__(self) -> None:
        self.clock = Clock(self.box.clock)
        self.ledger = Tables()
        self._tokens = Tokens(self.box)
        self._wire = Wire(self.box)

    def login(self) -> None:
        """Do nothing: tokens are always valid here."""

    def make_run(self, *, limits: Limits | None = None, **options: Any) -> Run:
        """A run as a new process would make it, some time after the last one."""
        self.clock.sandbox.advance(BETWEEN_SYNCS_S)
        shared = limits or Limits()

        def connect() -> ExactClient:
            return ExactClient(
                self._tokens, BASE_URL, limits=shared, clock=self.clock, transport=self._wire
            )

        return Run(make_options(**options), connect, clock=self.clock, limits=shared)

    def sync_with(self, run: Run, *entities: str) -> Outcome:
        """Run rounds until everything is read, as ``exact_source.sync.runner.sync`` makes them."""
        shapes = {name: self._shape(name, run) for name in entities}
        error: ExactError | None = None
        try:
            self._read_in_rounds(run, shapes)
            error = run.rounds.fatal
        except ExactError as reason:
            error = reason
        return outcome_of(run, error, clock_notes(run.limits.skew_s))

    def one_round(self, *entities: str, **options: Any) -> list[StreamResult]:
        """Run one round, which may stop before the end."""
        run = self.make_run(**options)
        self._read_round(run, {name: self._shape(name, run) for name in entities})
        return run.log.results

    def table(self, name: str, division: int | None = None) -> list[Row]:
        rows = self.ledger.rows_of[name].values()
        names = list(self.ledger.hints.get(name, ()))
        mine = [r for r in rows if division is None or r["division"] == division]
        return sorted(
            ({n: row.get(n) for n in names} for row in mine),
            key=lambda row: [str(row[n]) for n in sorted(row)],
        )

    # -- one round -----------------------------------------------------------------------------

    def _shape(self, name: str, run: Run) -> Shape:
        entity = load_catalogue().entities[name]
        options = run.options
        shape = shape_of(
            entity,
            plan_feeds(entity, options.route),
            utc_fields=options.utc_fields,
            raw_codes=options.raw_codes,
            guard=options.personal_data.guard(entity),
        )
        return as_loaded(shape, self.ledger.columns(name))

    def _read_in_rounds(self, run: Run, shapes: dict[str, Shape]) -> None:
        going_on = True
        while going_on:
            run.begin_round()
            before = len(run.log.results)
            self._read_round(run, shapes)
            going_on = run.rounds.go_on(run.log.results[before:])

    def _read_round(self, run: Run, shapes: dict[str, Shape]) -> None:
        load = asyncio.run(self._round(run, shapes))
        for shape in shapes.values():
            self.ledger.declare(shape)
        self.ledger.commit(load, shapes, run.options.deletes)
        self.ledger.remember(run)

    async def _round(self, run: Run, shapes: dict[str, Shape]) -> Load:
        load = Load()
        run.open(self.ledger)
        run.recall(self._earlier(run, shapes))
        try:
            async with asyncio.TaskGroup() as group:
                for rank, shape in enumerate(shapes.values()):
                    for read in await self._streams(run, shape, rank, load):
                        group.create_task(read)
        except* ExactError as errors:
            raise errors.exceptions[0] from None
        finally:
            await run.close()
        return load

    def _earlier(self, run: Run, shapes: dict[str, Shape]) -> EarlierRuns:
        return EarlierRuns(
            selected=frozenset(shapes),
            tombstones=tombstone_starts(self.ledger, shapes),
            refresh_asked_at=self._refresh_under_way(run, shapes),
            divisions=sorted({code for _, code in self.ledger.cursors if code}),
            errors=self.ledger.errors,
            withdrawn=self.ledger.withdrawn,
            cursors=lambda: {
                name: {code: c for (of, code), c in self.ledger.cursors.items() if of == name}
                for name in shapes
            },
        )

    def _refresh_under_way(self, run: Run, shapes: dict[str, Shape]) -> float | None:
        return refresh_begun_at(
            cursor.to_state()
            for (name, _), cursor in self.ledger.cursors.items()
            if name in shapes and name in run.options.full_refresh
        )

    async def _streams(
        self, run: Run, shape: Shape, rank: int, load: Load
    ) -> list[Coroutine[Any, Any, None]]:
        name = shape.entity.name

        async def put(division: int, table: pa.Table | None, cursor: Cursor | None) -> None:
            if table is not None:
                load.tables.append((name, table))
            if cursor is not None:
                load.cursors[name, division] = Cursor.from_state(cursor.to_state())

        if shape.entity.division_from or name == "deleted":
            return [SharedList(run, shape, put).read()]
        return [
            make_stream(run, shape, division, rank, self.ledger, load).read()
            for division in await run.divisions.chosen()
            if not run.rounds.is_settled(name, division.code)
        ]
