"""What several tests of syncs look at."""

from __future__ import annotations

from collections import Counter

from exact_source.engine.result import StreamResult
from exact_source.sync.outcome import Outcome
from tests.support.world import Calls, World

DAY_S = 86_400.0


def pages(calls: Calls, path: str, division: int) -> Counter[str]:
    """How often each page of a first pass was asked for, not those of what changed since."""
    everything = ("gt 1L", "datetime'1900", "guid'00000000-0000-0000-0000-000000000000'")
    asked = [c.query for c in calls.to(path, division)]
    return Counter(
        str(q.get("$skiptoken"))
        for q in asked
        if "$filter" not in q or any(text in q["$filter"] for text in everything)
    )


def result(outcome: Outcome, entity: str, division: int) -> StreamResult:
    return next(r for r in outcome.results if (r.entity, r.division) == (entity, division))


def next_day(world: World) -> None:
    world.clock.sandbox.advance(DAY_S)
    world.login()
