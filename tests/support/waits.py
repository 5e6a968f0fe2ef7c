"""A stop request in the first wait for a list that all streams need."""

from __future__ import annotations

from dataclasses import dataclass

from exact_source.client.call import Call
from exact_source.engine.run import Run
from tests.support.world import World

FAULTS = {"503": "HTTP 503, try 1", "429": "the calls of this minute are used up"}
LISTS = {"system/Divisions": "divisions", "sync/Deleted": "deleted"}


@dataclass
class Wait:
    """The first wait for a path, in which a person presses Ctrl-C."""

    who: str = ""
    until: float = 0.0
    why: str = ""
    calls: int = 0


def stop_in_first_wait(world: World, run: Run, path: str) -> Wait:
    """Request a stop in the first wait for this path; returns what was said of the wait."""
    wait = Wait()

    def on_wait(call: Call, until: float, why: str) -> None:
        if call.path == path and not run.rounds.is_stop_requested:
            wait.who, wait.until, wait.why = call.name, until, why
            wait.calls = len(world.box.requests)
            run.rounds.request_stop()

    run.rounds.on_wait = on_wait
    return wait
