"""Lists that all streams of a run share: the divisions, the user, and the tombstones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..client.call import Call
from ..client.withdrawn_columns import read_list
from ..errors import KEYLESS
from . import rows
from .cursors import Cursor
from .dedupe import with_withdrawn
from .divisions import Division
from .result import StreamResult, recording
from .run import Run
from .shape import Shape
from .tombstones import describe_unknown

# Receives rows of a division and the cursor that covers them.
EmitRows = Callable[[int, pa.Table | None, Cursor | None], Awaitable[None]]


@dataclass(frozen=True)
class Listed:
    """A list: its rows, its calls, the cursor to store, and notes."""

    table: pa.Table | None
    calls: int
    cursor: Cursor | None = None
    notes: Sequence[str] = ()


class SharedList:
    """Reads ``divisions``, ``me`` or ``deleted``.

    Args:
        run: Objects that all streams share; its log gets the results.
        shape: Shape of the entity's rows.
        emit: Receives rows and cursors.
    """

    def __init__(self, run: Run, shape: Shape, emit: EmitRows) -> None:
        self._run = run
        self._shape = shape
        self._name = shape.entity.name
        self._emit = emit

    async def read(self) -> None:
        """Read the list, or the list of each division."""
        rounds = self._run.rounds
        if self._name == "deleted":
            for division in await self._run.divisions.chosen():
                if not division.blocked and not rounds.is_settled(self._name, division.code):
                    await self._read_one(division.code, self._tombstones(division))
        elif not rounds.is_settled(self._name, 0):
            read = self._divisions() if self._name == "divisions" else self._rows()
            await self._read_one(0, read)

    async def _read_one(self, division: int, read: Awaitable[Listed]) -> None:
        run = self._run
        result = run.log.begin(
            StreamResult(division, self._name, self._shape.plan.label, run.now())
        )
        with recording(result, run.rounds, run.destination.failures):
            await self._load(result, await read)
        result.close(run.now())
        run.log.step(result)

    # -- the lists -----------------------------------------------------------------------------

    async def _divisions(self) -> Listed:
        return Listed(*await self._run.divisions.listed())

    async def _tombstones(self, division: Division) -> Listed:
        tombstones = self._run.tombstones
        found = await tombstones.of(division.code, whole=True)
        if found.error is not None:
            raise found.error
        cursor = Cursor(
            column="Timestamp",
            feed="sync",
            moved=tombstones.last_move(division.code, division.moved),
            tombstones=found.top,
            tombstones_at=found.read_at,
        )
        return Listed(found.table, found.calls, cursor, describe_unknown(found.of_unknown()))

    async def _rows(self) -> Listed:
        path = self._shape.plan.full.path
        divisions = [] if path == "current/Me" else await self._run.divisions.chosen()
        code = divisions[0].code if divisions else None
        call = Call(code, path, self._name, before_call=self._run.rounds.raise_if_stopped)
        pages = await read_list(self._run.connection, call, self._shape.full, self._shape.plan.full)
        return Listed(rows.concat(pages), call.calls)

    # -- loading them --------------------------------------------------------------------------

    async def _load(self, result: StreamResult, found: Listed) -> None:
        run, shape, table = self._run, self._shape, found.table
        result.note_calls(found.calls)
        result.note(*found.notes)
        withdrawn = run.connection.withdrawn.get(shape.plan.full.path, ())
        if left_out := [field for field in withdrawn if field in shape.full.columns]:
            result.note(f"left out, as Exact no longer has it: {', '.join(left_out)}")
        if table is not None:
            keys = ["division", *shape.keys]
            table, rejected = rows.with_key(table, keys)
            run.rejected.keep(result, rejected, keys)
            codes = pc.unique(table.column("division")).to_pylist()
            live = shape.without(withdrawn).full.arrow.names
            table = with_withdrawn(shape, codes, run.destination, table, withdrawn, live=live)
            table = table if table.num_rows else None
        listed = None if table is None else rows.stamp(table, run.next_stamp())
        changed = None if listed is None or self._is_stored(listed) else listed
        if changed is not None or found.cursor is not None:
            await self._emit(result.division, changed, found.cursor)
            result.count(rows=0 if changed is None else changed.num_rows)
        if listed is not None and shape.entity.division_from:
            result.count(deleted=await self._delete_unlisted(listed))
        error = run.rejected.describe(result)
        result.end("incomplete" if error else "complete", error, KEYLESS if error else "")
        run.rounds.settle(result.entity, result.division)

    def _is_stored(self, listed: pa.Table) -> bool:
        """Whether the destination already has these rows, so that they need not be loaded.

        The rows themselves are compared, because another pipeline may have changed them.
        """
        options = self._run.options
        if self._name in {*options.full_refresh, *options.history}:
            return False
        if not self._shape.entity.division_from:
            return False
        return rows.are_stored(listed, self._run.destination.all_rows(self._name), "division")

    async def _delete_unlisted(self, listed: pa.Table) -> int:
        """Delete stored rows that are no longer in the list."""
        run, deletes = self._run, self._run.options.deletes
        if deletes == "ignore":
            return 0
        held = run.destination.divisions(self._name, marked=deletes == "hard")
        missing = sorted(held - set(listed.column("division").to_pylist()))
        at = run.next_stamp()
        for code in missing:
            for table in run.destination.rows(self._name, code, "division", [code]):
                await self._emit(code, rows.mark_deleted(table, self._shape.arrow, at=at), None)
        return len(missing)
