"""An answer in several pieces, as BigQuery gives it, is taken as a whole."""

from __future__ import annotations

import pyarrow as pa

from exact_source.loading.loaded_tables import whole


def test_every_piece_counts() -> None:
    table = pa.table({"id": [1, 2, 3]})
    assert whole(table.to_batches(max_chunksize=1)) == table
    assert whole([table.slice(0, 2), table.slice(2)]) == table


def test_an_answer_without_pieces_is_none() -> None:
    assert whole([]) is None
