"""Entities that a run reads once, not per division: the divisions, the user, and the tombstones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.destination.exceptions import DestinationException

from ..client.call import Target
from ..client.withdrawn_columns import read_list
from ..errors import (
    KEYLESS,
    UNEXPECTED,
    AuthenticationError,
    ConfigurationError,
    ExactError,
    LimitError,
    StreamError,
    describe_fault,
)
from . import rows
from .cursors import Cursor
from .deletions import about_unknown
from .divisions import Division
from .result import StreamResult
from .rounds import PausedError
from .run import Run
from .shape import Shape

Put = Callable[[int, pa.Table | None, Cursor | None], Awaitable[None]]


@dataclass(frozen=True)
class Listed:
    """A list that was read: its rows, the calls it took, and what is to be kept and said of it."""

    table: pa.Table | None
    calls: int
    cursor: Cursor | None = None
    notes: Sequence[str] = ()


async def read_once(run: Run, shape: Shape, put: Put) -> None:
    """Read ``divisions``, ``me`` or ``deleted``; the outcome goes to ``run.results``."""
    name = shape.entity.name
    if name == "deleted":
        for division in await run.divisions.chosen():
            if not division.blocked and (name, division.code) not in run.rounds.settled:
                await _settle(run, shape, division.code, _tombstones(run, division), put)
        return
    if (name, 0) not in run.rounds.settled:
        read = _divisions(run) if name == "divisions" else _list(run, shape)
        await _settle(run, shape, 0, read, put)


async def _settle(run: Run, shape: Shape, division: int, read: Awaitable[Listed], put: Put) -> None:
    result = StreamResult(division, shape.entity.name, shape.plan.label, run.clock.now())
    run.results.append(result)
    try:
        await _load(run, shape, result, await read, put)
    except PausedError:
        result.status, result.error = "incomplete", "goes on in the next round"
    except LimitError as error:
        result.end("waiting", str(error), error.code)
        result.resumes_at = error.resumes_at
    except StreamError as error:
        result.end("failed", str(error), error.code)
        result.permanent = error.is_permanent
    except (AuthenticationError, ConfigurationError) as error:
        result.end("failed", str(error), error.code)
        run.rounds.give_up(error)
    except (ExactError, DestinationException, OSError):
        raise  # not the list's: the database, the disk
    except Exception as error:  # noqa: BLE001 (one bad list spoils nothing)
        result.end("failed", f"{result.entity}: {describe_fault(error)}", UNEXPECTED)
        result.permanent = True
    result.ended_at = run.clock.now()
    run.on_progress(result)


async def _load(run: Run, shape: Shape, result: StreamResult, found: Listed, put: Put) -> None:
    result.calls, result.notes = found.calls, list(found.notes)
    gone, table = run.connection.withdrawn.get(shape.plan.full.path, ()), found.table
    if left_out := [field for field in gone if field in shape.full.columns]:
        result.notes.append(f"left out, as Exact no longer has it: {', '.join(left_out)}")
    if table is not None:
        table = run.keyless.with_key(result, table, ["division", *shape.keys])
        result.rows = table.num_rows
        table = _with_stored(run, shape, table, gone) if result.rows else None
    stamped = None if table is None else rows.stamp(table, run.clock.now())
    if stamped is not None or found.cursor is not None:
        await put(result.division, stamped, found.cursor)
    if stamped is not None and shape.entity.division_from:
        result.deleted = await _remove_unlisted(run, shape, stamped, put)
    lacking = run.keyless.lacking(result)
    result.end("incomplete" if lacking else "complete", lacking, KEYLESS if lacking else "")
    run.rounds.settled.add((result.entity, result.division))


def _with_stored(run: Run, shape: Shape, table: pa.Table, gone: Sequence[str]) -> pa.Table:
    """Rows with what is stored in the columns that Exact no longer has; a merge would empty them."""
    name, keys = shape.entity.name, shape.keys
    live = shape.without(gone).full.arrow.names
    kept = run.stored.kept_columns(name, (*gone, *shape.plan.withdrawn), live)
    if not kept.names:
        return table
    stored = [
        found
        for code in pc.unique(table.column("division")).to_pylist()
        for found in run.stored.rows(name, code, keys[0], table.column(keys[0]).to_pylist())
    ]
    empty = [column for column in kept.names if column in table.column_names]
    return rows.with_stored(table.drop_columns(empty), stored, keys, kept)


async def _remove_unlisted(run: Run, shape: Shape, listed: pa.Table, put: Put) -> int:
    """Stored rows that a list no longer has go; rows of other tables stay, whoever they belong to."""
    name, deletes, at = shape.entity.name, run.options.deletes, run.clock.now()
    if deletes == "ignore":
        return 0
    held = run.stored.divisions(name, marked=deletes == "hard")
    gone = sorted(held - set(listed.column("division").to_pylist()))
    for code in gone:
        for table in run.stored.rows(name, code, "division", [code]):
            await put(code, rows.mark_deleted(table, shape.arrow, at=at), None)
    return len(gone)


async def _divisions(run: Run) -> Listed:
    return Listed(*await run.divisions.listed())


async def _tombstones(run: Run, division: Division) -> Listed:
    found = await run.tombstones.of(division.code, whole=True)
    if found.error is not None:
        raise found.error
    cursor = Cursor(
        column="Timestamp",
        feed="sync",
        moved=run.tombstones.last_move(division.code, division.moved),
        tombstones=found.top,
        tombstones_at=found.read_at,
    )
    return Listed(found.table, found.calls, cursor, about_unknown(found.of_unknown()))


async def _list(run: Run, shape: Shape) -> Listed:
    path = shape.plan.full.path
    divisions = [] if path == "current/Me" else await run.divisions.chosen()
    target = Target(divisions[0].code if divisions else None, path, shape.entity.name)
    pages = await read_list(run.connection, target, shape.full, shape.plan.full)
    return Listed(rows.concat(pages), target.calls)
