"""Convergence through dlt into real databases, and with processes that are killed.

The sequences are made as those of ``test_convergence.py`` are: fewer, by every route and into each
database, through the whole of the source, dlt and SQL.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import dlt
import pytest
from hypothesis import Phase, seed
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from exact_source.client.limits import ERRORS_PER_HOUR, Limits
from exact_source.errors import HeldError
from exact_source.loading.session import error_file
from exact_source.sandbox import Sandbox, SandboxClock
from tests.engine.test_convergence import FIRST_SEED, meet_each_class, settings_for
from tests.engine.test_convergence import SEQUENCES as SEQUENCES_OF_CORE
from tests.support.bench import Bench
from tests.support.company_machine import CLASSES, Company
from tests.support.dlt_bench import DltBench
from tests.support.fixtures import MakeWorld
from tests.support.tiers import variants
from tests.support.world import Calls, World, feed_path

ENTITIES = ["accounts", "transaction_lines", "sales_invoice_lines"]
COLUMN = {"accounts": "Name", "transaction_lines": "Notes", "sales_invoice_lines": "Notes"}
ROUTES = ["sync", "bulk", "regular"]
# 304 by eight ways where the core runs 20,000; the first of all is a short one.
SEQUENCES, STEPS = max(2, SEQUENCES_OF_CORE * 38 // 20_000), 6
# Route -> entities that it reads each in another way.
READ_BY = {
    "auto": ["receivables", "transaction_lines"],
    "sync": ["accounts", "journals"],
    "bulk": ["accounts", "sales_invoice_lines", "transaction_lines"],
    "regular": ["accounts", "receivables", "sales_invoice_lines"],
}
MOMENTS: list[dict[str, Any]] = [
    {"step": 3},
    {"step": 25},
    {"round": 2},
    {"folder": "normalize/extracted/*/new_jobs/*.parquet"},
    {"folder": "load/normalized/*/started_jobs/*.parquet"},
    {"folder": "load/normalized/*/completed_jobs/*.parquet"},
    {"folder": "load/normalized/*/completed_jobs/*.sql"},
    {"folder": "load/loaded/*"},
]


class Colliding(Company):
    """Loaders that begin while another one loads."""

    @rule(every=st.integers(1, 4))
    def collide(self, every: int) -> None:
        """Another loader begins during a sync: it makes no call and loads nothing."""
        if len(self.benches) == 1:
            self.join(0.0, second_writer=True)
        other = self.benches[(self.at + 1) % len(self.benches)]
        calls: list[None] = []
        ends: list[BaseException | None] = []

        def begin() -> None:
            with ThreadPoolExecutor(1) as thread:  # dlt's contexts belong to a thread
                started = thread.submit(
                    other.sync, self.chosen, during=lambda: calls.append(None), route=self.route
                )
                ends.append(started.exception())

        self.pending.insert(0, begin)
        self.sync(self.chosen, every=every)
        if begin in self.pending:
            self.pending.remove(begin)
        assert not calls
        assert all(isinstance(end, HeldError) for end in ends), ends
        self.tally["collision"] += len(ends)


class Hand:
    """Changes a company by chance, and says how."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.graves: list[tuple[str, int, str]] = []
        self.said: list[str] = []

    def change(self, times: int = 1) -> None:
        for _ in range(times):
            doing = self.random.choice(
                [self.insert, self.update, self.update, self.delete, self.revive]
            )
            entity = self.random.choice(ENTITIES)
            doing(entity, self.random.choice(self.world.box.divisions))
            self.world.clock.sandbox.advance(0.01)

    def _insert(self, entity: str, division: int, key: str) -> None:
        row: dict[str, Any] = {"ID": key, COLUMN[entity]: f"new {len(self.said)}"}
        if entity != "accounts":
            row["LineNumber"] = 1
        if entity == "transaction_lines":  # its entry's feed tells of its end
            row["EntryID"] = f"eeeeeeee{key[8:]}"
        with suppress(ValueError):
            self.world.box.insert(feed_path(entity), division, row)
        self.said.append(f"insert {entity} {division} {key}")

    def insert(self, entity: str, division: int) -> None:
        start = f"{self.random.getrandbits(32):08x}"
        self._insert(entity, division, f"{start}-0000-4000-8000-{len(self.said):012x}")

    def update(self, entity: str, division: int) -> None:
        if keys := self.world.keys(feed_path(entity), division):
            key = self.random.choice(keys)
            self.world.box.update(
                feed_path(entity), division, key, {COLUMN[entity]: f"change {len(self.said)}"}
            )
            self.said.append(f"update {entity} {division} {key}")

    def delete(self, entity: str, division: int) -> None:
        if keys := self.world.keys(feed_path(entity), division):
            key = self.random.choice(keys)
            self.world.box.delete(feed_path(entity), division, key)
            self.graves.append((entity, division, key))
            self.said.append(f"delete {entity} {division} {key}")

    def revive(self, entity: str, division: int) -> None:
        if self.graves:
            self._insert(*self.random.choice(self.graves))

    def __repr__(self) -> str:
        return "\n".join(self.said)


