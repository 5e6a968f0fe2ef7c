"""Companies that lack modules, for tests of the engine and of dlt."""

from __future__ import annotations

from tests.support.world import World, feed_path

MODULES = ("projects", "warehouses", "sales_orders", "purchase_orders", "journals")
PATHS = {name: feed_path(name) for name in MODULES}


def deny_modules(world: World) -> None:
    for division in world.box.divisions:
        for path in PATHS.values():
            world.box.deny(division, path, "module")


def later(world: World, seconds: float) -> None:
    world.clock.sandbox.advance(seconds)
    world.login()


def lack_modules(world: World) -> None:
    """Assert one call for each stream in the first sync, none in the second, and success of both."""
    deny_modules(world)
    streams = len(MODULES) * len(world.box.divisions)
    with world.watch() as first:
        outcome = world.sync("accounts", *MODULES)
    with world.watch() as second:
        again = world.sync("accounts", *MODULES)

    assert (outcome.exit_code, again.exit_code) == (0, 0)
    asked = [c for c in first.all if c.path in PATHS.values()]
    assert {c.status for c in asked} == {403}
    assert len(asked) == streams
    assert not [c for c in second.all if c.path in PATHS.values()]
    for run in (outcome, again):
        (line,) = [text for text in str(run).splitlines() if "not available" in text]
        assert all(name in line for name in MODULES)
        refused = [r for r in run.results if r.code == "unavailable"]
        assert len(refused) == streams
        assert {(r.status, r.permanent) for r in refused} == {("refused", True)}
    world.assert_equal("accounts")
