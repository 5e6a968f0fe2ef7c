"""kill -9 at every line of a rotation: after a restart the old pair or the new one works.

A few lines of each store are tried by default; ``EXACT_TEST_KILLS=0`` tries every one, as
``make proofs-tokens`` does. On the emulator of BigQuery, where each takes a second, it is every fifth.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.auth_kit import (
    POSTGRES_STORES,
    STORES,
    Exact,
    StoreSpec,
    exact_online,
    start_worker,
)
from tests.support.postgres import fresh_database
from tests.support.tiers import variants

KILLS = int(os.environ.get("EXACT_TEST_KILLS", "-1"))
BIGQUERY_STEP = 5
DEFAULT_KILLS = {"file": 24, "file-encrypted": 8, "sqlite": 8, "postgres": 6}
BIGQUERY = pytest.param(
    "dlt-bigquery",
    marks=[
        pytest.mark.xdist_group("bigquery"),
        pytest.mark.skipif(KILLS < 0, reason="seconds a rotation; make proofs-tokens"),
    ],
)


class Victim:
    """A process that forks children to be killed."""

    def __init__(self, exact: Exact, store: StoreSpec) -> None:
        self.exact, self.store = exact, store
        self.process: subprocess.Popen[str] = start_worker(
            "orders", exact.connection(store).to_json()
        )

    def order(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def rotate(self, *, kill_at: int, before: bool) -> dict[str, Any]:
        """A login, then a rotation that is due, killed at a line; 0 lets it live."""
        self.order(do="save", tokens=self.exact.new_tokens().to_json())
        self.exact.clock.advance(575)
        self.exact.box.token_requests.clear()
        return self.order(do="kill", at=kill_at, before=before)

    def kills(self, *, before: bool) -> Iterator[tuple[int, bool, str]]:
        """Line, whether Exact had rotated by then, and what a new process gets: a good token or an error."""
        lines = self.rotate(kill_at=0, before=before)["lines"]
        wanted = KILLS if KILLS >= 0 else DEFAULT_KILLS.get(self.store.kind, 3)
        every = BIGQUERY_STEP if self.store.kind == "dlt-bigquery" else 1
        for line in range(1, lines + 1, max(1, lines // wanted) if wanted else every):
            assert self.rotate(kill_at=line, before=before) == {"signal": signal.SIGKILL}
            has_rotated = bool(self.exact.box.token_requests)
            result = self.order(do="restart")
            if "access_token" in result:
                assert self.exact.is_good(result["access_token"])
            yield line, has_rotated, result.get("error", "")


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture(params=[*variants(STORES, "file"), BIGQUERY])
def victim(request: pytest.FixtureRequest, exact: Exact, tmp_path: Path) -> Iterator[Victim]:
    with ExitStack() as stack:
        if request.param == "dlt-bigquery":
            request.getfixturevalue("bigquery")
        is_postgres = request.param in POSTGRES_STORES
        dsn = stack.enter_context(fresh_database()) if is_postgres else ""
        victim = Victim(exact, StoreSpec(request.param, str(tmp_path), dsn))
        yield victim
        victim.process.communicate()


def test_killed_before_the_answer_it_goes_on_with_the_old_pair(victim: Victim) -> None:
    for line, has_rotated, error in victim.kills(before=True):
        # The last lines may run while the answer is on its way: that is the window below.
        assert not error or has_rotated, f"line {line}: {error}"


def test_only_between_answer_and_disk_is_a_pair_lost(victim: Victim) -> None:
    errors = [error for _, _, error in victim.kills(before=False)]

    lost = [error for error in errors if error]
    assert errors[: len(lost)] == lost, "a pair that was once on disk was lost again"
    assert len(lost) < len(errors)
    assert all("exact-source login" in error and "killed" in error for error in lost)


def test_with_grace_no_kill_loses_anything(victim: Victim) -> None:
    victim.exact.box.state.oauth.grace = True

    assert [error for _, _, error in victim.kills(before=False) if error] == []
