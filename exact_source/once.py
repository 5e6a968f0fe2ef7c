"""Entities that a run reads once, not per division: the divisions, the user, and the tombstones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pyarrow as pa

from . import rows
from .client import Target
from .errors import AuthenticationError, ConfigurationError, LimitError, StreamError
from .listing import read_all
from .run import Run, StreamResult
from .shape import Shape

Put = Callable[[int, pa.Table], Awaitable[None]]
Counted = tuple[pa.Table | None, int]


async def read_once(run: Run, shape: Shape, put: Put) -> None:
    """Read ``divisions``, ``me`` or ``deleted``; the outcome goes to ``run.results``."""
    name = shape.entity.name
    if name == "deleted":
        for division in await run.divisions():
            if not division.blocked and (name, division.code) not in run.settled:
                await _settle(run, shape, division.code, _tombstones(run, division.code), put)
        return
    if (name, 0) not in run.settled:
        read = run.division_list() if name == "divisions" else _list(run, shape)
        await _settle(run, shape, 0, read, put)


async def _settle(
    run: Run, shape: Shape, division: int, read: Awaitable[Counted], put: Put
) -> None:
    result = StreamResult(division, shape.entity.name, shape.plan.label, run.clock.now())
    run.results.append(result)
    try:
        table, result.calls = await read
        if table is not None and table.num_rows:
            result.rows = table.num_rows
            await put(division, rows.stamp(table, run.clock.now()))
        result.status = "complete"
    except LimitError as error:
        result.status, result.error, result.resumes_at = "waiting", str(error), error.resumes_at
    except StreamError as error:
        result.status, result.error = "failed", str(error)
    except (AuthenticationError, ConfigurationError) as error:
        result.status, result.error = "failed", str(error)
        run.give_up(error)
    result.ended_at = run.clock.now()
    run.on_progress(result)


async def _tombstones(run: Run, division: int) -> Counted:
    found = await run.tombstones(division)
    if found.error is not None:
        raise found.error
    return found.table, found.calls


async def _list(run: Run, shape: Shape) -> Counted:
    path = shape.plan.full.path
    divisions = [] if path == "current/Me" else await run.divisions()
    target = Target(divisions[0].code if divisions else None, path, shape.entity.name)
    return await read_all(run.client, target, shape.full), target.calls
