"""The state of many companies, which is kept as compressed texts."""

from __future__ import annotations

from typing import Any

import pytest

from exact_source.loading import entries, state
from exact_source.loading.entries import Entries, items_of
from tests.support.fixtures import MakeWorld
from tests.support.world import World

ENTITIES = ("accounts", "journals")
# Of one division each, so that every change of the form is met with a few.
SMALL = {"PLAIN_MOST": 1, "BLOCK_ENTRIES": 2}


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two divisions are many."""
    for name, value in SMALL.items():
        monkeypatch.setattr(entries, name, value)
    monkeypatch.setattr(state, "WAITING_CURSORS", 1)


def stored(world: World) -> Any:
    return world.pipeline.state["sources"]["exact_online"]["resources"]["accounts"]


def reads_changes_only(world: World) -> bool:
    world.clock.sandbox.advance(120)
    path = "sync/CRM/Accounts"
    for division in world.box.divisions:
        key = world.keys(path, division)[0]
        world.box.update(path, division, key, {"Name": f"changed {world.clock.now()}"})
    outcome = world.sync(*ENTITIES)
    world.assert_equal("accounts")
    return outcome.exit_code == 0 and sum(r.rows for r in outcome.results) == len(
        world.box.divisions
    )


@pytest.mark.usefixtures("packed")
def test_the_cursors_of_many_companies_are_packed_and_go_on(world: World) -> None:
    world.sync(*ENTITIES)

    assert stored(world)["packed"]
    assert not stored(world)["divisions"]
    assert reads_changes_only(world)


def test_plain_cursors_are_packed_and_unpacked_when_their_number_asks_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sync(*ENTITIES)
    assert "packed" not in stored(world)
    with monkeypatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(entries, name, value)
        assert reads_changes_only(world)
        assert stored(world)["packed"]
    assert reads_changes_only(world)

    assert "packed" not in stored(world)
    assert len(stored(world)["divisions"]) == len(world.box.divisions)


@pytest.mark.usefixtures("packed")
def test_a_company_that_is_left_out_keeps_its_cursor(world: World) -> None:
    world.sync(*ENTITIES)
    world.clock.sandbox.advance(120)
    assert world.sync(*ENTITIES, divisions=[world.division]).exit_code == 0

    assert {code for code, _ in items_of(stored(world))} == {str(d) for d in world.box.divisions}
    assert reads_changes_only(world)


@pytest.mark.usefixtures("packed")
def test_one_more_company_joins_the_packed_ones(make_world: MakeWorld) -> None:
    world = make_world()
    first, *others = world.box.divisions
    world.sync(*ENTITIES, divisions=others)
    world.clock.sandbox.advance(120)
    with world.watch() as calls:
        world.sync(*ENTITIES, divisions=[first, *others])

    begun = [c for c in calls.to("sync/CRM/Accounts") if "Timestamp gt 1L" in c.query["$filter"]]
    assert {c.division for c in begun} == {first}
    assert reads_changes_only(world)


def test_a_new_entry_replaces_a_packed_one_before_all_are_packed_again() -> None:
    held: dict[str, Any] = {"divisions": {str(n): {"value": n} for n in range(1000)}}
    earlier = Entries(held)
    earlier.set(7, {"value": "new"})

    assert dict(items_of(held))["7"] == {"value": "new"}
    assert earlier.earlier(7) == {"value": 7}
    assert earlier.earlier(999) == {"value": 999}
    assert not earlier.earlier(1000)
    earlier.pack()
    assert (held["divisions"], len(held["packed"])) == ({}, 4)
    found = dict(items_of(held))
    assert (len(found), found["7"], found["8"]) == (1000, {"value": "new"}, {"value": 8})
