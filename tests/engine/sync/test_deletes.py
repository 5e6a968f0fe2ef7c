"""Deleted rows leave the tables, and no other rows do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exact_source.client.limits import Limits
from exact_source.sandbox import SandboxClock
from tests.support.fixtures import MakeWorld
from tests.support.syncs import DAY_S, next_day
from tests.support.world import World, digits, feed_path

OCTOBER = datetime(2026, 10, 24, 12, tzinfo=UTC)  # the day before the clock goes back
PATHS = {
    "accounts": "sync/CRM/Accounts",
    "transaction_lines": "bulk/Financial/TransactionLines",
}


def count(world: World, entity: str, division: int | None = None) -> int:
    return len(world.table(entity, division))


@pytest.mark.parametrize("route", ["sync", "bulk", "regular"])
def test_a_deleted_row_goes_by_every_feed(world: World, route: str) -> None:
    world.sync("accounts", route=route)
    for key in world.keys("crm/Accounts")[1:4]:
        world.box.delete("crm/Accounts", world.division, key)
    with world.watch() as calls:
        outcome = world.sync("accounts", route=route)

    assert outcome.exit_code == 0
    assert {r.division: r.deleted for r in outcome.results} == {world.division: 3, world.other: 0}
    assert len(calls.to("sync/Deleted", world.division)) == 1
    world.assert_equal("accounts", by=route)


@pytest.mark.parametrize("entity", ["accounts", "transaction_lines"])
def test_a_row_that_was_deleted_and_came_back_stays(world: World, entity: str) -> None:
    path = PATHS[entity]
    back, gone, untouched = world.keys(path)[:3]
    first = next(r for r in world.box.rows(path, world.division) if r["ID"] == back)
    world.sync(entity)
    world.box.delete(path, world.division, back)
    world.box.delete(path, world.division, gone)
    world.clock.sandbox.advance(60)
    kept = {k: v for k, v in first.items() if k not in {"Timestamp", "Modified", "Division"}}
    columns = next(e for e in world.box.state.catalogue if e.path == path).columns
    world.box.insert(path, world.division, {k: v for k, v in kept.items() if k in columns})
    for _ in range(3):  # tombstones are read again and again, because of the overlap
        assert world.sync(entity).exit_code == 0
        world.assert_equal(entity)
    assert untouched in {row["id"] for row in world.table(entity)}


@pytest.mark.parametrize("route", ["bulk", "regular"])
def test_a_row_that_came_back_in_the_hour_that_the_dutch_clock_repeats_stays(
    make_world: MakeWorld, route: str
) -> None:
    world: World = make_world(companies=1, clock=SandboxClock(OCTOBER, frozen=True))
    path = "crm/Accounts"
    key, *_ = world.keys(path)
    world.sync("accounts", route=route)
    world.clock.sandbox.set((OCTOBER + timedelta(hours=12, minutes=30)).timestamp())
    world.login()
    world.box.delete(path, world.division, key)  # at 02:30
    world.sync("accounts", route=route)
    assert key not in {row["id"] for row in world.table("accounts")}
    world.clock.sandbox.set((OCTOBER + timedelta(hours=13, minutes=10)).timestamp())
    world.login()
    world.box.insert(path, world.division, {"ID": key, "Name": "back", "Code": "9"})  # at 02:10
    for _ in range(3):  # the tombstone is read again and again, because of the overlap
        assert world.sync("accounts", route=route).exit_code == 0
        world.assert_equal("accounts", by=route)


def test_an_old_tombstone_that_is_read_for_an_entity_further_behind_is_not_applied_again(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1, clock=SandboxClock(OCTOBER, frozen=True))
    path, options = "crm/Accounts", dict[str, Any](route={"accounts": "bulk"})
    key, other, *_ = world.keys(path)
    world.sync("accounts", "contacts", **options)
    world.clock.sandbox.set((OCTOBER + timedelta(hours=12, minutes=30)).timestamp())
    world.login()
    world.box.delete(path, world.division, key)  # at 02:30
    world.sync("accounts", **options)
    world.clock.sandbox.set((OCTOBER + timedelta(hours=13, minutes=10)).timestamp())
    world.login()
    world.box.insert(path, world.division, {"ID": key, "Name": "back", "Code": "9"})  # at 02:10
    world.sync("accounts", **options)
    world.advance_versions(6000)  # what is so far below is not read again, for accounts
    world.box.delete(path, world.division, other)
    world.sync("accounts", **options)

    assert world.sync("accounts", "contacts", **options).exit_code == 0
    world.assert_equal("accounts", by="bulk")


def test_a_deletion_that_commits_late_is_seen_by_feeds_without_timestamp(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1)
    path = "crm/Accounts"
    first, second, *_ = world.keys(path)
    world.sync("accounts", route="bulk")
    world.box.delete(path, world.division, first)
    tombstones = world.box.state.store.table(world.division, "deleted")
    late = tombstones.remove(next(iter(tombstones.rows)))
    world.box.delete(path, world.division, second)
    world.sync("accounts", route="bulk")
    tombstones.put(late)
    assert world.sync("accounts", route="bulk").exit_code == 0

    world.assert_equal("accounts", by="bulk")


def test_a_row_that_came_back_between_two_syncs_and_went_again_goes(world: World) -> None:
    key = world.keys("crm/Accounts")[0]
    world.sync("accounts")
    world.box.delete("crm/Accounts", world.division, key)
    world.box.insert("crm/Accounts", world.division, {"ID": key, "Name": "back", "Code": "9"})
    world.sync("accounts")
    world.assert_equal("accounts")
    world.box.delete("crm/Accounts", world.division, key)
    world.sync("accounts")

    world.assert_equal("accounts")
    assert key not in {row["id"] for row in world.table("accounts")}


def test_soft_deletes_mark_a_row_once_and_keep_its_values(world: World) -> None:
    world.sync("accounts", deletes="soft")
    before = {row["id"]: row for row in world.table("accounts")}
    key = world.keys("crm/Accounts")[2]
    world.box.delete("crm/Accounts", world.division, key)
    outcome = world.sync("accounts", deletes="soft")

    marked = {row["id"]: row for row in world.table("accounts")}
    assert sum(r.deleted for r in outcome.results) == 1
    assert marked.keys() == before.keys()
    assert [k for k, row in marked.items() if row["_deleted_at"] is not None] == [key]
    hidden = {"_deleted_at", "_synced_at"}
    assert {k: v for k, v in marked[key].items() if k not in hidden} == {
        k: v for k, v in before[key].items() if k not in hidden
    }

    again = world.sync("accounts", deletes="soft")
    assert sum(r.deleted for r in again.results) == 0
    assert {row["id"]: row for row in world.table("accounts")} == marked


@pytest.mark.parametrize("entity", ["accounts", "sales_invoice_lines"])
def test_rows_that_were_marked_go_when_deletes_become_hard(world: World, entity: str) -> None:
    world.sync(entity, deletes="soft")
    path = feed_path(entity)
    world.box.delete(path, world.division, world.keys(path)[0])
    world.sync(entity, deletes="soft")
    world.advance_versions(100_000)
    world.bury(world.division, 99)
    world.sync(entity, deletes="soft")  # from here on the row's own tombstone is not read again
    outcome = world.sync(entity, deletes="hard")

    assert sum(r.deleted for r in outcome.results) == 1
    world.assert_equal(entity)
    assert sum(r.deleted for r in world.sync(entity, deletes="hard").results) == 0


def test_a_soft_deleted_row_that_comes_back_is_unmarked(world: World) -> None:
    world.sync("accounts", deletes="soft")
    key = world.keys("crm/Accounts")[0]
    world.box.delete("crm/Accounts", world.division, key)
    world.sync("accounts", deletes="soft")
    world.box.insert("crm/Accounts", world.division, {"ID": key, "Name": "back", "Code": "9"})
    world.sync("accounts", deletes="soft")

    world.assert_equal("accounts")


def test_soft_deletes_of_a_full_refresh_are_marked_once(world: World) -> None:
    world.sync("sales_invoice_lines", deletes="soft")
    key = world.keys("salesinvoice/SalesInvoiceLines")[0]
    world.box.delete("salesinvoice/SalesInvoiceLines", world.division, key)
    world.sync("sales_invoice_lines", deletes="soft")
    marked = [r for r in world.table("sales_invoice_lines") if r["_deleted_at"] is not None]
    world.sync("sales_invoice_lines", deletes="soft")

    assert [row["id"] for row in marked] == [key]
    assert [r for r in world.table("sales_invoice_lines") if r["_deleted_at"] is not None] == marked


@pytest.mark.parametrize("entity", ["accounts", "sales_invoice_lines"])
def test_ignored_deletes_leave_every_row_as_it_is(world: World, entity: str) -> None:
    world.sync(entity, deletes="ignore")
    held = count(world, entity)
    path = feed_path(entity)
    for key in world.keys(path)[:2]:
        world.box.delete(path, world.division, key)
    with world.watch() as calls:
        outcome = world.sync(entity, deletes="ignore")

    assert outcome.exit_code == 0
    assert count(world, entity) == held
    assert not calls.to("sync/Deleted")


def test_deletes_that_were_ignored_for_a_while_are_made_up_for(world: World) -> None:
    world.sync("accounts", "contacts", deletes="ignore")
    world.box.delete("crm/Contacts", world.division, world.keys("crm/Contacts")[0])
    world.advance_versions(100_000)
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync("accounts", deletes="hard")
    world.assert_equal("accounts")
    world.sync("accounts", "contacts", deletes="hard")

    world.assert_equal("contacts")


def test_deletes_of_an_entity_that_sat_out_some_runs_are_made_up_for(world: World) -> None:
    world.sync("accounts", "contacts")
    world.box.delete("crm/Contacts", world.division, world.keys("crm/Contacts")[0])
    world.advance_versions(100_000)
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync("accounts")
    world.sync("accounts", "contacts")

    world.assert_equal("accounts")
    world.assert_equal("contacts")


def test_tombstones_are_a_table_with_unknown_codes_among_them(world: World) -> None:
    world.sync("accounts", "deleted")
    key = world.keys("crm/Accounts")[0]
    world.box.delete("crm/Accounts", world.division, key)
    world.bury(world.division, 99)
    outcome = world.sync("accounts", "deleted")

    assert outcome.exit_code == 0
    world.assert_equal("deleted")
    assert sorted(row["entity_type"] for row in world.table("deleted")) == [2, 99]
    world.assert_equal("accounts")
    notes = " ".join(n for r in outcome.results if r.entity == "deleted" for n in r.notes)
    assert "99" in notes


def test_tombstones_find_their_table_whatever_its_key_is_called(make_world: MakeWorld) -> None:
    """Also the two that are read by a feed of their headers, under the code of the headers."""
    world: World = make_world(companies=1)
    entities = {
        "goods_deliveries": 16,
        "subscriptions": 23,
        "sales_orders": 32,
        "quotations": 34,
        "material_issues": 53,
    }
    world.sync(*entities)
    tombstones = world.box.state.store.table(world.division, "deleted")
    for entity, code in entities.items():
        key = world.keys(feed_path(entity))[0]
        world.box.delete(feed_path(entity), world.division, key)
        if key not in {row["EntityKey"] for row in tombstones.rows.values()}:
            world.bury(world.division, code)
            tombstones.rows[next(reversed(tombstones.rows))]["EntityKey"] = key
    outcome = world.sync(*entities)

    assert outcome.exit_code == 0
    assert {r.entity: r.deleted for r in outcome.results} == dict.fromkeys(entities, 1)
    for entity in entities:
        world.assert_equal(entity)


def test_the_table_of_tombstones_has_no_gap_after_runs_without_it(world: World) -> None:
    world.sync("accounts", "deleted")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.advance_versions(100_000)
    world.sync("accounts")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync("accounts")
    world.sync("accounts", "deleted")

    world.assert_equal("deleted")


def test_new_tombstones_of_one_company_do_not_remove_those_of_others(world: World) -> None:
    companies = [world.division, world.other]
    world.sync("accounts", "deleted")
    for division in [*companies, world.division]:
        world.box.delete("crm/Accounts", division, world.keys("crm/Accounts", division)[0])
        assert world.sync("accounts", "deleted").exit_code == 0

    assert [len(world.table("deleted", division)) for division in companies] == [2, 1]


def test_old_tombstones_are_not_read_again(make_world: MakeWorld) -> None:
    world = make_world(large_page_size=1000, companies=1)
    for key in world.keys("crm/Contacts"):
        world.box.delete("crm/Contacts", world.division, key)
    world.advance_versions(100_000)
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync("accounts")
    with world.watch() as calls:
        world.sync("accounts")

    assert [c.rows for c in calls.to("sync/Deleted")] == [1]


@pytest.mark.parametrize("with_tombstones", [True, False])
def test_after_two_idle_months_everything_is_read_again(
    world: World, with_tombstones: bool
) -> None:
    if with_tombstones:
        world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[-1])
    world.sync("accounts")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.clock.sandbox.advance(70 * DAY_S)
    world.login()  # the refresh token lives 30 days
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    world.assert_equal("accounts")
    assert any("two months" in n for r in outcome.results for n in r.notes)


@pytest.mark.parametrize(
    ("event", "route", "rounds"),
    [
        ("two idle months", "sync", None),
        ("a move", "regular", None),
        ("a full refresh", "sync", 1),
        ("a full refresh", "regular", 1),
    ],
)
def test_a_full_pass_from_a_date_removes_rows_deleted_since(
    make_world: MakeWorld, event: str, route: str, rounds: int | None
) -> None:
    world: World = make_world(companies=1)
    path, start = "crm/Accounts", "2026-01-15"
    old, gone, *_ = world.keys(path)
    world.box.update(path, world.division, old, {"Modified": digits("2026-01-10T00:00:00")})
    for key in world.keys(path)[1:]:
        world.box.update(path, world.division, key, {"Modified": digits("2026-02-10T00:00:00")})
    world.sync("accounts", route=route)  # the old row was loaded without the date
    for key in (old, gone):
        world.box.delete(path, world.division, key)
    if event == "a move":
        world.box.move_division(world.division)
    world.clock.sandbox.advance(70 * DAY_S)
    world.login()
    world.box.state.store.forget_old_tombstones(world.division)
    refresh = ["accounts"] if event == "a full refresh" else []
    outcome = world.sync(
        "accounts", route=route, start_date=start, full_refresh=refresh, max_pages=rounds
    )

    assert outcome.exit_code == 0
    assert {row["id"] for row in world.table("accounts")} == {old, *world.keys(path)}


@pytest.mark.parametrize("route", ["sync", "regular"])
def test_a_full_pass_from_a_date_keeps_what_is_older(make_world: MakeWorld, route: str) -> None:
    world: World = make_world(companies=1)
    path = "crm/Accounts"
    old, *_ = world.keys(path)
    world.box.update(path, world.division, old, {"Modified": digits("2026-01-10T00:00:00")})
    world.sync("accounts", route=route)
    outcome = world.sync(
        "accounts", route=route, start_date="2026-01-15", full_refresh=["accounts"], max_pages=1
    )

    assert sum(r.deleted for r in outcome.results) == 0
    world.assert_equal("accounts", by=route)


def test_a_pass_from_a_date_removes_an_older_row_that_is_dated_after_its_deletion(
    make_world: MakeWorld,
) -> None:
    """As in the repeated hour of October. The versions are those of one database, so they tell."""
    world: World = make_world(companies=1)
    path = "crm/Accounts"
    key, *others = world.keys(path)
    world.box.update(path, world.division, key, {"Modified": digits("2026-03-10T13:50:00")})
    world.sync("accounts")
    world.box.delete(path, world.division, key)  # some minutes past one
    world.clock.sandbox.advance(3 * DAY_S)
    world.sync("accounts", start_date="2026-03-12", full_refresh=["accounts"])

    assert {row["id"] for row in world.table("accounts")} == set(others)


def test_rows_between_two_empty_answers_make_the_second_one_the_first(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1, page_size=60)
    path = feed_path("units")
    world.sync("units")
    held = world.table("units")
    world.box.fault(404, path="users/UserHasRights", times=100)
    codes = []
    for hides in (True, False, True):
        if hides:
            world.box.deny(world.division, path, "empty")
        else:
            world.box.allow(world.division)
        codes.append(world.sync("units").exit_code)
        world.clock.sandbox.advance(DAY_S)

    assert codes == [3, 0, 3]
    assert world.table("units") == held != []


@pytest.mark.parametrize("entity", ["sales_invoice_lines", "accounts", "journals"])
def test_an_empty_answer_without_rights_empties_no_table(world: World, entity: str) -> None:
    path = feed_path(entity)
    world.sync(entity)
    held = world.table(entity)
    world.box.deny(world.division, path, "empty")
    for refreshed in ([], [entity]):
        outcome = world.sync(entity, full_refresh=refreshed)
        assert count(world, entity) == len(held)
    by_division = {r.division: r for r in outcome.results}
    assert by_division[world.division].status == "refused"
    assert "rights" in by_division[world.division].error
    assert by_division[world.other].status == "complete"
    assert outcome.exit_code == 3
    world.box.allow(world.division, path)

    assert world.sync(entity).exit_code == 0
    world.assert_equal(entity)


def test_a_full_refresh_entity_whose_last_row_went_ends_with_none(world: World) -> None:
    world.sync("sales_invoice_lines")
    path = "salesinvoice/SalesInvoiceLines"
    for key in world.keys(path):
        world.box.delete(path, world.division, key)
    others = world.table("sales_invoice_lines", world.other)
    outcome = world.sync("sales_invoice_lines")

    assert outcome.exit_code == 0
    assert world.table("sales_invoice_lines", world.division) == []
    assert world.table("sales_invoice_lines", world.other) == others != []


@pytest.mark.parametrize("rounds", [None, 1])
def test_a_full_refresh_follows_changes_back_and_forth(world: World, rounds: int | None) -> None:
    path = "salesinvoice/SalesInvoiceLines"
    key = world.keys(path)[0]
    before = next(r for r in world.box.rows(path, world.division) if r["ID"] == key)
    world.sync("sales_invoice_lines")
    world.box.update(path, world.division, key, {"Description": "other"})
    world.sync("sales_invoice_lines", max_pages=rounds)
    world.assert_equal("sales_invoice_lines")
    world.box.update(path, world.division, key, {"Description": before["Description"]})
    world.sync("sales_invoice_lines")

    world.assert_equal("sales_invoice_lines")


def test_a_full_refresh_loads_nothing_if_nothing_changed(world: World) -> None:
    world.sync("sales_invoice_lines")
    outcome = world.sync("sales_invoice_lines")

    assert {r.rows for r in outcome.results} == {0}


def test_a_full_refresh_reads_no_more_tombstones_than_a_sync(world: World) -> None:
    world.sync("accounts")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync("accounts")
    asked = []
    for refreshed in ((), ("accounts",)):
        with world.watch() as calls:
            world.sync("accounts", full_refresh=refreshed)
        asked.append([c.query for c in calls.to("sync/Deleted", world.division)])

    assert asked[0] == asked[1]
    world.assert_equal("accounts")


def test_the_last_row_of_an_entity_with_tombstones_goes_too(world: World) -> None:
    world.sync("accounts")
    for key in world.keys("crm/Accounts"):
        world.box.delete("crm/Accounts", world.division, key)
    for _ in range(2):
        assert world.sync("accounts").exit_code == 0
        world.assert_equal("accounts")


def test_tombstones_that_cannot_be_read_are_no_success(world: World) -> None:
    world.sync("accounts")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.box.update("crm/Accounts", world.division, world.keys("crm/Accounts")[0], {"Name": "new"})
    world.box.deny(world.division, "sync/Deleted")
    outcome = world.sync("accounts")

    assert outcome.exit_code == 3
    assert sum(r.rows for r in outcome.results) == 1
    said = {r.division: r.error for r in outcome.results}
    assert "deletes" in said[world.division]
    assert said[world.other] == ""
    world.box.allow(world.division, "sync/Deleted")
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_deletions_are_found_where_tombstones_may_not_be_read(world: World) -> None:
    """Without the right to ``sync/Deleted`` the list is empty, and no question is documented for it."""
    world.sync("accounts")
    world.box.deny(world.division, "sync/Deleted", "empty")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    assert world.sync("accounts").exit_code == 0
    world.clock.sandbox.advance(7 * DAY_S)
    world.login()
    with world.watch() as calls:
        assert world.sync("accounts").exit_code == 0

    assert not calls.to("users/UserHasRights")
    world.assert_equal("accounts")


def test_deletions_are_found_where_tombstones_were_never_readable(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    world.box.deny(world.division, "sync/Deleted")
    world.sync("accounts")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.clock.sandbox.advance(7 * DAY_S)

    assert world.sync("accounts").exit_code == 3
    world.assert_equal("accounts")


@pytest.mark.parametrize("entities", [["accounts"], ["accounts", "deleted"]])
@pytest.mark.parametrize("idle_days", [0.0, 70.0])
def test_deletes_are_seen_after_a_move_to_a_database_that_counts_lower(
    world: World, idle_days: float, entities: list[str]
) -> None:
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync(*entities)
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.box.move_division(world.division)
    if idle_days:
        world.clock.sandbox.advance(idle_days * DAY_S)
        world.login()
    outcome = world.sync(*entities)
    world.assert_equal("accounts")
    assert any("moved" in n for r in outcome.results for n in r.notes)

    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync(*entities)
    world.assert_equal("accounts")


def replace_all(world: World) -> None:
    """Every account goes and comes back with its key."""
    path = "crm/Accounts"
    for number, key in enumerate(world.keys(path)):
        world.box.delete(path, world.division, key)
        world.clock.sandbox.advance(60)
        row = {"ID": key, "Name": "back", "Code": str(number)}
        world.box.insert(path, world.division, row)


@pytest.mark.parametrize("first_load", ["before", "after"])
def test_rows_that_came_back_before_a_move_while_deletes_were_ignored_stay(
    make_world: MakeWorld, first_load: str
) -> None:
    world: World = make_world(companies=1)
    if first_load == "before":
        world.sync("accounts")
    replace_all(world)
    world.box.move_division(world.division)
    world.sync("accounts", deletes="ignore")
    for _ in range(2):  # tombstones are read again and again, because of the overlap
        assert world.sync("accounts").exit_code == 0
        world.assert_equal("accounts")


def test_rows_that_went_before_a_move_while_deletes_were_ignored_go(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    world.sync("accounts")
    for key in world.keys("crm/Accounts")[1:3]:
        world.box.delete("crm/Accounts", world.division, key)
    world.box.move_division(world.division)
    world.sync("accounts", deletes="ignore")
    outcome = world.sync("accounts")

    assert sum(r.deleted for r in outcome.results) == 2
    world.assert_equal("accounts")


def test_rows_that_came_back_before_a_move_stay_once_tombstones_may_be_read(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1)
    replace_all(world)
    world.box.move_division(world.division)
    world.box.deny(world.division, "sync/Deleted")
    world.sync("accounts")
    with world.watch() as calls:
        world.sync("accounts")
    filters = [str(call.query.get("$filter")) for call in calls.to("sync/CRM/Accounts")]
    assert not any(text.endswith("gt 1L") for text in filters), "it was read again"
    world.box.allow(world.division)

    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_rows_that_came_back_before_a_move_stay_in_a_load_from_a_date(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1)
    replace_all(world)
    world.box.move_division(world.division)
    for _ in range(2):
        assert world.sync("accounts", start_date="2026-01-01").exit_code == 0
        assert {row["id"] for row in world.table("accounts")} == set(world.keys("crm/Accounts"))


def test_a_division_that_can_no_longer_be_seen_leaves_the_list_but_keeps_its_rows(
    world: World,
) -> None:
    world.sync("divisions", "accounts")
    held = world.table("accounts", world.other)
    world.box.delete("system/Divisions", world.division, world.other)
    outcome = world.sync("divisions", "accounts")

    assert outcome.exit_code == 0
    assert [row["code"] for row in world.table("divisions")] == [world.division]
    assert world.table("accounts", world.other) == held


# -- entities that tell of no deletions --------------------------------------------------------------


def test_a_list_of_one_page_is_read_whole_by_its_one_call(make_world: MakeWorld) -> None:
    world = make_world(page_size=60)
    world.sync("journals")
    gone, *_, changed = world.keys("financial/Journals")
    world.box.delete("financial/Journals", world.division, gone)
    world.box.update("financial/Journals", world.division, changed, {"Description": "other"})
    with world.watch() as calls:
        outcome = world.sync("journals")

    assert len(calls.to("financial/Journals", world.division)) == 1
    assert {r.division: r.deleted for r in outcome.results} == {world.division: 1, world.other: 0}
    world.assert_equal("journals")
    world.sync("journals")  # once more, to be sure that nothing remains to be deleted
    assert {r.rows for r in world.sync("journals").results} == {0}


def test_keys_of_longer_lists_are_compared_when_it_is_time(world: World) -> None:
    world.sync("journals")
    world.box.delete("financial/Journals", world.division, world.keys("financial/Journals")[0])
    held = count(world, "journals")
    world.sync("journals")
    assert count(world, "journals") == held
    world.clock.sandbox.advance(7 * DAY_S)
    with world.watch() as calls:
        outcome = world.sync("journals")

    assert outcome.exit_code == 0
    assert sum(r.deleted for r in outcome.results) == 1
    world.assert_equal("journals")
    asked = calls.to("financial/Journals", world.division)
    by_key = [c for c in asked if "Description" not in str(c.query)]
    assert len(by_key) == len(asked) - 1  # one for what changed, and its keys by pages
    with world.watch() as calls:
        world.sync("journals")
    assert len(calls.to("financial/Journals", world.division)) == 1


@pytest.mark.parametrize("side", ["sales", "purchase"])
def test_a_deleted_entry_leaves_the_feed_of_headers_and_lines(
    make_world: MakeWorld, side: str
) -> None:
    """Its codes in ``sync/Deleted`` are not known, so keys are compared (API 12.11)."""
    world: World = make_world(companies=1, invoices=8, large_page_size=2)
    entity, headers = f"sync_{side}_entries", f"{side}entry/{side.capitalize()}Entries"
    world.sync(entity)
    entry = world.box.rows(headers, world.division)[0]["EntryID"]
    world.box.delete(headers, world.division, entry)
    outcome = world.sync(entity, reconcile=[entity])

    assert outcome.exit_code == 0
    assert sum(r.deleted for r in outcome.results) >= 2  # a header and its lines
    world.assert_equal(entity)


def test_keys_are_marked_or_let_be_as_the_user_wants(world: World) -> None:
    world.sync("journals", deletes="soft")
    key = world.keys("financial/Journals")[0]
    world.box.delete("financial/Journals", world.division, key)
    assert world.sync("journals", deletes="ignore", reconcile=["journals"]).exit_code == 0
    assert {row["_deleted_at"] for row in world.table("journals")} == {None}
    world.sync("journals", deletes="soft", reconcile_days=0)

    marked = [row["id"] for row in world.table("journals") if row["_deleted_at"] is not None]
    assert marked == [key]


def test_keys_are_not_compared_without_rights(world: World) -> None:
    world.sync("journals")
    held = world.table("journals")
    world.box.deny(world.division, "financial/Journals", "empty")
    outcome = world.sync("journals", reconcile=["journals"])

    assert world.table("journals") == held
    assert {r.division: r.status for r in outcome.results}[world.division] == "refused"


def test_keys_are_not_compared_when_the_calls_of_today_do_not_suffice(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=1, page_size=1, daily_limit=40)
    world.sync("journals")
    world.box.delete("financial/Journals", world.division, world.keys("financial/Journals")[0])
    world.box.consume(world.division, 40 - 3 - len(world.box.requests))
    with world.watch() as calls:
        outcome = world.sync("journals", reconcile=["journals"])

    assert len(calls.to("financial/Journals")) == 1
    assert any("keys were not compared" in n for r in outcome.results for n in r.notes)


@pytest.mark.parametrize("limit", ["reserve", "max_calls", "contract_cap"])
def test_keys_are_not_compared_with_calls_that_are_not_for_it(
    make_world: MakeWorld, limit: str
) -> None:
    world = make_world(companies=1, page_size=1)
    world.sync("journals")
    world.clock.sandbox.advance(DAY_S)
    world.login()
    few = (
        len(world.keys("financial/Journals")) + 2
    )  # the list of divisions and the changes, and keys
    limits = Limits(**{limit: 5000 - few if limit == "reserve" else few})
    outcome = world.sync("journals", reconcile=["journals"], limits=limits)

    assert any("keys were not compared" in n for r in outcome.results for n in r.notes)
    assert outcome.exit_code == 0


def test_keys_of_rows_from_a_date_are_compared_from_it(make_world: MakeWorld) -> None:
    world = make_world(companies=1, page_size=1)
    path = "financial/Journals"
    keys = world.keys(path)
    for position, key in enumerate(keys):
        month = 3 if position < 3 else 1
        world.box.update(path, world.division, key, {"Modified": digits(f"2026-0{month}-01")})
    with world.watch() as calls:
        for _ in range(2):
            world.sync("journals", start_date="2026-02-01")
    asked = [c for c in calls.to(path) if "Description" not in str(c.query)]
    assert asked == []  # its rows were just read
    world.box.delete(path, world.division, keys[0])
    next_day(world)
    with world.watch() as calls:
        outcome = world.sync("journals", start_date="2026-02-01", reconcile_days=1)

    assert outcome.exit_code == 0
    asked = [c for c in calls.to(path) if "Description" not in str(c.query)]
    assert len(asked) == 2 + 1  # and an empty page
    assert {row["id"] for row in world.table("journals")} == set(keys[1:3])


def test_a_comparison_of_keys_heeds_a_stop(make_world: MakeWorld) -> None:
    world = make_world(companies=1, page_size=1)
    world.sync("journals")
    world.clock.sandbox.advance(DAY_S)
    world.login()
    world.box.state.limits.minute_limit = 2
    run = world.make_run(reconcile=["journals"])
    run.rounds.stop_by(run.clock.now() + 150)
    with world.watch() as calls:
        outcome = world.sync_with(run, "journals")

    assert (outcome.exit_code, outcome.results[0].status) == (3, "waiting")
    by_key = [c for c in calls.to("financial/Journals") if "Description" not in str(c.query)]
    assert 0 < len(by_key) < len(world.keys("financial/Journals"))
    world.box.state.limits.minute_limit = 60
    assert world.sync("journals").exit_code == 0
    world.assert_equal("journals")
