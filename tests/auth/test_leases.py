"""A lease has one holder at a time, even if a holder dies, sleeps or has a wrong clock."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from exact_source.errors import ConfigurationError, HeldError, LeaseStoreError
from exact_source.loading.session import Session
from exact_source.orchestration import open_divisions
from exact_source.settings import Settings
from exact_source.source import run_source
from exact_source.workers.lease_table import TABLE
from exact_source.workers.leases import Clocks, SqlLeases, division_item, leases_from_settings
from tests.support.postgres import fresh_database
from tests.support.tiers import examples
from tests.support.world import World

TTL_S = 60.0
ITEM = division_item(1)


@dataclass
class Times:
    """One time that passes for all; each clock shows it in its own way."""

    passed: float = 0.0
    database_offset: float = 5_000.0
    slept: list[float] = field(default_factory=list)

    def clocks(self, offset: float = 0.0) -> Clocks:
        return Clocks(
            steady=lambda: self.passed + offset,
            wall=lambda: self.passed + offset,
            database=lambda: self.passed + self.database_offset,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'leases.db'}"
        return
    with fresh_database() as dsn:
        yield dsn


def worker(url: str, times: Times, name: str, offset: float = 0.0) -> SqlLeases:
    return SqlLeases(url, ttl_s=TTL_S, holder=name, clocks=times.clocks(offset))


def refusal(leases: SqlLeases, item: str = ITEM) -> str:
    with pytest.raises(HeldError) as refused, leases.held(item):
        pass
    return str(refused.value)


def test_an_item_has_one_holder_until_it_is_given_back(url: str) -> None:
    times = Times()
    a, b = worker(url, times, "a"), worker(url, times, "b", offset=777)
    a.take([ITEM])
    b.take([ITEM])
    assert (a.holds(ITEM), b.holds(ITEM)) == (True, False)
    assert refusal(b).startswith(f"{ITEM} is held by a:")

    a.release()
    b.take([ITEM])
    assert (a.holds(ITEM), b.holds(ITEM)) == (False, True)


def test_an_item_that_is_given_back_while_it_is_renewed_is_free(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = Times()
    a, b = worker(url, times, "a"), worker(url, times, "b")
    a.take([ITEM])
    begin = a._table.transaction

    def released_first() -> Any:
        monkeypatch.setattr(a._table, "transaction", begin)
        a.release([ITEM])
        return begin()

    monkeypatch.setattr(a._table, "transaction", released_first)
    a.renew()

    b.take([ITEM])
    assert (a.holds(ITEM), b.holds(ITEM)) == (False, True)


def test_connections_with_names_of_their_own_share_a_table_but_no_item(url: str) -> None:
    times = Times()
    mine, other, rival = (
        SqlLeases(url, name=name, ttl_s=TTL_S, holder=name, clocks=times.clocks())
        for name in ("mine", "other", "other")
    )
    mine.take([ITEM])
    other.take([ITEM])
    assert (mine.holds(ITEM), other.holds(ITEM)) == (True, True)

    mine.release()
    rival.take([ITEM])
    assert (other.holds(ITEM), rival.holds(ITEM)) == (True, False)
    assert (mine.free_divisions(), other.free_divisions()) == ([1], [])


def test_what_is_renewed_stays_and_what_is_not_is_taken_over(url: str) -> None:
    times = Times()
    a, b = worker(url, times, "a"), worker(url, times, "b")
    a.take([ITEM])
    for _ in range(5):
        times.passed += TTL_S - 1
        a.renew()
        b.take([ITEM])
        assert (a.holds(ITEM), b.holds(ITEM)) == (True, False)

    times.passed += TTL_S
    assert not a.holds(ITEM)
    b.take([ITEM])
    assert b.holds(ITEM)

    a.renew()
    assert refusal(a).startswith(f"{ITEM} is held by b:")
    b.confirm()


def test_what_was_lost_is_not_taken_again_for_the_same_run(url: str) -> None:
    times = Times()
    a, b = worker(url, times, "a"), worker(url, times, "b")
    a.take([ITEM])
    times.passed += TTL_S
    b.take([ITEM])
    b.release()

    with pytest.raises(HeldError, match="taken over by b"):
        a.confirm()
    a.take([ITEM])  # the rows that a read meanwhile may be older than those that b loaded
    assert not a.holds(ITEM)
    with pytest.raises(HeldError, match="taken over by b"):
        a.confirm()


def test_another_worker_sees_the_process_and_the_folder_of_the_holder(url: str) -> None:
    first, second = SqlLeases(url), SqlLeases(url)
    first.take([ITEM])

    told = refusal(second)

    assert f":{os.getpid()} in " in told
    assert f"{str(Path.cwd())[-40:]}:" in told


def test_what_was_lost_while_the_holder_stood_still_is_not_taken_again(url: str) -> None:
    times = Times()
    a, b = worker(url, times, "a"), worker(url, times, "b")
    a.take([ITEM])
    times.passed += TTL_S
    b.take([ITEM])
    b.release()

    a.take([ITEM])
    assert not a.holds(ITEM)
    with pytest.raises(HeldError, match="taken over by b"):
        a.confirm()


def test_a_lease_that_ran_out_and_nobody_took_is_renewed(url: str) -> None:
    times = Times()
    a = worker(url, times, "a")
    a.take([ITEM])
    times.passed += 10 * TTL_S
    assert not a.holds(ITEM)
    a.confirm()
    assert a.holds(ITEM)


def test_a_late_answer_makes_no_lease_longer(tmp_path: Path) -> None:
    times = Times()
    url = f"sqlite:///{tmp_path / 'leases.db'}"
    a, b = worker(url, times, "a"), worker(url, times, "b")
    clocks = times.clocks()

    def slow_database() -> float:
        at = times.passed + times.database_offset
        times.passed += 7.0  # the answer takes its time
        return at

    a = SqlLeases(
        url,
        ttl_s=TTL_S,
        holder="a",
        clocks=Clocks(clocks.steady, clocks.wall, slow_database, clocks.sleep),
    )
    a.take([ITEM])
    while a.holds(ITEM):
        b.take([ITEM])
        assert not b.holds(ITEM)
        times.passed += 1.0


def test_waits_for_what_another_holds(url: str) -> None:
    times = Times()
    a, b = worker(url, times, "a"), worker(url, times, "b")
    a.take([ITEM])
    with b.held(ITEM, wait_s=2 * TTL_S):
        assert b.holds(ITEM)
    assert sum(times.slept) == pytest.approx(TTL_S, abs=1)
    with pytest.raises(HeldError), a.held("other"), b.held("other", wait_s=TTL_S / 2):
        pass


def test_many_items_are_taken_in_one_go_whoever_else_takes_them(url: str) -> None:
    """Crosswise locks would end in a deadlock; each item ends with one of the four."""
    workers = [SqlLeases(url, holder=str(n)) for n in range(4)]
    items = [division_item(n) for n in range(200)]
    together = threading.Barrier(4)

    def take(n: int) -> None:
        together.wait()
        workers[n].take(items[n * 50 :] + items[: n * 50])

    for _ in range(5):  # the first time rows are inserted, which makes the others wait
        threads = [threading.Thread(target=take, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [sum(w.holds(item) for w in workers) for item in items] == [1] * 200
        for held in workers:
            held.release()


Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["take", "renew", "release"]), st.integers(0, 2)),
        st.tuples(st.just("pass"), st.integers(1, 90)),
    ),
    max_size=40,
)


@examples(60)
@given(steps, st.lists(st.integers(-5000, 5000), min_size=3, max_size=3))
def test_never_two_holders_whatever_happens_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], offsets: list[int]
) -> None:
    """Holders with clocks of their own take, renew, give back, or stand still for as long as they like."""
    times = Times()
    url = f"sqlite:///{tmp_path_factory.mktemp('leases') / 'leases.db'}"
    workers = [worker(url, times, str(n), offset) for n, offset in enumerate(offsets)]
    items = [division_item(n) for n in range(2)]
    for action, number in steps:
        if action == "pass":
            times.passed += number
        elif action == "take":
            workers[number].take(items)
        elif action == "renew":
            workers[number].renew()
        else:
            workers[number].release()
        for item in items:
            assert sum(w.holds(item) for w in workers) <= 1


HOLDER = """
import sys, time
from exact_source.leases import SqlLeases
with SqlLeases(sys.argv[1], ttl_s=1.0) as leases, leases.held(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_holder_is_followed_by_another_and_a_living_one_is_not(url: str) -> None:
    command = [sys.executable, "-c", HOLDER, url, ITEM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        other = SqlLeases(url, ttl_s=1.0)
        with pytest.raises(HeldError), other.held(ITEM, wait_s=2.5):
            pass  # it is renewed for as long as it lives
        os.kill(holder.pid, signal.SIGKILL)
        with other.held(ITEM, wait_s=30):
            assert other.holds(ITEM)


# -- in a sync -------------------------------------------------------------------------------------


@pytest.fixture
def shared(world: World, tmp_path: Path) -> Iterator[tuple[World, SqlLeases, SqlLeases]]:
    """A world, its worker's leases, and those of another worker."""
    url = f"sqlite:///{tmp_path / 'leases.db'}"
    with ExitStack() as stack:
        other = stack.enter_context(SqlLeases(url, holder="other"))
        yield world, SqlLeases(url, holder="mine"), other


def sync(world: World, leases: SqlLeases, **options: Any) -> Any:
    run = world.make_run(leases=leases, **options)
    return world.sync_with(run, "accounts", "items")


def test_a_division_of_another_worker_is_left_to_it(
    shared: tuple[World, SqlLeases, SqlLeases],
) -> None:
    world, mine, other = shared
    other.take_divisions([world.division])
    with world.watch() as calls:
        outcome = sync(world, mine, divisions=world.box.divisions)

    assert outcome.exit_code == 3
    held = [r for r in outcome.results if r.division == world.division]
    assert {(r.status, r.calls) for r in held} == {("waiting", 0)}
    assert all("is held by other:" in r.error for r in held)
    assert outcome.resumes_at is not None
    assert calls.all
    assert world.division not in {c.division for c in calls.all}
    assert {r["division"] for r in world.table("accounts")} == {world.other}

    other.release()
    assert sync(world, mine).exit_code == 0
    world.assert_equal("accounts")


def test_nothing_is_held_after_a_sync(shared: tuple[World, SqlLeases, SqlLeases]) -> None:
    world, mine, other = shared
    assert sync(world, mine).exit_code == 0
    items = [division_item(d) for d in world.box.divisions]
    items += ["pipeline exact_online", "loads into exact_online"]
    other.take(items)
    assert all(other.holds(item) for item in items)


def test_a_pipeline_of_another_worker_is_left_to_it(
    shared: tuple[World, SqlLeases, SqlLeases],
) -> None:
    world, mine, other = shared
    with other.held("pipeline exact_online"), world.watch() as calls:
        outcome = sync(world, mine)
    assert (outcome.exit_code, len(calls)) == (3, 0)
    assert "pipeline exact_online is held by other:" in str(outcome.error)


def test_loads_of_one_dataset_follow_each_other(
    shared: tuple[World, SqlLeases, SqlLeases], tmp_path: Path
) -> None:
    world, _, other = shared
    other.take(["loads into exact_online"])
    waits: list[bool] = []

    def sleep(_seconds: float) -> None:
        with world.pipeline.sql_client() as client:
            waits.append(client.has_dataset())  # made by a load
        if len(waits) == 3:
            other.release()

    url = f"sqlite:///{tmp_path / 'leases.db'}"
    assert sync(world, SqlLeases(url, clocks=Clocks(sleep=sleep))).exit_code == 0
    assert waits == [False] * 3
    world.assert_equal("accounts")


def test_what_was_read_under_a_lease_that_was_lost_is_not_loaded(
    shared: tuple[World, SqlLeases, SqlLeases], tmp_path: Path
) -> None:
    world, mine, other = shared
    run = world.make_run(leases=mine)
    taken: list[int] = []

    def take_over(result: Any) -> None:
        if result.status == "complete" and not taken:
            taken.append(result.division)
            with sqlite3.connect(tmp_path / "leases.db") as database:
                database.execute(f"UPDATE {TABLE} SET expires_at = 0 WHERE item LIKE 'division%'")
            other.take_divisions(world.box.divisions)

    run.log.on_progress = take_over
    outcome = world.sync_with(run, "accounts", "items")

    assert outcome.exit_code == 3
    assert "was taken over by other:" in str(outcome.error)
    assert not world.pipeline.has_pending_data
    with world.pipeline.sql_client() as client:
        assert not client.has_dataset()


def test_a_package_that_was_left_over_is_read_again_not_loaded(
    shared: tuple[World, SqlLeases, SqlLeases],
) -> None:
    """Another worker may have loaded newer rows since."""
    world, mine, _ = shared
    assert sync(world, mine).exit_code == 0
    name = {"Name": "Older"}
    world.box.update("crm/Accounts", world.division, world.keys("crm/Accounts")[0], name)
    world.pipeline.extract(run_source(Session(world.make_run()), ["accounts"]))
    assert world.pipeline.has_pending_data

    assert sync(world, mine).exit_code == 0
    world.assert_equal("accounts")
    assert world.sql("SELECT count(*) FROM exact_online._dlt_loads") == [(2,)]


def test_without_the_database_no_call_is_made(world: World, tmp_path: Path) -> None:
    leases = SqlLeases("postgresql://nobody@127.0.0.1:1/books")
    with world.watch() as calls:
        outcome = sync(world, leases)
    assert (outcome.exit_code, len(calls)) == (3, 0)
    assert isinstance(outcome.error, LeaseStoreError)


def test_a_wrong_address_of_the_database_is_a_setting_to_correct(
    world: World, tmp_path: Path
) -> None:
    """Schedulers take exit code 3 for a sync that the next one continues."""
    leases = SqlLeases(f"sqlite:///{tmp_path / 'nowhere' / 'leases.db'}")
    with world.watch() as calls, pytest.raises(ConfigurationError) as refused:
        sync(world, leases)
    assert len(calls) == 0
    assert "unable to open database file" in str(refused.value)


@pytest.mark.parametrize("password", ["p@ss/w:rd", "gehe@im", "a#b"])
def test_a_password_that_is_not_escaped_is_not_shown(password: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        SqlLeases(f"postgresql://syncer:{password}@127.0.0.1:1/books")
    assert not [part for part in re.split("[@/:#]", password) if f"{part}@" in str(refused.value)]
    assert password not in str(refused.value)


@pytest.fixture
def as_configured(
    shared: tuple[World, SqlLeases, SqlLeases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = shared[0]
    settings = {
        "base_url": world.base_url,
        "client_id": world.box.client_id,
        "client_secret": world.box.client_secret,
        "token_file": str(world.folder / "tokens.json"),
        "token_url": f"sqlite:///{tmp_path / 'leases.db'}",
        "leases": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)


@pytest.mark.usefixtures("as_configured")
def test_who_asks_for_the_divisions_holds_none_afterwards(
    shared: tuple[World, SqlLeases, SqlLeases],
) -> None:
    world, _, other = shared
    assert open_divisions(world.clock) == world.box.divisions
    other.take_divisions(world.box.divisions)
    assert all(other.holds(division_item(d)) for d in world.box.divisions)


@pytest.mark.usefixtures("as_configured")
def test_the_divisions_are_asked_for_by_one_that_nobody_is_at(
    shared: tuple[World, SqlLeases, SqlLeases],
) -> None:
    world, mine, other = shared
    mine.take_divisions(world.box.divisions)
    mine.release()  # so that the table knows them
    other.take_divisions([world.division])  # the user's current one
    with world.watch() as calls:
        assert open_divisions(world.clock) == world.box.divisions
    assert [c.division for c in calls.to("system/Divisions")] == [world.other]

    other.take_divisions([world.other])
    with (
        world.watch() as calls,
        pytest.raises(HeldError, match=f"{division_item(world.division)} is"),
    ):
        open_divisions(world.clock)
    assert calls.to("system/Divisions") == []


def test_settings_ask_for_leases_in_the_database_of_the_tokens(tmp_path: Path) -> None:
    plain: dict[str, Any] = {
        "base_url": "",
        "client_id": "",
        "client_secret": "",
        "redirect_uri": "",
    }
    assert leases_from_settings(Settings(**plain)) is None
    with pytest.raises(ConfigurationError, match="token_url is not set"):
        leases_from_settings(Settings(**plain, leases=True))
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    made = leases_from_settings(Settings(**plain, leases=True, token_url=url))
    assert made is not None
    with made, made.held(ITEM):
        assert made.holds(ITEM)
    with pytest.raises(ConfigurationError, match="cannot lock mysql"):
        SqlLeases(create_engine("mysql+pymysql://host/database", module=sqlite3))
