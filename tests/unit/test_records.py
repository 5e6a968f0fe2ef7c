"""Copies of records, and marks of lists that are empty."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.engine import rows
from exact_source.engine.cursors import Cursor, Scan
from exact_source.engine.records import replace
from exact_source.odata.page import PageSchema


def test_a_copy_is_the_one_that_dataclasses_makes() -> None:
    cursor = Cursor(
        column="Timestamp", value=5, overlap_marks=("a",), scan=Scan(since=1, started_at=2.0)
    )
    changes: dict[str, Any] = {"value": 6, "scan": None, "lacks": ("b",)}
    assert replace(cursor, **changes) == dataclasses.replace(cursor, **changes)
    assert cursor.value == 5
    assert replace(cursor, value=5, lacks=()) is cursor


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="valeu"):
        replace(Cursor(column=None), valeu=1)


def test_the_mark_of_an_empty_list_is_that_of_earlier_versions() -> None:
    entity = load_catalogue().entities["journals"]
    schema = PageSchema(entity, entity.feeds["regular"])
    at = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    table = rows.stamp(schema.no_rows, at).drop_columns(["_synced_at"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)

    pages = [schema.no_rows, schema.no_rows, schema.arrow.empty_table()]
    expected = blake2b(sink.getvalue(), digest_size=12).hexdigest()
    assert [rows.digest_of_no_rows(page) for page in pages] == [expected] * 3
