"""A batch goes on once it is large, earlier where many entities hold rows, and its cursors with it."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
import pytest

from exact_source.engine.cursors import Cursor
from exact_source.engine.dedupe import Total
from exact_source.loading.batches import (
    BATCH_ROWS,
    BATCH_TABLES,
    CROWDED_ROWS,
    ROWS_OF_ALL,
    SMALL_ROWS,
    Batch,
    Item,
)

CURSOR = Cursor(column="Timestamp", feed="sync")


class States:
    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.stored: list[int] = []

    def store(self, division: int, _cursor: Cursor) -> None:
        self.waiting.append(division)

    def write(self) -> None:
        self.stored += self.waiting
        self.waiting = []


def item(rows: int, division: int = 1, cursor: Cursor | None = None) -> Item:
    return Item(division, pa.table({"id": range(rows)}), cursor)


def batch(of_all: Total, states: States | None = None) -> Batch:
    return Batch(cast("Any", states or States()), of_all)


@pytest.mark.parametrize(
    ("others", "rows", "is_full"),
    [
        (0, CROWDED_ROWS, False),
        (0, BATCH_ROWS - 1, False),
        (0, BATCH_ROWS, True),
        (ROWS_OF_ALL, CROWDED_ROWS - 1, False),
        (ROWS_OF_ALL, CROWDED_ROWS, True),
        (ROWS_OF_ALL - CROWDED_ROWS - 1, CROWDED_ROWS, False),
    ],
)
def test_it_is_full_sooner_where_others_hold_many_rows(
    others: int, rows: int, is_full: bool
) -> None:
    assert batch(Total(others)).add(item(rows)) is is_full


def test_many_small_pages_are_enough() -> None:
    mine = batch(Total())
    assert [mine.add(item(1)) for _ in range(BATCH_TABLES)] == [False] * (BATCH_TABLES - 1) + [True]


@pytest.mark.parametrize(("rows", "pieces"), [(SMALL_ROWS, 2), (SMALL_ROWS - 1, 1)])
def test_what_is_taken_counts_no_more_and_its_cursors_are_stored(rows: int, pieces: int) -> None:
    of_all, states = Total(7), States()
    mine = batch(of_all, states)
    mine.add(item(rows))
    mine.add(item(rows, division=2, cursor=CURSOR))
    assert (of_all.count, states.stored) == (7 + 2 * rows, [])

    table = mine.take()

    assert table is not None
    assert (table.num_rows, table.column("id").num_chunks) == (2 * rows, pieces)
    assert (of_all.count, states.stored) == (7, [2])
    assert mine.take() is None


def test_what_is_dropped_counts_no_more_and_stores_no_cursor() -> None:
    of_all, states = Total(), States()
    mine = batch(of_all, states)
    mine.add(item(5, cursor=CURSOR))
    mine.drop()

    assert (of_all.count, mine.take(), states.stored) == (0, None, [])


def test_a_cursor_without_rows_waits_for_no_batch_but_follows_its_rows() -> None:
    states = States()
    mine = batch(Total(), states)
    mine.add(Item(1, None, CURSOR))
    mine.add(item(5, division=2))
    mine.add(Item(2, None, CURSOR))
    assert (states.waiting, states.stored) == ([1], [])

    assert mine.take() is not None
    assert states.stored == [1, 2]


def test_a_batch_goes_on_with_new_rows_after_it_was_taken() -> None:
    mine = batch(Total())
    is_full = [mine.add(one) for one in (Item(1, None, CURSOR), item(BATCH_ROWS))]
    first = mine.take()
    is_full.append(mine.add(item(3)))
    last = mine.take()

    assert is_full == [False, True, False]
    assert first is not None
    assert last is not None
    assert (first.num_rows, last.num_rows, mine.take()) == (BATCH_ROWS, 3, None)
