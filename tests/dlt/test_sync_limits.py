"""Call limits are kept, waited out, and used; what does not fit in a day goes on the next."""

from __future__ import annotations

from itertools import pairwise

import pytest

from exact_source.source import make_options, make_run
from exact_source.sync.runner import sync
from tests.support.bench import HostClock
from tests.support.fixtures import MakeWorld
from tests.support.world import World


def test_a_round_ends_after_its_minutes_even_while_streams_wait(make_world: MakeWorld) -> None:
    world = make_world(minute_limit=2, companies=1, large_page_size=2)
    run, began = world.make_run(round_s=130.0), list[float]()
    outcome = sync(
        world.pipeline, run, ["transaction_lines"], on_round=lambda _: began.append(run.clock.now())
    )

    assert outcome.exit_code == 0
    assert outcome.rounds >= 3
    assert all(130 <= b - a <= 135 for a, b in pairwise(began))
    world.assert_equal("transaction_lines")


@pytest.mark.parametrize("ahead_s", [-7200.0, -70.0, 50.0, 70.0])
def test_a_clock_that_is_off_is_compensated_and_reported(world: World, ahead_s: float) -> None:
    """More than a minute is reported."""
    clock = HostClock(world.box.clock, ahead_s)
    run = make_run(make_options(), world.settings, world.storage, clock=clock)
    outcome = sync(world.pipeline, run, ["accounts"])

    assert outcome.exit_code == 0
    assert bool(outcome.notes) == (abs(ahead_s) > 60)
