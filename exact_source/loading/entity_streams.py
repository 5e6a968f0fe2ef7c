"""The streams of one entity, one for each division, read side by side into a queue."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from ..engine.cursors import Cursor
from ..engine.run import Run
from ..engine.shape import Shape
from ..engine.shared_lists import SharedList
from ..engine.stream import Stream
from ..errors import ExactError
from .batches import Item
from .state import DivisionStates

# Streams of an entity that are read at the same time, one for each connection of the client. A stream takes
# a few kilobytes, and there may be thousands of companies.
STREAMS = 192

ItemQueue = asyncio.Queue[Item | None]


class EntityStreams:
    """Reads the streams of one entity.

    Args:
        run: What all streams share.
        shape: Shape of the entity's rows.
        states: The entity's cursors.
        rank: Priority of the entity among those of a division; the lowest goes first.
        holds_rows: Whether rows are held until the entity has been read.
        may_drop_rows: Whether a script's functions may leave out rows, so that they cannot be counted.
    """

    def __init__(
        self,
        run: Run,
        shape: Shape,
        states: DivisionStates,
        *,
        rank: int,
        holds_rows: bool,
        may_drop_rows: bool,
    ) -> None:
        self._run = run
        self._shape = shape
        self._name = shape.entity.name
        self._states = states
        self._rank = rank
        self._holds_rows = holds_rows
        self._may_drop_rows = may_drop_rows

    async def read(self, queue: ItemQueue) -> None:
        """Read all streams, and put their rows and cursors on the queue; ``None`` is the last item."""
        try:
            streams = await self.streams(queue)
            by_page = self._name in self._run.rounds.by_page
            async with asyncio.TaskGroup() as group:
                for _ in range(1 if by_page else STREAMS):
                    group.create_task(_read_each(streams))
        except* ExactError as errors:
            # Errors of several divisions concern the whole connection; the first one is raised.
            raise errors.exceptions[0] from None
        finally:
            await queue.put(None)

    async def streams(self, queue: ItemQueue) -> Iterator[Coroutine[Any, Any, None]]:
        """A coroutine for the stream of each division, created when its turn comes."""
        emit = partial(self._emit, queue)
        run, entity, states = self._run, self._shape.entity, self._states
        changed = self._changed()
        if changed is not None:
            run.rounds.read_only(self._name, changed)
        if changed is not None and not changed:
            return iter(())  # before the list of divisions is read
        if entity.division_from or self._name == "deleted":
            return iter([SharedList(run, self._shape, emit).read()])
        divisions = await run.divisions.chosen()
        if changed is not None:
            readable = {division.code for division in divisions if not division.blocked}
            states.note_unreadable(changed - readable, run.options.notices or {})
        return (
            Stream(
                run, self._shape, division, states.cursor(division.code),
                rank=self._rank, emit=partial(emit, division.code),
            ).read()
            for division in divisions
            if not run.rounds.is_settled(self._name, division.code)
        )  # fmt: skip

    async def _emit(
        self, queue: ItemQueue, division: int, table: pa.Table | None, cursor: Cursor | None
    ) -> None:
        rounds = self._run.rounds
        if table is not None and self._holds_rows:
            rounds.count_history_rows(table.num_rows)
        if cursor is not None and self._may_drop_rows:
            cursor = replace(cursor, stored_min=0, stored_until=0.0)
        await queue.put(Item(division, table, cursor))
        if self._name in rounds.by_page:
            await queue.join()

    def _changed(self) -> set[int] | None:
        """Divisions with webhooks that the rows do not cover yet; ``None`` if webhooks are not used."""
        options, states = self._run.options, self._states
        if options.notices is None:
            return None
        return {
            division
            for (entity, division), mark in options.notices.items()
            if entity == self._name
            and division in (options.divisions or {division})
            and mark not in {states.cursor(division).webhook_mark, states.unreadable(division)}
        }


async def _read_each(streams: Iterator[Coroutine[Any, Any, None]]) -> None:
    for read in streams:
        await read
