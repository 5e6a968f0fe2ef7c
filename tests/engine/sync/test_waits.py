"""Waits for what all streams need: who waits, why and until when is told, and a stop ends them."""

from __future__ import annotations

import pytest

from tests.support.waits import FAULTS, LISTS, stop_in_first_wait
from tests.support.world import World


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", LISTS)
def test_a_stop_ends_the_wait_for_a_list_and_no_call_follows(
    world: World, path: str, fault: str
) -> None:
    world.sync("journals")
    world.box.fault(fault, path=path, times=99)
    world.box.update(
        "financial/Journals", world.other, world.keys("financial/Journals", world.other)[0],
        {"Description": "changed"},
    )  # fmt: skip
    run = world.make_run()
    wait = stop_in_first_wait(world, run, path)
    outcome = world.sync_with(run, "journals", "accounts")

    assert outcome.exit_code == 3
    assert (wait.who, wait.why) == (LISTS[path], FAULTS[fault])
    assert wait.until > run.started_at
    # What the other company was sending by then.
    assert len(world.box.requests) - wait.calls <= (path == "sync/Deleted")
    world.box.state.faults.clear()
    assert world.sync("journals", "accounts").exit_code == 0
    world.assert_equal("journals")
    world.assert_equal("accounts")
