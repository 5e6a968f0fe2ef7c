"""A load that stopped goes on where it was, whatever stopped it; nothing is lost, little read twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fixtures import MakeWorld
from tests.support.syncs import pages
from tests.support.world import World, feed_path

FEEDS = ["accounts", "transaction_lines", "journals", "sales_invoice_lines"]
LINES = "bulk/Financial/TransactionLines"
COLUMN = {"accounts": "Name", "transaction_lines": "Notes", "sales_invoice_lines": "Notes"}
FIRST_KEY = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize("order", ["key", "Timestamp"])
def test_rounds_of_few_pages_read_no_page_twice(make_world: MakeWorld, order: str) -> None:
    world = make_world(sync_order=order)
    with world.watch() as calls:
        outcome = world.sync(*FEEDS, max_pages=4)

    assert outcome.exit_code == 0
    assert outcome.rounds >= 3
    for entity in FEEDS:
        world.assert_equal(entity)
        for division in world.box.divisions:
            assert max(pages(calls, feed_path(entity), division).values()) == 1


def test_a_full_refresh_that_takes_days_reads_no_page_twice(make_world: MakeWorld) -> None:
    world = make_world(companies=1, page_size=2, large_page_size=2)
    names = ["accounts", "journals"]
    world.advance_versions(6000)  # so that the overlap is less than all rows
    world.box.update("crm/Accounts", world.division, world.keys("crm/Accounts")[0], {"Name": "new"})
    world.sync(*names)
    world.box.state.limits.daily_limit = 6
    codes: list[int] = []
    with world.watch() as calls:
        while 0 not in codes:
            assert len(codes) < 6, "it never ends"
            world.clock.sandbox.advance(86_400)
            world.login()
            codes.append(world.sync(*names, full_refresh=names).exit_code)

    assert len(codes) > 1
    for entity in names:
        assert max(pages(calls, feed_path(entity), world.division).values()) == 1
        world.assert_equal(entity)

    world.box.state.limits.daily_limit = 5000
    with world.watch() as calls:  # the next one is another
        world.sync(*names, full_refresh=names)
    assert all(pages(calls, feed_path(entity), world.division) for entity in names)


def test_a_next_link_that_went_stale_starts_the_scan_again(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.one_round("transaction_lines", max_pages=2)
    world.box.fault(400, path=LINES, times=1)
    with world.watch() as calls:
        outcome = world.sync("transaction_lines")

    assert outcome.exit_code == 0
    assert any("began again" in n for r in outcome.results for n in r.notes)
    assert calls.statuses().count(400) == 1
    world.assert_equal("transaction_lines")


def test_rows_that_change_between_rounds_are_not_missed(world: World) -> None:
    for n in range(6):
        world.one_round("transaction_lines", "accounts", "sales_invoice_lines", max_pages=2)
        for entity in ("transaction_lines", "accounts", "sales_invoice_lines"):
            path, keys = feed_path(entity), world.keys(feed_path(entity))
            for key in (keys[0], keys[-1]):
                world.box.update(path, world.division, key, {COLUMN[entity]: str(n)})
    for _ in range(2):
        assert world.sync("transaction_lines", "accounts", "sales_invoice_lines").exit_code == 0
    for entity in ("transaction_lines", "accounts", "sales_invoice_lines"):
        world.assert_equal(entity)


@pytest.mark.parametrize("order", ["key", "Timestamp"])
@pytest.mark.parametrize("route", ["sync", "bulk", "regular"])
def test_rows_that_change_while_pages_are_read_are_not_missed(
    make_world: MakeWorld, order: str, route: str
) -> None:
    world = make_world(sync_order=order, page_size=2, large_page_size=2, companies=1)
    change = changes(world)
    run = world.make_run(route=route)
    run.log.on_progress = lambda _result: change()
    world.sync_with(run, "accounts")
    run = world.make_run(route=route)
    run.log.on_progress = lambda _result: change()
    world.sync_with(run, "accounts")
    world.clock.sandbox.advance(60)
    assert world.sync("accounts", route=route).exit_code == 0
    world.assert_equal("accounts", by=route)


def changes(world: World) -> Callable[[], None]:
    """Each call changes the first and the last row, and adds one in front or behind."""
    path, count = "crm/Accounts", iter(range(1000))

    def change() -> None:
        n = next(count)
        if n > 12:
            return
        keys = world.keys(path)
        for key in (keys[0], keys[len(keys) // 2], keys[-1]):
            world.box.update(path, world.division, key, {"Name": f"change {n}"})
        if n % 3 == 0:
            end = "0" if n % 2 else "f"
            new = {
                "ID": f"{end * 7}{n:x}-0000-4000-8000-000000000000",
                "Name": "new",
                "Code": str(n),
            }
            world.box.insert(path, world.division, new)
        if n % 4 == 3:
            world.box.delete(path, world.division, keys[1])

    return change


def test_a_moved_division_is_read_again_and_reported(world: World) -> None:
    world.sync("accounts", "contacts")
    world.box.move_division(world.division)
    world.box.update("crm/Accounts", world.division, world.keys("crm/Accounts")[0], {"Name": "new"})
    outcome = world.sync("accounts", "contacts")

    assert outcome.exit_code == 0
    moved = {r.division for r in outcome.results if any("moved" in n for n in r.notes)}
    assert moved == {world.division}
    world.assert_equal("accounts")
    world.assert_equal("contacts")
    assert not any(n for r in world.sync("accounts", "contacts").results for n in r.notes)


def test_a_division_that_moved_long_ago_is_read_in_rounds_like_any_other(world: World) -> None:
    world.box.move_division(world.division)
    world.clock.sandbox.advance(86_400)
    world.login()
    with world.watch() as calls:
        outcome = world.sync("sales_invoice_lines", "accounts", max_pages=1)

    assert outcome.exit_code == 0
    for entity in ("sales_invoice_lines", "accounts"):
        assert max(pages(calls, feed_path(entity), world.division).values()) == 1
        world.assert_equal(entity)
    assert not any(n for r in outcome.results for n in r.notes)


@pytest.mark.parametrize("import_size", [0, 300])
def test_a_cursor_above_the_servers_maximum_is_noticed_without_a_move_date(
    make_world: MakeWorld, import_size: int
) -> None:
    world = make_world(large_page_size=1000, companies=1)
    for n in range(import_size):
        world.box.insert("crm/Accounts", world.division, {"Name": f"import {n}", "Code": str(n)})
    world.sync("accounts")
    world.box.state.store.move(world.division)  # as a restored backup would do it
    world.box.update("crm/Accounts", world.division, world.keys("crm/Accounts")[0], {"Name": "new"})
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    assert any("read again" in n for r in outcome.results for n in r.notes)
    world.assert_equal("accounts")


@pytest.mark.parametrize("deletes", ["hard", "soft"])
@pytest.mark.parametrize("between", ["nothing", "sync", "failure"])
def test_a_table_that_became_empty_notices_rows_of_another_database(
    make_world: MakeWorld, between: str, deletes: str
) -> None:
    world: World = make_world(companies=1)
    path, store = "crm/Accounts", world.box.state.store
    world.sync("accounts", deletes=deletes)
    for key in world.keys(path):
        world.box.delete(path, world.division, key)
    if between == "failure":  # the scan begins in the old database and goes on in the new one
        world.box.fault(503, path=feed_path("accounts"), times=1000)
    for _ in range(5):  # until no list of Exact has anything of the old database
        outcome = world.sync("accounts", deletes=deletes)
        assert (outcome.exit_code != 0) == (between == "failure")
        world.clock.sandbox.advance(20 * 86_400)
        store.forget_old_tombstones(world.division)
    world.box.state.faults.clear()
    store.move(world.division)  # lower versions, and no DivisionMoveDate
    if between == "sync":
        world.sync("accounts", deletes=deletes)
    row = world.box.insert(path, world.division, {"Name": "of the other database"})

    assert world.sync("accounts", deletes=deletes).exit_code == 0

    assert living(world) == [row["ID"]]
    world.box.delete(path, world.division, row["ID"])
    assert world.sync("accounts", deletes=deletes).exit_code == 0
    assert living(world) == []


def living(world: World) -> list[str]:
    return [row["id"] for row in world.table("accounts") if row["_deleted_at"] is None]


@pytest.mark.parametrize("route", ["sync", "regular"])
def test_a_scan_whose_overlap_was_lost_reads_only_what_changed(
    make_world: MakeWorld, route: str
) -> None:
    world = make_world(companies=1, page_size=2, large_page_size=2)
    world.advance_versions(6000)  # so that the overlap is less than all rows
    path = "crm/Accounts"
    first, *others, last = world.keys(path)
    for key in others[:5]:
        world.box.update(path, world.division, key, {"Name": "new"})
    world.sync("accounts", route=route)
    world.box.delete(path, world.division, last)

    with world.watch() as calls:
        world.one_round("accounts", route=route, max_pages=1)
        world.box.update(path, world.division, first, {"Name": "new"})
        assert world.sync("accounts", route=route).exit_code == 0

    assert not pages(calls, feed_path("accounts", route), world.division)
    world.assert_equal("accounts", by=route)


def test_a_row_committed_late_with_a_lower_version_is_caught(world: World) -> None:
    template = max(r["Timestamp"] for r in world.box.rows("sync/CRM/Accounts", world.division))
    world.sync("accounts")
    late: dict[str, Any] = {
        "ID": FIRST_KEY,
        "Name": "late",
        "Code": "77",
        "Timestamp": template - 1,
    }
    world.box.insert("crm/Accounts", world.division, late)
    world.sync("accounts")

    world.assert_equal("accounts")


def test_the_repeated_hour_of_october_loses_nothing(world: World) -> None:
    # Dutch clocks go from 03:00 back to 02:00 at 01:00 UTC.
    turn = 1_792_890_000.0  # 2026-10-25T01:00:00Z
    path = "financial/Journals"
    keys = world.keys(path)
    for minutes in (-40, -1, 1, 20, 70, 200):
        world.clock.sandbox.set(turn + minutes * 60)
        world.login()
        key = keys[abs(minutes) % len(keys)]
        world.box.update(path, world.division, key, {"Description": f"at {minutes}"})
        assert world.sync("journals").exit_code == 0
        world.assert_equal("journals")


# -- in code of one's own ----------------------------------------------------------------------------
