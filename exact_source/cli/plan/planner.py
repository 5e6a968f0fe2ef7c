"""Finds the streams of the next sync, and counts their rows at Exact Online."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...catalogue.feeds import plan_feeds, starts_by_version
from ...catalogue.parameters import all_sources
from ...engine.cursors import is_denied
from .._output.stored_syncs import recall
from .row_counts import Counts, Question, count_rows

if TYPE_CHECKING:
    import dlt

    from ...catalogue import Catalogue, Entity, Feed
    from ...catalogue.feeds import Plan
    from ...connect import ReadOnlyRun
    from ...engine.divisions import Division
    from .._output.stored_syncs import Memory


def recall_for(chosen: Sequence[str], pipeline: dlt.Pipeline, now: float) -> Memory:
    """The memory of entities, and of the parents of functions."""
    feeding = {s.parent for s in all_sources() if s.parent is not None}
    return recall(pipeline, now=now, entities={*chosen, *feeding})


@dataclass
class Planner:
    """The streams that the next sync reads.

    Attributes:
        run: The connection and the options.
        catalogue: The catalogue.
        chosen: Entities in the order of reading.
        memory: Earlier syncs.
        divisions: Divisions to read.
        counts: Counted rows.
    """

    run: ReadOnlyRun
    catalogue: Catalogue
    chosen: Sequence[str]
    memory: Memory
    divisions: list[Division] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    async def look(self, *, count: bool, on_answer: Callable[[int, int], None]) -> None:
        """Read the divisions, and count rows where necessary.

        Args:
            count: Whether to count at all.
            on_answer: Called with the answers so far and the total: before the first call, and after each.
        """
        spent = self.memory.all_calls_today
        self.run.limits.note_earlier_calls(spent, self.run.clock.now())
        async with self.run.connected() as client:
            self.divisions = await self.run.divisions.chosen()
            if count:
                questions, turns = self.questions(), itertools.count(1)
                on_answer(0, len(questions))
                self.counts = await count_rows(
                    client,
                    questions,
                    self.run.connection.adaptations,
                    lambda: on_answer(next(turns), len(questions)),
                )

    def page_size(self, feed: Feed) -> int:
        """Rows on a full page of a feed, as far as ``verify`` measured it."""
        return self.run.connection.adaptations.page_size(feed)

    @property
    def open_divisions(self) -> list[Division]:
        """Divisions that are not blocked."""
        return [d for d in self.divisions if not d.blocked]

    def entities(self) -> Iterator[tuple[Entity, Plan]]:
        """Entities that are read per division, and their plans."""
        for name in self.chosen:
            entity = self.catalogue.entities[name]
            if entity.division_from is None and name != "deleted":
                yield entity, plan_feeds(entity, self.run.options.route)

    def is_known(self, division: int, entity: str) -> bool:
        """Whether a first load was completed."""
        cursor = self.memory.cursors.get((division, entity))
        return (division, entity) in self.memory.successes and (
            cursor is None or cursor.scan is None or cursor.scan.since is not None
        )

    def is_denied(self, division: int, entity: str) -> bool:
        """Whether the next sync will skip a stream, because Exact does not offer it."""
        cursor, now = self.memory.cursors.get((division, entity)), self.run.clock.now()
        return cursor is not None and is_denied(cursor, now)

    def questions(self) -> list[Question]:
        """Streams whose size only a count can show."""
        return [
            self._question(division.code, entity, plan)
            for division in self.open_divisions
            for entity, plan in self.entities()
            if plan.full.kind != "function"
            and not self.is_known(division.code, entity.name)
            and not self.is_denied(division.code, entity.name)
        ]

    def _question(self, division: int, entity: Entity, plan: Plan) -> Question:
        key, options = (division, entity.name), self.run.options
        question = Question(division, entity, plan, options.start_ms)
        by_version = options.start_by == "timestamp" and starts_by_version(plan)
        if options.start_ms is None or not by_version:
            return question
        cursor = self.memory.cursors.get(key)
        if cursor is not None and cursor.start_version is not None:
            return replace(question, version=cursor.start_version)
        return replace(question, asks_version=not self.memory.rows.get(key))
