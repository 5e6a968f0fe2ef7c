"""Each call for a list that all streams need is counted once, with the stream to which it belongs."""

from __future__ import annotations

from exact_source.engine.call_accounting import Selection
from exact_source.engine.result import StreamResult


def test_calls_for_a_list_belong_to_the_first_stream_that_ends() -> None:
    selection = Selection()
    selection.names = frozenset({"accounts"})
    selection.note_overhead("deleted", 1, 2)
    selection.note_overhead("divisions", None, 1)

    assert selection.take_overhead(2, read=[1, 2]) == 1  # those of division 1 are for its streams
    assert selection.take_overhead(1, read=[1, 2]) == 2
    assert selection.take_overhead(1, read=[1, 2]) == 0


def test_a_list_that_is_a_table_counts_its_calls_itself() -> None:
    selection = Selection()
    selection.names = frozenset({"deleted"})
    selection.note_overhead("deleted", 1, 2)

    assert selection.take_overhead(1, read=[1]) == 0


def test_calls_for_lists_add_up_with_those_that_a_stream_finds_later() -> None:
    result = StreamResult(7, "accounts", "sync", 0.0)
    result.count(shared_calls=2)
    result.count(rows=3)
    result.count(shared_calls=1)

    assert (result.shared_calls, result.rows, result.deleted) == (3, 3, 0)
