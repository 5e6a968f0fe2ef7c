"""Memory stays flat: three times the rows take no more of it at once."""

from __future__ import annotations

import pytest

from benchmarks.run import measure

ROWS = 100_000  # more than are on their way at once


@pytest.mark.slow
def test_rows_on_their_way_take_the_same_memory_however_many_come() -> None:
    few, many = (measure("ours", rows, 1000)["arrow_mb"] for rows in (ROWS, 3 * ROWS))
    assert few > 20  # what is measured is there
    assert many <= 1.25 * few
