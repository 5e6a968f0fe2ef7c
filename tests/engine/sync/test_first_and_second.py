"""The first load brings everything, the second what changed, both by the fewest calls."""

from __future__ import annotations

import math

import pytest

from exact_source.catalogue import load_catalogue
from tests.support.fixtures import MakeWorld
from tests.support.world import World, digits, feed_path

CORE = [e for e in load_catalogue().core if e not in {"divisions", "deleted"}]
# One of each kind: sync, bulk with Modified, regular, full refresh.
FEEDS = ["accounts", "transaction_lines", "journals", "sales_invoice_lines"]
LAST_KEY = "ffffffff-ffff-4fff-8fff-ffffffffffff"
FIRST_KEY = "00000000-0000-4000-8000-000000000000"


def test_the_first_load_brings_every_row_and_value_of_the_core(world: World) -> None:
    outcome = world.sync(*load_catalogue().core)

    assert (outcome.exit_code, outcome.error) == (0, None)
    for entity in CORE:
        world.assert_equal(entity)
    codes = [row["code"] for row in world.table("divisions")]
    assert sorted(codes) == world.box.divisions


def test_a_first_load_takes_a_call_a_page_and_at_most_one_more(world: World) -> None:
    with world.watch() as calls:
        world.sync(*FEEDS)

    for entity in FEEDS:
        path = feed_path(entity)
        size = 4 if entity == "journals" else 6
        for division in world.box.divisions:
            rows = len(world.box.rows(path, division))
            assert len(calls.to(path, division)) <= math.ceil(rows / size) + 1
    shared = set(calls.paths) - {feed_path(e) for e in FEEDS}
    assert shared == {"system/Divisions", "sync/Deleted", "current/Me"}
    assert len(calls.to("sync/Deleted")) == len(world.box.divisions)
    assert len(calls.to("system/Divisions")) == 1


def test_pages_of_the_real_size_take_one_call_per_thousand_rows(make_world: MakeWorld) -> None:
    world = make_world(invoices=80, page_size=60, large_page_size=1000)
    with world.watch() as calls:
        world.sync("transaction_lines", "sales_invoices")

    assert len(world.box.rows("bulk/Financial/TransactionLines", world.division)) > 500
    assert len(calls.to("bulk/Financial/TransactionLines", world.division)) == 1
    assert len(calls.to("bulk/SalesInvoice/SalesInvoices", world.division)) == 1
    world.assert_equal("transaction_lines")


def test_a_second_load_takes_one_call_per_stream_and_loads_what_changed(
    make_world: MakeWorld,
) -> None:
    world = make_world(page_size=60, large_page_size=1000)
    entities = ["accounts", "transaction_lines", "journals"]
    world.sync(*entities)
    for entity in entities:
        path, column = feed_path(entity), "Name" if entity == "accounts" else "Description"
        world.box.update(path, world.division, world.keys(path)[0], {column: "new"})

    with world.watch() as calls:
        outcome = world.sync(*entities)

    for entity in entities:
        for division in world.box.divisions:
            assert len(calls.to(feed_path(entity), division)) == 1
    changed = dict.fromkeys(entities, 1)
    changed["journals"] = len(world.keys("financial/Journals"))  # it fits on a page, so it is whole
    assert {(r.entity, r.division): r.rows for r in outcome.results} == {
        (e, d): changed[e] if d == world.division else 0
        for e in entities
        for d in world.box.divisions
    }
    assert len(calls.to("sync/Deleted")) == len(world.box.divisions)
    assert set(calls.paths) - {feed_path(e) for e in entities} == {
        "sync/Deleted", "system/Divisions", "current/Me",
    }  # fmt: skip
    for entity in entities:
        world.assert_equal(entity)


def test_a_quiet_company_loads_nothing(world: World) -> None:
    world.sync("accounts", "journals", "transaction_lines")

    for _ in range(2):
        outcome = world.sync("accounts", "journals", "transaction_lines")
        assert {r.rows for r in outcome.results} == {0}
        assert outcome.exit_code == 0


@pytest.mark.parametrize("entity", ["accounts", "transaction_lines", "journals"])
@pytest.mark.parametrize("order", ["key", "Timestamp"])
def test_rows_with_one_and_the_same_modified_all_arrive(
    make_world: MakeWorld, entity: str, order: str
) -> None:
    world, path = make_world(sync_order=order), feed_path(entity)
    moment = digits("2026-03-01T09:30:15.123")
    world.box.touch(path, world.division, modified=moment)
    world.sync(entity)
    world.assert_equal(entity)

    # Others get the same Modified as rows that were read already.
    name = "Description" if entity != "accounts" else "Name"
    for key in (FIRST_KEY, LAST_KEY):
        template = world.box.rows(path, world.division)[0]
        row = {"ID": key, name: "tie", "Modified": moment, "Code": "T" + key[:3]}
        if entity == "transaction_lines":
            row = {"ID": key, name: "tie", "Modified": moment, "EntryID": template["EntryID"]}
        world.box.insert(path, world.division, row)
    world.sync(entity)
    world.assert_equal(entity)


