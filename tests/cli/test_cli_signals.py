"""Real signals to a real process: once ends the round and stops, twice stops now; nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pytest
from dlt.extract.concurrency import FuturesPool

from exact_source.client.transport import CONNECTIONS
from tests.support.cli_fixtures import Cli

PATH = "bulk/Financial/TransactionLines"


@pytest.fixture
def timed(make_cli: Callable[..., Cli]) -> Cli:
    """Two companies that live by the computer's own clock."""
    cli = make_cli(page_size=2, large_page_size=2)
    cli.world.box.clock.set(time.time())
    cli.world.box.clock.run()
    cli.world.login()
    return cli


FOR_PROGRAMS = ("--json", "--log-format=json")


@contextmanager
def started(
    cli: Cli,
    *arguments: str,
    entities: str = "transaction_lines",
    form: Sequence[str] = FOR_PROGRAMS,
) -> Iterator[subprocess.Popen[str]]:
    """A sync in a process of its own, in a terminal's process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exact_source", "sync", cli.destination, *form, *arguments,
         f"--entities={entities}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], words: str) -> dict[str, Any]:
    """The first line on stderr that holds these words."""
    assert process.stderr is not None
    for line in process.stderr:
        said = json.loads(line)
        if words in said["message"]:
            return dict(said)
    raise AssertionError(f"it never said {words!r}")


def assert_nothing_is_lost(cli: Cli) -> None:
    """The next sync completes the tables."""
    cli.world.box.state.limits.minute_limit = 1_000_000
    assert cli("sync", cli.destination, "--entities=transaction_lines").code == 0
    with duckdb.connect(cli.destination.partition("duckdb:")[2]) as database:
        sql = "SELECT division, count(*), count(DISTINCT id) FROM exact_online.transaction_lines GROUP BY 1"
        found = {
            division: (rows, keys) for division, rows, keys in database.execute(sql).fetchall()
        }
    box = cli.world.box
    truth = {d: len(box.rows("financialtransaction/TransactionLines", d)) for d in box.divisions}
    assert found == {division: (count, count) for division, count in truth.items()}


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_once_loads_what_was_read_even_while_it_waits(timed: Cli, number: signal.Signals) -> None:
    timed.world.box.state.limits.minute_limit = 6

    with started(timed) as process:
        waiting = read_until(process, "waits until")
        process.send_signal(number)
        out, err = process.communicate(timeout=20)

    assert "the calls of this minute are used up" in waiting["message"]
    assert process.returncode == 3, err
    result = json.loads(out)
    assert result["exit_code"] == 3
    assert result["rows"] > 0
    with duckdb.connect(timed.destination.partition("duckdb:")[2]) as database:
        loaded = database.execute("SELECT count(*) FROM exact_online.transaction_lines").fetchone()
    assert loaded == (result["rows"],)
    if number is signal.SIGINT:
        assert_nothing_is_lost(timed)


@pytest.mark.nightly
def test_a_stop_of_300_companies_ends_all_calls_and_prints_a_few_lines(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(companies=300, invoices=1, page_size=60, large_page_size=1000)
    cli.world.box.clock.set(time.time())
    cli.world.box.clock.run()
    cli.world.login()
    state, requests = cli.world.box.state, cli.world.box.requests
    state.settings = replace(state.settings, latency=0.5)

    with started(cli, entities="accounts,journals,transaction_lines", form=()) as process:
        deadline = time.monotonic() + 60
        while len(requests) < 400 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        answered = len(requests)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 3, err
    assert len((out + err).splitlines()) <= 40
    assert err.splitlines()[-1].startswith("stopped by Ctrl-C: ")
    assert answered >= 400
    # Without the stop there are 900; those under way are answered.
    assert len(requests) - answered <= CONNECTIONS


@pytest.mark.nightly
def test_twice_stops_in_the_middle_of_a_call(timed: Cli) -> None:
    slow = timed.world.box.fault("slow", path=PATH, after=3, seconds=600)

    with started(timed, "--round-minutes=0.01") as process:
        deadline = time.monotonic() + 30
        while slow.times and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        read_until(process, "again to stop at once")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (130, ""), err
    assert [json.loads(line)["message"] for line in err.splitlines()][-1].startswith("stopped")
    assert_nothing_is_lost(timed)


def test_a_stop_while_dlt_handles_a_timeout_of_its_own_is_a_stop(
    timed: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        stop = KeyboardInterrupt()
        stop.__context__ = TimeoutError("1 (of 1) futures unfinished")
        raise stop

    monkeypatch.setattr(FuturesPool, "resolve_next_future", stopped)

    result = timed("sync", timed.destination, "--entities=transaction_lines")

    assert result.code == 130, result.err
    assert result.err.splitlines()[-1].startswith("stopped")
    assert "TimeoutError" not in result.err


# The command, whose first load waits for a line on standard input.
SLOW_LOAD = """
import sys
from dlt.load.load import Load
from exact_source.cli.app import main

load, waits = Load.load_single_package, [True]

def load_slowly(self, *given):
    if waits.pop() if waits else False:
        print("loading", file=sys.stderr, flush=True)
        sys.stdin.readline()
    load(self, *given)

Load.load_single_package = load_slowly
main()
"""


@pytest.mark.parametrize(
    ("presses", "code"),
    [(1, 3), pytest.param(2, 130, marks=pytest.mark.nightly)],
    ids=["once", "twice"],
)
def test_a_stop_during_a_load_has_no_traceback_and_loses_nothing(
    timed: Cli, presses: int, code: int
) -> None:
    timed.world.box.state.limits.minute_limit = 6
    command = [sys.executable, "-c", SLOW_LOAD, "sync", timed.destination, "--round-minutes=0.01"]
    with subprocess.Popen(
        [*command, "--entities=transaction_lines"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert any(line == "loading\n" for line in process.stderr)
            for press in range(presses):
                process.send_signal(signal.SIGINT)
                if not press:
                    assert any("again to stop at once" in line for line in process.stderr)
            _, err = process.communicate("go\n", timeout=30)
        finally:
            process.kill()

    assert process.returncode == code, err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("stopped")]) == 1
    assert_nothing_is_lost(timed)
