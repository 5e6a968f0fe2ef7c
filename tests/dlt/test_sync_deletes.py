"""Deleted rows leave the tables, and no other rows do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exact_source.catalogue import load_catalogue
from tests.support.fixtures import MakeWorld
from tests.support.syncs import next_day
from tests.support.world import World

PATHS = {
    "accounts": "sync/CRM/Accounts",
    "transaction_lines": "bulk/Financial/TransactionLines",
}


STRANGE = "tombstones of unknown entity types: 98, 99"
STRANGER = "aaaaaaaa-0000-4000-8000-000000000000"


@pytest.mark.nightly
def test_unknown_tombstones_are_kept_and_reported_without_a_request_for_the_list(
    world: World,
) -> None:
    world.sync("accounts", "contacts")
    assert "deleted" not in {row["entity"] for row in world.outcomes()}
    strange = [99, 98, 99]
    for code in strange:
        world.bury(world.division, code)
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    with world.watch() as calls:
        outcome = world.sync("accounts", "contacts", max_pages=1)

    assert outcome.exit_code == 0
    assert len(calls.to("sync/Deleted", world.division)) == 1
    told = [(r.division, n) for r in outcome.results for n in r.notes]
    assert told == [(world.division, STRANGE)]
    assert STRANGE in {row["notes"] for row in world.outcomes()}
    kept = world.table("deleted")
    assert sorted(row["entity_type"] for row in kept) == sorted(strange)
    listed = {row["ID"]: row for row in world.box.rows("sync/Deleted", world.division)}
    for row in kept:
        of = listed[row["id"]]
        assert (row["division"], row["timestamp"]) == (world.division, of["Timestamp"])
        assert (row["entity_key"], row["deleted_date"]) == (of["EntityKey"], of["DeletedDate"])

    for row in world.box.state.store.table(world.division, "deleted").rows.values():
        row["DeletedBy"] = STRANGER
    outcome = world.sync("accounts", "contacts", "deleted")
    assert outcome.exit_code == 0
    assert [r.entity for r in outcome.results for n in r.notes if n == STRANGE] == ["deleted"]
    world.assert_equal("deleted")
    assert STRANGER in {row["deleted_by"] for row in world.table("deleted")}

    world.bury(world.division, 99)
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("deleted")


@pytest.mark.nightly
@pytest.mark.parametrize("later", ["the keys are compared", "the type becomes known"])
def test_a_tombstone_of_an_unknown_type_that_nothing_stored_leaves_no_row(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    """A resource that is run alone reads the tombstone, drops it and moves the cursor past it."""
    world: World = make_world(companies=1)
    entities: Any = load_catalogue().entities
    accounts = entities["accounts"]
    monkeypatch.setitem(entities._made, "accounts", replace(accounts, deleted_code=None))
    for name in ("accounts", "contacts"):
        world.pipeline.run(world.new_source().with_resources(name))
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    for name in ("contacts", "accounts"):
        next_day(world)
        world.pipeline.run(world.new_source().resources[name])
    with pytest.raises(AssertionError):
        world.assert_equal("accounts")  # the row is still there
    tables = world.sql("SELECT table_name FROM information_schema.tables")
    assert ("accounts",) in tables
    assert ("deleted",) not in tables

    world.advance_versions(100_000)  # beyond what is read again
    if later == "the type becomes known":
        monkeypatch.setitem(entities._made, "accounts", accounts)
    else:
        world.clock.sandbox.advance(60 * 86_400)  # Exact keeps no tombstone for so long
        world.login()
    assert world.sync("accounts", "contacts").exit_code == 0
    world.assert_equal("accounts")
    world.assert_equal("contacts")


# -- entities that tell of no deletions --------------------------------------------------------------


@pytest.mark.parametrize("entity", ["journals", "accounts", "sync_sales_entries"])
def test_a_row_that_exact_never_had_is_deleted_by_the_next_sync(world: World, entity: str) -> None:
    world.sync(entity)
    with world.pipeline.sql_client() as client:
        table = client.make_qualified_table_name(entity)
        client.execute_sql(f"CREATE TABLE copied AS SELECT * FROM {table} LIMIT 1")
        client.execute_sql("UPDATE copied SET id = '00000000-0000-4000-8000-000000000000'")
        client.execute_sql(f"INSERT INTO {table} SELECT * FROM copied")
    outcome = world.sync(entity)

    assert outcome.exit_code == 0
    assert sum(r.deleted for r in outcome.results) == 1
    world.assert_equal(entity)


def test_keys_that_no_day_has_calls_for_are_reported_and_a_full_refresh_helps(
    make_world: MakeWorld,
) -> None:
    world, path = make_world(companies=1, page_size=1), "financial/Journals"
    for number in range(6):
        row = {"ID": f"{number:08x}-0000-4000-8000-000000000000", "Description": "more"}
        world.box.insert(path, world.division, row)
        world.clock.sandbox.advance(1)
    world.sync("journals")
    world.box.delete(path, world.division, world.keys(path)[0])
    next_day(world)
    world.box.state.limits.daily_limit = len(world.keys(path))
    with world.watch() as calls:
        outcome = world.sync("journals", reconcile_days=0)

    assert outcome.exit_code == 0
    assert all("Description" in str(c.query) for c in calls.to(path))
    (note,) = outcome.results[0].notes
    assert note.startswith("keys can never be compared: that takes ")
    assert "--full-refresh" in note
    assert world.outcomes()[-1]["notes"] == note

    for wanted in (3, 0):  # two days
        next_day(world)
        assert world.sync("journals", full_refresh=["journals"]).exit_code == wanted
    world.assert_equal("journals")
