"""What a stream of the next sync will take, by whatever is known of it. No call, no destination."""

from __future__ import annotations

from pathlib import Path

import pytest

from exact_source.auth import FileTokenStorage
from exact_source.catalogue import load_catalogue
from exact_source.cli._output.stored_syncs import Memory, SyncRow
from exact_source.cli.plan.estimate import estimate
from exact_source.cli.plan.planner import Planner
from exact_source.cli.plan.row_counts import Counts
from exact_source.cli.plan.schedule import StreamPlan
from exact_source.clock import SystemClock
from exact_source.connect import make_read_only_run
from exact_source.engine.cursors import Cursor, Scan
from exact_source.engine.divisions import Division
from exact_source.settings import Settings
from exact_source.source import make_options

ACCOUNTS = (7, "accounts")
LINK = "sync/CRM/Accounts?$skiptoken=1"
BEGUN = Cursor(column="Timestamp", scan=Scan(since=None, started_at=0.0, next=LINK, rows=1000))


def synced(calls: int, rows: int) -> SyncRow:
    return SyncRow(*ACCOUNTS, "sync", 0.0, 0.0, calls, rows, 0, "complete", "", "")


def planned(folder: Path, counts: Counts, memory: Memory) -> list[StreamPlan]:
    """The accounts of division 7, and of 8, which is blocked."""
    settings = Settings(
        base_url="https://localhost", client_id="x", client_secret="x", redirect_uri=""
    )
    storage = FileTokenStorage(folder / "tokens.json")
    run = make_read_only_run(make_options(), settings, storage, SystemClock())
    divisions = [Division(7), Division(8, blocked=1)]
    return estimate(Planner(run, load_catalogue(), ["accounts"], memory, divisions, counts))


@pytest.mark.parametrize(
    ("counts", "memory", "expected"),
    [
        (Counts(), Memory(), (None, 1, "unknown")),
        (Counts(refused={ACCOUNTS: "no"}), Memory(), (None, 1, "refused")),
        (Counts(rows={ACCOUNTS: 2500}), Memory(), (2500, 3, "count")),
        (Counts(rows={ACCOUNTS: 2500}), Memory({ACCOUNTS: BEGUN}), (1500, 2, "count")),
        (
            Counts(),
            Memory(
                syncs={ACCOUNTS: [synced(2, 30), synced(3, 50), synced(9, 2500)]},
                successes={ACCOUNTS: 1.0},
            ),
            (40, 3, "history"),
        ),
    ],
    ids=["nothing", "a refusal", "a count", "a count, and what was read of it", "earlier syncs"],
)
def test_a_stream_is_estimated_by_the_best_that_is_known(
    tmp_path: Path, counts: Counts, memory: Memory, expected: tuple[int | None, int, str]
) -> None:
    divisions, deleted, accounts = planned(tmp_path, counts, memory)

    assert (divisions.entity, divisions.rows, divisions.calls) == ("divisions", 2, 1)
    assert (deleted.division, deleted.entity, deleted.basis) == (7, "deleted", "unknown")
    assert (accounts.division, accounts.entity) == ACCOUNTS
    assert (accounts.rows, accounts.calls, accounts.basis) == expected
