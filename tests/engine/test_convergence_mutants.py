"""Mistakes that the sequences of ``test_convergence.py`` must find.

Each test takes one precaution out of the core and expects that some sequence ends with other rows than
the company has. Part of ``make proofs``, because it takes minutes. Mistakes that chance hardly ever finds
have a sequence each in ``test_convergence_directed.py``. That an empty list of tombstones is not believed is
held by ``test_sync_deletes.py``: it moves no cursor, so the rows that it keeps go once rights are given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import Phase

from exact_source.client.client import ExactClient
from exact_source.engine import cursors, deletes, tombstones
from exact_source.engine.deletes import DeletedKeys, DeletedRows
from exact_source.engine.deletions import Deletions
from exact_source.engine.starts import Start
from exact_source.engine.stream import Stream
from tests.engine.test_convergence import run_sequences

SEQUENCES = 3000  # of which most are not tried, because the first that fails ends them
pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.proofs,
]
Patch = Callable[[pytest.MonkeyPatch], None]


def attribute(place: Any, name: str, value: Any) -> Patch:
    return lambda patch: patch.setattr(place, name, value)


async def nothing(*_args: Any, **_more: Any) -> None:
    pass


async def yes(*_args: Any, **_more: Any) -> bool:
    return True


def without_overlap(column: str) -> Callable[[str], int]:
    kept = cursors.overlap
    return lambda asked: 0 if asked == column else kept(asked)


def no_tombstone_is_old(patch: pytest.MonkeyPatch) -> None:
    """A row goes by its tombstone, however new it is."""
    read = tombstones.latest

    def newest(table: Any) -> Any:
        return {
            key: stone._replace(timestamp=2**62, deleted_date=datetime.max)  # noqa: DTZ901
            for key, stone in read(table).items()
        }

    patch.setattr(deletes, "latest", newest)


def a_move_is_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Neither by its date, nor because nothing comes back above the cursor."""
    resume = Start.resume

    def careless(self: Start, cursor: Any) -> Any:
        return resume(self, replace(cursor, moved=self.division.moved))

    patch.setattr(Start, "resume", careless)
    patch.setattr(Stream, "_is_suspiciously_empty", lambda *_args: False)


def no_key_is_missed(patch: pytest.MonkeyPatch) -> None:
    """Comparing keys finds nothing, full passes do."""
    compare = Deletions.compare_keys

    async def blind(self: Deletions, judge: Any) -> None:
        with pytest.MonkeyPatch.context() as comparing:
            comparing.setattr(self._rows, "missing", lambda *_args, **_more: DeletedKeys(()))
            await compare(self, judge)

    patch.setattr(Deletions, "compare_keys", blind)


MUTANTS: dict[str, Patch] = {
    "no overlap of Modified": lambda patch: patch.setattr(
        cursors, "overlap", without_overlap("Modified")
    ),
    "a tombstone is always newer than the row": no_tombstone_is_old,
    "a tombstone is compared again": attribute(deletes, "is_applied", lambda *_args: False),
    "all rights are given": attribute(ExactClient, "has_rights", yes),
    "a move is not noticed": a_move_is_not_noticed,
    "tombstones of before a move tell something": attribute(
        Deletions, "_start_over_if_never_applied", lambda *_args: None
    ),
    "tombstones of three months ago are there": attribute(
        Start, "_missed_tombstones", lambda *_args: False
    ),
    "a scan of an earlier run is as good as new": attribute(
        Stream, "_began_earlier", lambda _self: False
    ),
    "keys are not compared": no_key_is_missed,
    "a full pass removes nothing": attribute(
        DeletedRows, "missing", lambda *_args, **_more: DeletedKeys(())
    ),
    "rows that were marked stay": attribute(Deletions, "settle_marks", nothing),
}


@pytest.fixture
def mutated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[request.param](monkeypatch)


@pytest.mark.usefixtures("mutated")
@pytest.mark.parametrize("mutated", sorted(MUTANTS), indirect=True)
def test_a_precaution_that_is_missing_is_found() -> None:
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_sequences(0, SEQUENCES, Phase.generate)