def assert_converged(world: World, route: str) -> None:
    for entity in ENTITIES:
        kinds = [k for k in ROUTES if k in ROUTES[ROUTES.index(route) :]] + ROUTES[::-1]
        world.assert_equal(entity, by=next(k for k in kinds if has_feed(entity, k)))


def has_feed(entity: str, kind: str) -> bool:
    with suppress(StopIteration):
        return bool(feed_path(entity, kind))
    return False


def benches_in(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> Callable[[Sandbox], Bench]:
    """Makes loaders, each with a dataset of its own in the database."""
    destination: Any = dlt.destinations.duckdb(str(tmp_path / "exact.duckdb"))
    if database == "postgres":
        destination = dlt.destinations.postgres(request.getfixturevalue("postgres"))
    numbers = count(1)

    def make_bench(box: Sandbox) -> Bench:
        return DltBench(box, tmp_path, destination, f"company_{next(numbers)}")

    return make_bench


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database", ["duckdb", "postgres"])
def test_each_class_of_events_occurs_and_ends_with_the_rows_of_the_company(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    """The random sequences are too few for that."""

    class Directed(Company):
        tally: ClassVar[Counter[str]] = Counter()
        make_bench = staticmethod(benches_in(request, tmp_path, database))

    meet_each_class(Directed)
    assert [name for name in CLASSES if not Directed.tally[name]] == []


@pytest.mark.histories
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("route", variants(sorted(READ_BY), "auto"))
@pytest.mark.parametrize("database", variants(["duckdb", "postgres"], "duckdb"))
def test_sequences_end_with_the_rows_of_the_companies(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, route: str
) -> None:
    class Loaded(Colliding):
        tally: ClassVar[Counter[str]] = Counter()
        only = READ_BY[route], route
        make_bench = staticmethod(benches_in(request, tmp_path, database))

    seed(FIRST_SEED + sorted(READ_BY).index(route))(Loaded)
    run_state_machine_as_test(Loaded, settings=settings_for(SEQUENCES, STEPS, Phase.generate))

    assert Loaded.tally["ends"] >= SEQUENCES
    assert Loaded.tally["compared"] >= SEQUENCES
    if len(CLASSES) < SEQUENCES:
        missed = [name for name in CLASSES if not Loaded.tally[name]]
        # Each of them is in the test of all classes; a route of one entity meets fewer.
        assert len(missed) < len(CLASSES) * 2 // 3, missed
        assert Loaded.tally["collision"]


@pytest.mark.nightly
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_process_that_is_killed_loses_nothing(
    make_world: MakeWorld, moment: dict[str, Any]
) -> None:
    world = make_world(clock=SandboxClock(), minute_limit=100_000)
    hand = Hand(world, 7)
    world.sync(*ENTITIES)
    hand.change(12)
    killed = start(world, moment)
    assert killed.returncode == -9, killed.stderr
    hand.change(6)
    outcome = world.sync(*ENTITIES)

    assert outcome.exit_code == 0
    assert_converged(world, "sync")


def start(
    world: World, moment: dict[str, Any], entities: Sequence[str] = ENTITIES, max_pages: int = 4
) -> subprocess.CompletedProcess[str]:
    order = {
        "folder": str(world.folder),
        "settings": asdict(world.settings),
        "options": {"max_pages": max_pages},
        "entities": [*entities],
        "die": moment,
        "ahead_s": world.clock.sandbox.now() - time.time(),
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.support.sync_worker", json.dumps(order)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.nightly
def test_an_error_that_a_killed_process_met_counts_against_the_hour_of_the_next(
    make_world: MakeWorld,
) -> None:
    world = make_world(clock=SandboxClock(), companies=1)
    earlier, now = Limits(), world.clock.now()
    for minutes in range(1, ERRORS_PER_HOUR):
        earlier.note_error(world.division, "sync/Deleted", now - 60 * minutes)
    error_file(world.pipeline).keep(earlier, now)
    world.box.deny(world.division, "sync/Deleted")

    with world.watch() as calls:
        killed = start(world, {"step": 3}, ["accounts"])
    assert killed.returncode == -9, killed.stderr
    assert calls.statuses("sync/Deleted") == [403]  # the last of the hour
    with world.watch() as calls:
        outcome = world.sync("accounts")

    assert calls.statuses("sync/Deleted") == []
    assert "error limit" in outcome.results[0].error
    world.assert_equal("accounts")


@pytest.mark.nightly
def test_a_first_load_that_is_killed_again_and_again_ends(make_world: MakeWorld) -> None:
    world = make_world(clock=SandboxClock(), minute_limit=100_000, page_size=2, large_page_size=3)
    for moment in ({"step": 12}, {"round": 3}, {"folder": "load/normalized/*/started_jobs/*"}):
        assert start(world, moment).returncode == -9
    world.pipeline = world.new_pipeline()
    assert world.sync(*ENTITIES).exit_code == 0
    assert world.sync(*ENTITIES).exit_code == 0
    assert_converged(world, "sync")


@pytest.mark.nightly
def test_a_backfill_of_three_days_with_a_kill_in_each_reads_a_round_twice_at_most(
    make_world: MakeWorld,
) -> None:
    world = make_world(
        clock=SandboxClock(), minute_limit=1000, daily_limit=12, companies=1, large_page_size=1
    )
    path, asked = feed_path("transaction_lines"), list[str]()
    for day in range(3):
        with world.watch() as calls:
            killed = start(world, {"step": 6}, ["transaction_lines"], max_pages=2)
            outcome = world.sync("transaction_lines", max_pages=2)
        assert killed.returncode == -9, killed.stderr
        assert outcome.exit_code == 3, f"day {day} was not long enough"
        assert set(calls.statuses()) == {200}
        asked += first_pass(calls, path)
        assert len(asked) - len(set(asked)) <= 2 * (day + 1)
        next_day(world)
    world.box.state.limits.daily_limit = 5000
    with world.watch() as calls:
        assert world.sync("transaction_lines").exit_code == 0
    asked += first_pass(calls, path)

    assert len(set(asked)) == len(asked) - 6 == len(world.keys(path)) + 1
    world.assert_equal("transaction_lines")


def next_day(world: World) -> None:
    clock = world.clock.sandbox
    clock.set((clock.now() // 86_400 + 1) * 86_400 + 5)
    world.login()


def first_pass(calls: Calls, path: str) -> list[str]:
    """The pages that were read of all rows, not those of what changed since."""
    asked = [c.query for c in calls.to(path) if c.status == 200]
    return [str(q.get("$skiptoken")) for q in asked if "1900" in q["$filter"]]


@pytest.mark.nightly
def test_a_full_disk_loses_a_round_at_most(make_world: MakeWorld) -> None:
    world = make_world(clock=SandboxClock(), minute_limit=1000, companies=1, large_page_size=2)
    path = feed_path("transaction_lines")
    with world.watch() as calls:
        failed = start(world, {"disk": 2000}, ["transaction_lines"], max_pages=2)
    assert failed.returncode == 1
    assert "File too large" in failed.stderr  # ENOSPC needs a disk of one's own
    with world.watch() as more:
        assert world.sync("transaction_lines", max_pages=2).exit_code == 0

    asked = first_pass(calls, path) + first_pass(more, path)
    assert len(asked) > 4
    assert len(asked) - len(set(asked)) <= 2
    assert world.sync("transaction_lines").exit_code == 0
    world.assert_equal("transaction_lines")
