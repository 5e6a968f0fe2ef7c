"""Rows without a key are kept, and no others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.engine.rejected_rows import RejectedRows
from exact_source.engine.result import RoundLog, StreamResult
from exact_source.engine.shape import Shape
from exact_source.engine.shared_lists import SharedList
from exact_source.errors import KEYLESS
from exact_source.loading.warehouse import NoTables
from exact_source.source import make_options


def test_rows_without_a_key_wait_for_a_load() -> None:
    rejected, result = RejectedRows(), StreamResult(7, "accounts", "sync", 0.0)
    keyless = pa.table({"id": pa.nulls(2, pa.string()), "name": ["a", "b"]})
    waiting = [rejected.waiting]
    rejected.keep(result, keyless, ["id"])
    rejected.keep(result, keyless.slice(0, 0), ["id"])
    waiting.append(rejected.waiting)

    assert rejected.describe(result)
    assert [(r.division, r.entity, r.row) for r in rejected.take()] == [
        (7, "accounts", '{"name": "a"}'),
        (7, "accounts", '{"name": "b"}'),
    ]
    assert rejected.take() == []
    assert [*waiting, rejected.waiting] == [False, True, False]


def test_rows_without_a_key_of_a_list_that_all_streams_share_wait_too() -> None:
    entity = load_catalogue().entities["divisions"]
    shape = Shape.of(entity, plan_feeds(entity))
    listed = [{"division": 7, "code": 7}, {"division": 8, "description": "b"}]
    table = pa.Table.from_pylist(listed, schema=shape.full.arrow)
    emitted: list[int] = []

    async def read() -> tuple[pa.Table, int]:
        return table, 1

    async def emit(_division: int, rows: pa.Table | None, _cursor: Any) -> None:
        emitted.extend([] if rows is None else rows.column("division").to_pylist())

    run: Any = SimpleNamespace(
        log=RoundLog(),
        rounds=SimpleNamespace(is_settled=lambda *_: False, settle=lambda *_: None),
        rejected=RejectedRows(),
        options=make_options(),
        connection=SimpleNamespace(withdrawn={}),
        divisions=SimpleNamespace(listed=read),
        destination=NoTables(),
        now=lambda: 5.0,
        next_stamp=lambda: 5.0,
    )
    asyncio.run(SharedList(run, shape, emit).read())

    (result,) = run.log.results
    assert emitted == [7]
    assert (result.status, result.code, result.rows) == ("incomplete", KEYLESS, 1)
    assert [r.row for r in run.rejected.take()] == ['{"description": "b", "division": 8}']
