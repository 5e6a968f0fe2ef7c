"""Which rows of ``_exact_syncs`` belong to one sync."""

from __future__ import annotations

from collections import defaultdict

from exact_source import __version__, exact_online
from tests.support.world import World


def loads(world: World) -> dict[str, set[str]]:
    """Id of each run -> its loads."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in world.outcomes():
        found[row["run_id"]].add(row["load_id"])
    return dict(found)


def test_the_rounds_of_a_sync_are_one_run_of_several_loads(world: World) -> None:
    outcome = world.sync("transaction_lines", round_pages=1)

    assert (outcome.exit_code, outcome.rounds >= 2) == (0, True)
    ((_, of_first),) = loads(world).items()
    assert len(of_first) == outcome.rounds
    assert world.sync("accounts").exit_code == 0
    assert len(loads(world)) == 2
    assert {row["version"] for row in world.outcomes()} == {__version__}


def test_each_run_of_a_source_by_dlt_is_a_run(world: World) -> None:
    source = exact_online(
        base_url=world.base_url,
        client_id=world.box.client_id,
        client_secret=world.box.client_secret,
        token_storage=world.storage,
        clock=world.clock,
    ).with_resources("accounts")
    done = []
    for _ in range(2):
        done += world.pipeline.run(source).loads_ids
        world.clock.sandbox.advance(120)

    assert loads(world) == {load: {load} for load in done}
    assert len(set(done)) == 2
