"""Which rows of ``_exact_syncs`` belong to one sync."""

from __future__ import annotations

from collections import defaultdict

import pytest

from exact_source import __version__
from exact_source.loading import session
from tests.support.world import World


def loads(world: World) -> dict[str, set[str]]:
    """Id of each run -> its loads."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in world.outcomes():
        found[row["run_id"]].add(row["load_id"])
    return dict(found)


def test_the_rounds_of_a_sync_are_one_run_of_several_loads(world: World) -> None:
    outcome = world.sync("transaction_lines", max_pages=1)

    assert (outcome.exit_code, outcome.rounds >= 2) == (0, True)
    ((_, of_first),) = loads(world).items()
    assert len(of_first) == outcome.rounds
    assert world.sync("accounts").exit_code == 0
    assert len(loads(world)) == 2
    assert {row["version"] for row in world.outcomes()} == {__version__}


def test_a_long_log_holds_each_stream_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOG_ROWS", 2)
    entities = ("accounts", "items", "journals")

    assert world.sync(*entities).exit_code == 0

    logged = [(row["entity"], row["division"]) for row in world.outcomes()]
    assert sorted(logged) == sorted((e, d) for e in entities for d in world.box.divisions)
    assert len(loads(world)) == 1


def test_each_run_of_a_source_by_dlt_is_a_run(world: World) -> None:
    source = world.new_source().with_resources("accounts")
    done = []
    for _ in range(2):
        done += world.pipeline.run(source).loads_ids
        world.clock.sandbox.advance(120)

    assert loads(world) == {load: {load} for load in done}
    assert len(set(done)) == 2


def test_a_sync_logs_the_rows_that_the_table_had_when_it_began(world: World) -> None:
    assert world.sync("accounts").exit_code == 0
    key = world.keys("crm/Accounts", world.division)[0]
    world.box.delete("crm/Accounts", world.division, key)
    (before,) = world.sql(
        f"SELECT count(*) FROM exact_online.accounts WHERE division = {world.division}"
    )
    assert world.sync("accounts").exit_code == 0
    (after,) = world.sql(
        f"SELECT count(*) FROM exact_online.accounts WHERE division = {world.division}"
    )

    logged = [
        row["rows_stored"] for row in world.outcomes()
        if (row["entity"], row["division"]) == ("accounts", world.division)
    ]  # fmt: skip
    assert before[0] == after[0] + 1
    assert sorted(logged) == [0, before[0]]
