"""Rows that claim a dataset: one writer at a time where the database has no lock of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlt
import pytest

from exact_source.errors import HeldError
from exact_source.loading.writer import Writer
from exact_source.loading.writer_claims import TTL_S, ClaimLock, Claims, claim
from exact_source.loading.writer_lock import TakenError, _lock_of, sole_writer
from tests.support.destinations import world_in


@dataclass
class Steady:
    """A steady clock that only ``sleep`` moves."""

    passed: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds


def pipeline_of(folder: Path, name: str) -> dlt.Pipeline:
    """DuckDB stands in for a warehouse; connections of one process share its file."""
    made: dlt.Pipeline = dlt.pipeline(
        name, destination=dlt.destinations.duckdb(str(folder / "exact.duckdb")),
        dataset_name="books", pipelines_dir=str(folder),
    )  # fmt: skip
    return made


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    made = Claims(pipeline_of(tmp_path, "any"))
    made.create()
    made.create()
    return made


def lock(claims: Claims, name: str, clock: Steady, **more: Any) -> ClaimLock:
    writer = Writer(name, "host", 1, 0.0)
    return ClaimLock(claims, "books", writer, steady=clock.now, sleep=clock.sleep, **more)


def test_a_claim_has_one_holder_until_it_is_released(claims: Claims) -> None:
    clock = Steady()
    first, second = lock(claims, "first", clock), lock(claims, "second", clock)
    first.take()
    first.confirm()
    with pytest.raises(TakenError) as taken:
        second.take()
    assert taken.value.writer == Writer("first", "host", 1, 0.0)
    assert len(clock.slept) == 3  # the first one is young and might have withdrawn its claim

    first.release()
    second.take()
    second.confirm()


def test_a_claim_that_expired_is_followed_by_another_and_is_not_extended(claims: Claims) -> None:
    clock = Steady()
    killed, next_one = lock(claims, "killed", clock, ttl_s=0.0), lock(claims, "next", clock)
    killed.take()
    with pytest.raises(HeldError):
        killed.confirm()
    next_one.take()
    killed.renew()
    with pytest.raises(HeldError):
        killed.confirm()
    next_one.confirm()


def test_a_holder_stops_before_its_claim_expires_and_goes_on_once_it_is_extended(
    claims: Claims,
) -> None:
    clock = Steady()
    held = lock(claims, "held", clock)
    held.take()
    clock.passed += TTL_S
    with pytest.raises(HeldError):
        held.confirm()
    held.renew()
    held.confirm()


def test_of_many_claims_at_once_at_most_one_holds(postgres: str, tmp_path: Path) -> None:
    pipeline = dlt.pipeline(
        "any", destination=dlt.destinations.postgres(postgres), dataset_name="books",
        pipelines_dir=str(tmp_path),
    )  # fmt: skip
    claims = Claims(pipeline)
    claims.create()
    together, holders = threading.Barrier(4), list[str]()

    def take(name: str) -> None:
        mine = lock(claims, name, Steady())
        together.wait()
        try:
            mine.take()
        except TakenError:
            return
        holders.append(name)

    threads = [threading.Thread(target=take, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(holders) <= 1


def test_a_claim_is_removed_at_the_end(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, "first")
    with claim(pipeline, Writer("first", "host", 1, 0.0)) as held:
        held.confirm()
        assert Claims(pipeline).others("none")
    assert Claims(pipeline).others("none") == []


@pytest.mark.parametrize("kind", ["bigquery", "snowflake", "databricks", "redshift"])
def test_warehouses_without_locks_are_claimed(kind: str) -> None:
    class Target:
        destination_type = f"dlt.destinations.{kind}"

    class Pipeline:
        destination = Target

    made: Any = Pipeline
    assert _lock_of(made) is claim


@pytest.mark.nightly
@pytest.mark.xdist_group("bigquery")
def test_a_dataset_of_bigquery_has_one_writer(tmp_path: Path) -> None:
    with world_in("bigquery", tmp_path) as world:
        other = dlt.pipeline(
            "other", destination=world.destination, dataset_name=world.dataset,
            pipelines_dir=str(tmp_path / "other"),
        )  # fmt: skip
        with sole_writer(other, 0.0):
            refused = world.sync("accounts")
        assert refused.exit_code == 3
        assert "pipeline other" in str(refused.error)
        assert world.sync("accounts").exit_code == 0
        world.assert_equal("accounts")
