"""Histories against the second Exact Online: a sync that ends well holds the truth.

Short scripts come first, each with one thing that a clock, a page, a table or a writer does. Random
histories mix them. A random history that fails shows its seed and its steps;
``History(seed, known=KNOWN).run()`` repeats it.

A tenth of EXACT_CONVERGENCE_SEQUENCES run at night, from EXACT_CONVERGENCE_SEED on.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.classes_met import Record, report_classes
from tests.support.independent.bench import HOSTILE_BYTES, IndependentBench
from tests.support.independent.clocks import HostClock
from tests.support.independent.history import (
    CLASSES,
    COLUMNS,
    ENTITIES,
    HOUR_S,
    SEASONS,
    History,
)
from tests.support.independent_server import IndependentServer, Rules

HISTORIES = int(os.environ.get("EXACT_CONVERGENCE_SEQUENCES", "20000")) // 10
FIRST_SEED = int(os.environ.get("EXACT_CONVERGENCE_SEED", "0"))
QUICK, SHARD = 50, 125  # histories
SHARDS = max(1, HISTORIES // SHARD)
IS_NIGHT = HISTORIES >= 2000  # then each class occurs
# Class of histories that diverges -> the fault. Random histories leave these classes out, and their
# scripts must fail.
KNOWN: dict[str, str] = {}


# -- scripts ---------------------------------------------------------------------------------------


class Company:
    """A company with six rows of one entity, which a host has loaded once.

    Args:
        entity: Entity to load.
        route: Feed to load it from.
        ahead: Seconds that the host's clock is ahead.
        season: Key of ``SEASONS``.
        page: Rows per page.
    """

    def __init__(
        self,
        entity: str,
        route: str = "auto",
        *,
        ahead: float = 0,
        season: str = "june",
        page: int = 3,
    ) -> None:
        self.entity, self.route = entity, route
        self.server = IndependentServer(
            [1001], start=SEASONS[season], rules=Rules(page=page, large_page=page)
        )
        self.books = self.server.companies[1001]
        self.table = ENTITIES[entity][0][0]
        self.keys = []
        for name in "abcdef":
            self.keys.append(self.books.insert(self.table, **self.named(name), LineNumber=1))
            self.server.clock.advance(1)
        self.bench = IndependentBench(self.server, HostClock(self.server.clock, ahead))
        self.sync()

    @property
    def host(self) -> HostClock:
        assert isinstance(self.bench.clock, HostClock)
        return self.bench.clock

    def named(self, name: str) -> dict[str, Any]:
        return {COLUMNS[self.table]: name}

    def rename(self, place: int, name: str) -> None:
        self.books.update(self.table, self.keys[place], **self.named(name))
        self.server.clock.advance(1)

    def delete(self, place: int) -> None:
        self.books.delete(self.table, self.keys[place])
        self.server.clock.advance(1)

    def sync(self, bench: IndependentBench | None = None, **options: Any) -> None:
        """Run a sync that ends well, and let a minute pass."""
        options = {"route": self.route, "reconcile_days": 0, **options}
        results = (bench or self.bench).sync([self.entity], **options)
        assert [r.status for r in results] == ["complete"]
        self.server.clock.advance(60)

    def assert_equal(self) -> None:
        self.bench.assert_equal(self.entity, self.route, [1001])


def a_clock_is_set_back() -> None:
    company = Company("units", ahead=120)
    company.host.jump(-120)
    company.delete(0)
    company.sync()
    company.assert_equal()


def a_second_host_is_behind() -> None:
    company = Company("journals", ahead=120)
    other = IndependentBench(
        company.server, HostClock(company.server.clock, -120), company.bench.ledger
    )
    company.delete(0)
    company.sync(other)
    company.assert_equal()


def a_clock_is_ahead_and_a_row_commits_late() -> None:
    company = Company("transaction_lines", ahead=5 * HOUR_S)
    writing = company.books.transaction()
    writing.insert(company.table, LineNumber=1, Notes="late")
    company.server.clock.advance(1200)
    company.rename(0, "x")
    company.sync()
    writing.commit()
    company.sync()
    company.assert_equal()


def a_clock_is_ahead_in_the_hour_that_comes_twice() -> None:
    company = Company("transaction_lines", ahead=5 * HOUR_S, season="october")
    company.server.clock.advance(HOUR_S + 1100)  # 02:58, for the first time
    company.rename(0, "x")
    company.sync()
    company.server.clock.advance(HOUR_S / 4)  # 02:15, for the second time
    company.rename(1, "y")
    company.sync()
    company.assert_equal()


def a_table_is_dropped() -> None:
    company = Company("accounts")
    company.bench.ledger.drop("accounts")
    company.rename(0, "x")
    company.sync()
    company.assert_equal()


ENTITY_PATHS = {"accounts": "/Accounts", "transaction_lines": "Lines", "vat_codes": "VATCodes"}


def pages_show_rows_in_two_states(entity: str, route: str, kind: str) -> None:
    company = Company(entity, route)
    for place in range(6):
        company.rename(place, f"new {place}")
    company.sync()  # so that the newer states are known
    company.server.faults.add(kind, ENTITY_PATHS[entity], 9)
    company.sync()
    assert kind in {call.fault for call in company.server.calls}
    company.server.faults.queue.clear()
    company.sync()
    company.assert_equal()


def a_row_is_recreated_in_a_step_while_it_is_read(entity: str, at_call: int) -> None:
    company = Company(entity, "bulk", page=100)
    company.rename(0, "x")
    calls = iter(range(1, 1000))

    def during() -> None:
        if next(calls) == at_call:
            company.books.recreate(company.table, company.keys[0], **company.named("again"))

    company.sync(during=during)
    company.sync()
    company.assert_equal()


def a_second_writer_has_cursors_of_its_own() -> None:
    company = Company("accounts")
    other = IndependentBench(
        company.server, HostClock(company.server.clock), company.bench.ledger.shared()
    )
    for name in ("x", "y"):
        company.rename(0, name)
        company.delete(-1)
        company.keys.pop()
        company.sync(other)
        company.assert_equal()
        company.rename(1, name)
        company.sync()
        company.assert_equal()


def a_page_has_a_hostile_size(kind: str) -> None:
    """A page that is too large is not read, and spoils no row."""
    company = Company("accounts", "regular")
    company.rename(0, "x")
    company.server.faults.add(kind, "Accounts", size=HOSTILE_BYTES)
    (result,) = company.bench.sync(["accounts"], route="regular", reconcile_days=0)
    assert kind in {call.fault for call in company.server.calls}
    assert (result.status, result.code) == ("failed", "contract")
    company.server.clock.advance(2 * HOUR_S)
    company.sync()
    company.assert_equal()


# Class -> scripts.
SCRIPTS: dict[str, dict[str, Callable[[], None]]] = {
    "clock back": {"a clock is set back": a_clock_is_set_back},
    "two hosts": {"a second host is behind": a_second_host_is_behind},
    "clock ahead": {
        "a row commits late": a_clock_is_ahead_and_a_row_commits_late,
        "an hour comes twice": a_clock_is_ahead_in_the_hour_that_comes_twice,
    },
    "dropped table": {"a table is dropped": a_table_is_dropped},
    "unequal twins": {
        f"{entity} {route} {kind}": lambda e=entity, r=route, k=kind: (  # type: ignore[misc]
            pages_show_rows_in_two_states(e, r, k)
        )
        for entity, route in [
            ("accounts", "bulk"), ("accounts", "regular"), ("transaction_lines", "bulk"),
            ("transaction_lines", "regular"), ("vat_codes", "regular"),
        ]
        for kind in ("old-then-new", "new-then-old")
    },
    "unequal twins in sync": {
        kind: lambda k=kind: pages_show_rows_in_two_states("accounts", "sync", k)  # type: ignore[misc]
        for kind in ("old-then-new", "new-then-old")
    },
    "recreated in a step": {
        f"{entity} at call {at}": lambda e=entity, a=at: (  # type: ignore[misc]
            a_row_is_recreated_in_a_step_while_it_is_read(e, a)
        )
        for entity in ("accounts", "transaction_lines")
        for at in range(3, 9)
    },
    "hostile size": {
        kind: lambda k=kind: a_page_has_a_hostile_size(k)  # type: ignore[misc]
        for kind in ("huge", "bomb")
    },
    "second writer": {"cursors of its own": a_second_writer_has_cursors_of_its_own},
}  # fmt: skip


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            script,
            id=f"{name}: {title}",
            marks=[pytest.mark.xfail(reason=KNOWN[name], raises=AssertionError)]
            if name in KNOWN
            else [],
        )
        for name, scripts in SCRIPTS.items()
        for title, script in scripts.items()
    ],
)
def test_scripts(script: Callable[[], None]) -> None:
    script()


# -- random histories ------------------------------------------------------------------------------


def run_histories(seeds: range) -> Counter[str]:
    """Counts of what histories did.

    Raises:
        Exception: Of the first that fails; it has the seed and the script as a note.
    """
    tally: Counter[str] = Counter()
    for seed in seeds:
        history = History(seed, known=KNOWN)
        try:
            history.run()
        except Exception as error:
            error.add_note("\n".join([f"seed {seed}", *history.script]))
            raise
        tally += history.tally
    return tally


@pytest.mark.parametrize("first", range(0, QUICK, 10))
def test_a_sync_that_ends_well_holds_the_truth(first: int) -> None:
    did = run_histories(range(first, first + 10))

    assert did["ends"] == 10
    assert did["syncs"] >= 60
    assert did["compared"] >= 30


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_thousands_of_histories(shard: int, record_property: Record) -> None:
    first, count = FIRST_SEED + QUICK + shard * SHARD, min(SHARD, HISTORIES)
    did = run_histories(range(first, first + count))

    assert did["ends"] == count
    if IS_NIGHT:
        report_classes(record_property, CLASSES, did, shards=SHARDS)


def test_a_history_is_made_of_its_seed() -> None:
    histories = [History(7), History(7)]
    for history in histories:
        history.run(steps=4)
    assert histories[0].script == histories[1].script
    assert len(histories[0].script) > 10
