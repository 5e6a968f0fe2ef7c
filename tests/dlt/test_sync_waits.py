"""Waits for what all streams need: who waits, why and until when is told, and a round ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from exact_source.engine.run import Run
from exact_source.sync.runner import sync
from tests.support.cli_fixtures import Cli
from tests.support.waits import LISTS
from tests.support.world import MIDDAY, Clock, World


def after_rows(run: Run, clock: Clock) -> Callable[[float], Awaitable[None]]:
    """A sleep that moves the time only once rows were read: those of the other company, meanwhile."""
    read, sleep = asyncio.Event(), clock.sleep
    run.log.on_progress = lambda result: read.set() if result.rows else None

    async def sleep_then(seconds: float) -> None:
        await read.wait()
        await sleep(seconds)

    return sleep_then


def test_a_wait_for_tombstones_ends_with_its_round_if_there_is_something_to_load(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.box.fault("503", path="sync/Deleted", division=world.division, times=4)
    held: list[tuple[float, int]] = []

    def on_round(number: int) -> None:
        if number > 1:
            held.append((run.clock.now() - run.started_at, len(world.table("accounts"))))

    run = world.make_run(round_s=100.0)
    monkeypatch.setattr(world.clock, "sleep", after_rows(run, world.clock))
    with world.watch() as calls:
        outcome = sync(world.pipeline, run, ["accounts", "contacts"], on_round=on_round)

    assert outcome.exit_code == 0
    assert held[0][0] < 110  # and not the quarter of an hour that the tries take
    assert held[0][1] == len(world.keys("crm/Accounts", world.other))
    assert len(calls.to("sync/Deleted", world.division)) == 5
    world.assert_equal("accounts")
    world.assert_equal("contacts")


@pytest.mark.parametrize("path", LISTS)
def test_a_wait_for_a_list_is_reported_with_its_reason_and_its_end(cli: Cli, path: str) -> None:
    cli.world.box.fault("503", path=path, division=cli.world.division, times=1)
    cli.world.clock.sandbox.set(MIDDAY)
    result = cli("sync", cli.destination, "--entities=accounts")

    assert result.code == 0
    said = f"{LISTS[path]} of division {cli.world.division} waits until "
    (line,) = [line for line in result.err.splitlines() if "waits until" in line]
    assert line.startswith(said)
    assert "HTTP 503, try 1" in line


def test_the_wait_of_the_first_call_names_its_endpoint(cli: Cli) -> None:
    cli.world.box.fault("503", path="current/Me", times=1)
    result = cli("sync", cli.destination, "--entities=journals")

    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if "waits until" in line]
    assert "current/Me" in line
