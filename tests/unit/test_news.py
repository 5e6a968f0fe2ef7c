"""Short lists are held back until they are there as a whole, within bounds of memory."""

from __future__ import annotations

import pyarrow as pa

from exact_source.engine.dedupe import HOLD_ROWS, HOLD_ROWS_OF_ALL, HeldPages, Total


def page(rows: int) -> pa.Table:
    return pa.table({"id": pa.nulls(rows)})


def test_a_list_is_held_back_up_to_its_bound() -> None:
    held = HeldPages(Total())

    assert held.hold(page(HOLD_ROWS))
    assert not held.hold(page(1))
    assert [table.num_rows for table in held.take()] == [HOLD_ROWS, 1]


def test_lists_of_many_divisions_are_held_back_up_to_a_bound_for_all() -> None:
    of_all = Total()
    lists = [HeldPages(of_all) for _ in range(HOLD_ROWS_OF_ALL // HOLD_ROWS)]
    assert all(held.hold(page(HOLD_ROWS)) for held in lists)
    late = HeldPages(of_all)

    assert not late.hold(page(1))
    for held in lists:
        held.take()
    assert of_all.count == 1
    assert late.hold(page(1))


def test_what_was_taken_is_held_no_more() -> None:
    of_all = Total()
    held = HeldPages(of_all)
    held.hold(page(3))
    held.take()

    assert held.take() == []
    assert of_all.count == 0
