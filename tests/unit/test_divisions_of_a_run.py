"""Through which division the list of divisions is read, and the order of stamps of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from exact_source.client.call import Call
from exact_source.engine import divisions
from exact_source.engine.call_accounting import Selection
from exact_source.engine.cursors import Cursor
from exact_source.engine.divisions import Divisions
from exact_source.engine.output import StreamOutput
from exact_source.engine.result import StreamResult
from exact_source.errors import ConfigurationError, RefusedError
from exact_source.source import make_options
from exact_source.workers.leases import division_item


class Connection:
    """A connection of a client that is not called."""

    client = None

    def lock(self, _key: object) -> asyncio.Lock:
        return asyncio.Lock()


class Leases:
    """Leases of which this worker holds one."""

    def __init__(self, held: int) -> None:
        self._held = held
        self.taken: list[Sequence[int]] = []

    def take_divisions(self, codes: Sequence[int]) -> None:
        self.taken.append(codes)

    def holds(self, item: str) -> bool:
        return item == division_item(self._held)


def make_divisions(leases: Leases | None, *codes: int) -> Divisions:
    arguments: Any = make_options(divisions=list(codes) or "all"), Selection(), Connection()
    held: Any = leases
    return Divisions(*arguments, before_call=lambda _call: None, leases=held)


@pytest.mark.parametrize("codes", [[], [None]])
def test_a_user_without_a_division_is_asked_to_name_one(
    monkeypatch: pytest.MonkeyPatch, codes: list[int | None]
) -> None:
    async def read(*_: Any) -> pa.Table:
        return pa.table({"division": pa.array(codes, pa.int32())})

    monkeypatch.setattr(divisions, "read_all", read)
    with pytest.raises(ConfigurationError):
        asyncio.run(make_divisions(None).listed())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Divisions through which the list was requested; each is blocked, and 7 is the current one."""
    found: list[int] = []

    async def current(*_: Any) -> pa.Table:
        return pa.table({"division": [7]})

    async def refuse(_connection: Any, call: Any, *_: Any) -> list[pa.Table]:
        found.append(call.division)
        raise RefusedError("no", status=403, reason="DivisionBlocked")

    monkeypatch.setattr(divisions, "read_all", current)
    monkeypatch.setattr(divisions, "read_list", refuse)
    return found


def test_workers_lease_named_divisions_and_ask_through_their_own_first(asked: list[int]) -> None:
    leases = Leases(8)
    found = make_divisions(leases, 7, 8)
    asyncio.run(found.listed())

    assert leases.taken == [(7, 8)]
    assert asked == [8, 7]
    assert [(d.code, d.moved) for d in found.chosen_so_far] == [(7, None), (8, None)]


def test_the_list_is_read_through_a_division_of_an_earlier_run_if_the_current_one_is_blocked(
    asked: list[int],
) -> None:
    found = make_divisions(None)
    found.recall(lambda: [7, 8])
    with pytest.raises(RefusedError):
        asyncio.run(found.listed())

    assert asked == [7, 8]


def test_stamps_of_a_stream_rise_while_the_clock_is_set_back() -> None:
    class Run:
        at = 1_773_144_000.0

        def now(self) -> float:
            self.at -= 60
            return self.at

    async def emit(*_: Any) -> None:
        """Nothing is loaded."""

    result = StreamResult(7, "accounts", "sync", 0.0)
    run: Any = Run()
    output = StreamOutput(run, Call(7, "", "accounts"), result, Cursor(column=None), emit)
    stamps = [output.next_stamp() for _ in range(5)]

    assert stamps == sorted(set(stamps))
