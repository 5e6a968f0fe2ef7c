"""Which rows of a page are loaded: one for each key, in its newest state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.engine import cursors
from exact_source.engine.cursors import Cursor
from exact_source.engine.dedupe import new_rows
from exact_source.engine.shape import Shape
from exact_source.source import make_options

DAYS = [datetime.fromisoformat(f"2026-03-0{day}") for day in (2, 1)]


@pytest.mark.parametrize(("entity", "route", "newest"), [
    ("accounts", "regular", 0),  # by Modified
    ("sales_invoice_lines", "regular", 1),  # without versions, the last one
])  # fmt: skip
def test_a_key_that_is_on_a_page_twice_is_loaded_once(entity: str, route: Any, newest: int) -> None:
    found = load_catalogue().entities[entity]
    shape = Shape.of(found, plan_feeds(found, route))
    row = {"division": 7, shape.keys[0]: "a"}
    rows = [{**row, "modified": day, "description": str(day)} for day in DAYS]
    wanted = [f for f in shape.full.arrow if f.name in rows[0]]
    page = pa.Table.from_pylist(rows, schema=pa.schema(wanted))
    before = cursors.begin(Cursor(column=shape.plan.column), now=0.0, since=None)

    assert new_rows(shape, before, page, make_options(), ()).to_pylist() == [
        {f.name: rows[newest][f.name] for f in wanted}
    ]