@pytest.mark.parametrize("entity", ["transaction_lines", "journals"])
def test_a_row_that_changes_twice_at_one_moment_ends_with_its_last_value(
    world: World, entity: str
) -> None:
    path = feed_path(entity)
    moment = digits("2026-03-10T13:00:00")
    key = world.keys(path)[0]
    world.box.update(path, world.division, key, {"Description": "one", "Modified": moment})
    world.sync(entity)
    world.box.update(path, world.division, key, {"Description": "two", "Modified": moment})
    world.sync(entity)

    world.assert_equal(entity)


@pytest.mark.parametrize("entity", FEEDS)
def test_an_empty_company_gets_an_empty_share_of_the_table(world: World, entity: str) -> None:
    path = feed_path(entity)
    for key in world.keys(path, world.other):
        world.box.delete(path, world.other, key)
    outcome = world.sync(entity)

    assert outcome.exit_code == 0
    assert world.table(entity, world.other) == []
    world.assert_equal(entity)


def test_a_table_without_any_rows_can_be_queried(world: World) -> None:
    for division in world.box.divisions:
        for key in world.keys("inventory/Warehouses", division):
            world.box.delete("inventory/Warehouses", division, key)
    outcome = world.sync("warehouses")

    assert outcome.exit_code == 0
    assert world.table("warehouses") == []
    assert world.sync("warehouses").exit_code == 0


@pytest.mark.parametrize("feed", ["sync", "bulk", "regular"])
def test_a_last_page_that_is_exactly_full_leads_to_an_empty_one(
    make_world: MakeWorld, feed: str
) -> None:
    rows = len(make_world().box.rows("crm/Accounts", 1_000_123))
    world = make_world(page_size=rows, large_page_size=rows, companies=1)
    with world.watch() as calls:
        outcome = world.sync("accounts", route=feed)

    assert outcome.exit_code == 0
    assert len(calls.to(feed_path("accounts", feed))) == 2
    world.assert_equal("accounts", by=feed)


def test_only_the_divisions_that_are_named_are_read(world: World) -> None:
    with world.watch() as calls:
        outcome = world.sync("accounts", "divisions", divisions=[world.other])

    assert outcome.exit_code == 0
    assert {c.division for c in calls.all} <= {world.other, None}
    assert {row["division"] for row in world.table("accounts")} == {world.other}


def test_a_division_added_later_is_read_from_its_beginning(world: World) -> None:
    world.sync("accounts", "journals", divisions=[world.division])
    world.sync("accounts", "journals")

    world.assert_equal("accounts")
    world.assert_equal("journals")


def test_an_entity_added_later_is_read_from_its_beginning(world: World) -> None:
    world.sync("accounts")
    world.sync("accounts", "contacts")

    world.assert_equal("accounts")
    world.assert_equal("contacts")


def test_full_refresh_reads_everything_again_and_finds_silent_deletes(world: World) -> None:
    world.sync("journals")
    world.box.delete("financial/Journals", world.division, world.keys("financial/Journals")[0])
    outcome = world.sync("journals", full_refresh=["journals"])

    assert outcome.exit_code == 0
    world.assert_equal("journals")
    with world.watch() as calls:
        world.sync("journals")
    assert len(calls.to("financial/Journals", world.division)) == 1


def test_calls_of_a_division_never_overlap_while_divisions_run_side_by_side(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=4, latency=0.01)
    world.sync("accounts", "contacts", "items", "journals")

    assert {world.box.max_in_flight(d) for d in world.box.divisions} == {1}
    order = [c.division for c in world.box.requests if c.division is not None]
    first = {d: order.index(d) for d in world.box.divisions}
    last = {d: len(order) - order[::-1].index(d) for d in world.box.divisions}
    assert max(first.values()) < min(last.values()), "one division after the other"


def test_codes_can_be_had_as_exact_pads_them(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    key = world.keys("logistics/Items")[0]
    world.box.update("logistics/Items", world.division, key, {"Unit": "stuk    "})
    world.sync("accounts", "items", "divisions")
    assert "code_raw" not in world.table("accounts")[0]

    outcome = world.sync("accounts", "items", "divisions", raw_codes=True)
    assert outcome.exit_code == 0
    for row in world.table("accounts"):
        assert row["code_raw"] == row["code"].rjust(18)
    (unit,) = [(r["unit"], r["unit_raw"]) for r in world.table("items") if r["id"] == key]
    assert unit == ("stuk", "stuk    ")
    (customer,) = [(r["customer_code"], r["customer_code_raw"]) for r in world.table("divisions")]
    assert customer == (customer[1].strip(), customer[0].rjust(18))
