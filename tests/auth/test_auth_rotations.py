"""Eight processes share one connection: nothing is refused and nothing is lost.

Each process rotates EXACT_TEST_ROTATIONS times (default 10). ``make proofs-tokens`` sets 200. On
the emulator of BigQuery, where each takes a second, a tenth of them are made.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.auth_kit import POSTGRES_STORES, Exact, StoreSpec, exact_online, start_worker
from tests.support.postgres import fresh_database
from tests.support.tiers import variants

PROCESSES = int(os.environ.get("EXACT_TEST_PROCESSES", "8"))
ROTATIONS = int(os.environ.get("EXACT_TEST_ROTATIONS", "10"))
BIGQUERY = pytest.param(
    "dlt-bigquery",
    marks=[
        pytest.mark.xdist_group("bigquery"),
        pytest.mark.skipif(ROTATIONS < 100, reason="a second a rotation; make proofs-tokens"),
    ],
)
STORES = ("file", "file-encrypted", "sqlite", "postgres", "dlt-postgres")
SHARED = [*variants(STORES, "file", "postgres"), BIGQUERY]


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture(params=SHARED)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreSpec]:
    if request.param == "dlt-bigquery":
        request.getfixturevalue("bigquery")
    if request.param not in POSTGRES_STORES:
        yield StoreSpec(request.param, str(tmp_path))
        return
    with fresh_database() as dsn:
        yield StoreSpec(request.param, str(tmp_path), dsn)


def test_no_process_is_refused_and_no_pair_is_lost(exact: Exact, store: StoreSpec) -> None:
    store.open().save_tokens(exact.new_tokens())
    connection = exact.connection(store)
    rotations = ROTATIONS // 10 if store.kind == "dlt-bigquery" else ROTATIONS
    worker = start_worker("rotate", connection.to_json(), str(rotations), str(PROCESSES))
    results = json.loads(worker.communicate()[0])

    assert [result["errors"] for result in results] == [[]] * PROCESSES
    assert [result["rotations"] for result in results] == [rotations] * PROCESSES
    requests = exact.box.token_requests
    assert [request.status for request in requests] == [200] * (PROCESSES * rotations)
    assert len({request.form["refresh_token"] for request in requests}) == len(requests)
    exact.clock.advance(575)
    assert exact.is_good(asyncio.run(connection.oauth().access_token()))
