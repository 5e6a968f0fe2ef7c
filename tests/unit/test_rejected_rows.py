"""Rows without a key are kept, and no others."""

from __future__ import annotations

import pyarrow as pa

from exact_source.engine.rejected_rows import RejectedRows
from exact_source.engine.result import StreamResult


def test_rows_without_a_key_wait_for_a_load() -> None:
    rejected, result = RejectedRows(), StreamResult(7, "accounts", "sync", 0.0)
    keyless = pa.table({"id": pa.nulls(2, pa.string()), "name": ["a", "b"]})
    rejected.keep(result, keyless, ["id"])
    rejected.keep(result, keyless.slice(0, 0), ["id"])

    assert rejected.describe(result)
    assert [(r.division, r.entity, r.row) for r in rejected.take()] == [
        (7, "accounts", '{"name": "a"}'),
        (7, "accounts", '{"name": "b"}'),
    ]
    assert rejected.take() == []
