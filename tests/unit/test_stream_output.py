"""What the cursor says about the rows that are stored."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from exact_source.client.call import Call
from exact_source.engine import rows
from exact_source.engine.cursors import Cursor
from exact_source.engine.deletes import DeletedKeys
from exact_source.engine.output import StreamOutput
from exact_source.engine.result import RoundLog, StreamResult
from exact_source.source import make_options

AT = 1_773_144_000.0
ROW = rows.stamp(pa.table({"id": ["a"]}), AT)


@pytest.mark.parametrize(("loads", "until"), [(True, AT), (False, 0.0)])
def test_the_newest_stored_row_is_unknown_after_deletions_unless_rows_were_loaded(
    loads: bool, until: float
) -> None:
    emitted: list[Cursor | None] = []

    async def emit(_table: pa.Table | None, cursor: Cursor | None) -> None:
        emitted.append(cursor)

    async def load_and_delete() -> None:
        if loads:
            await output.move(ROW, None)
        await output.delete(DeletedKeys([("b",)]), found, None)

    run: Any = SimpleNamespace(log=RoundLog(), options=make_options(), now=lambda: AT)
    found: Any = SimpleNamespace(tables=lambda *_, **__: [ROW])
    result = StreamResult(7, "accounts", "sync", AT)
    before = Cursor(column="Timestamp", stored_min=1, stored_max=9, stored_until=AT - 5)
    output = StreamOutput(run, Call(7, "crm/Accounts", "accounts"), result, before, emit)
    asyncio.run(load_and_delete())

    last = emitted[-1]
    assert last is not None
    assert last.stored_until == until
    assert result.deleted == output.deleted == 1


def test_stamps_differ_although_the_clock_stands_still() -> None:
    async def emit(_table: pa.Table | None, _cursor: Cursor | None) -> None:
        raise AssertionError

    run: Any = SimpleNamespace(now=lambda: AT + 0.0060006)
    result = StreamResult(7, "accounts", "sync", AT)
    output = StreamOutput(
        run, Call(7, "crm/Accounts", "accounts"), result, Cursor(column=None), emit
    )

    stamps = [rows.instant(output.next_stamp()) for _ in range(1000)]

    assert stamps == sorted(set(stamps))


def test_of_a_table_that_lost_its_rows_nothing_is_expected_any_longer() -> None:
    emitted: list[Cursor | None] = []

    async def emit(_table: pa.Table | None, cursor: Cursor | None) -> None:
        emitted.append(cursor)

    run: Any = SimpleNamespace(log=RoundLog(), options=make_options())
    result = StreamResult(7, "accounts", "sync", AT)
    before = Cursor(column="Timestamp", stored_min=1, stored_max=9, stored_until=AT)
    output = StreamOutput(run, Call(7, "crm/Accounts", "accounts"), result, before, emit)
    output.hold(Cursor(column="Timestamp"))
    output.count_from(0)
    asyncio.run(output.move(None, output.cursor))

    (last,) = emitted
    assert last is not None
    assert (last.stored_min, last.stored_max, last.stored_until) == (0, 0, 0.0)
