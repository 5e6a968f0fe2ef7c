"""Each feed brings the same rows; feeds can be changed; a start date works on all of them."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.support.fixtures import MakeWorld
from tests.support.syncs import pages
from tests.support.world import World, digits, feed_path

ROUTES = ["sync", "bulk", "regular"]


@pytest.mark.parametrize("route", ROUTES)
def test_every_feed_of_an_entity_brings_all_its_rows(world: World, route: str) -> None:
    with world.watch() as calls:
        outcome = world.sync("accounts", route=route)

    assert outcome.exit_code == 0
    assert {r.feed for r in outcome.results} == {route}
    assert set(calls.paths) & {feed_path("accounts", r) for r in ROUTES} == {
        feed_path("accounts", route)
    }
    world.assert_equal("accounts", by=route)


@pytest.mark.parametrize(("first", "second"), list(permutations(ROUTES, 2)))
def test_a_changed_route_ends_with_the_same_rows(world: World, first: str, second: str) -> None:
    world.sync("accounts", route=first)
    path = feed_path("accounts", second)
    gone, changed, *_ = world.keys(path)
    world.box.delete(path, world.division, gone)
    world.box.update(path, world.division, changed, {"Name": "changed"})
    world.box.insert(path, world.other, {"Name": "new", "Code": "17"})
    world.sync("accounts", route=second)

    world.assert_equal("accounts", by=second)
    assert world.sync("accounts", route=second).exit_code == 0
    world.assert_equal("accounts", by=second)


@pytest.mark.parametrize(("first", "second"), [("bulk", "regular"), ("regular", "bulk")])
def test_a_feed_with_other_columns_fills_them_for_all_rows(
    world: World, first: str, second: str
) -> None:
    # The bulk and regular feeds of documents differ by a column.
    world.sync("documents", route=first)
    world.sync("documents", route=second)

    world.assert_equal("documents", by=second)


@pytest.mark.parametrize(("first", "second"), [("bulk", "regular"), ("sync", "bulk")])
def test_a_route_changed_in_the_middle_of_a_scan_starts_again(
    world: World, first: str, second: str
) -> None:
    stopped = world.one_round("accounts", route=first, max_pages=1)
    assert {r.status for r in stopped} == {"incomplete"}
    assert sum(r.rows for r in stopped) > 0

    outcome = world.sync("accounts", route=second)

    assert (outcome.exit_code, [r.error for r in outcome.results]) == (0, ["", ""])
    world.assert_equal("accounts", by=second)


def test_a_route_for_one_entity_leaves_the_others_alone(world: World) -> None:
    outcome = world.sync("accounts", "contacts", route={"accounts": "regular"})

    assert {(r.entity, r.feed) for r in outcome.results} == {
        ("accounts", "regular"),
        ("contacts", "sync"),
    }
    world.assert_equal("accounts", by="regular")
    world.assert_equal("contacts")


@pytest.mark.parametrize("entity", ["receivables", "quotations"])
def test_a_bulk_feed_whose_modified_cannot_be_filtered_gets_its_changes_by_sixty(
    make_world: MakeWorld, entity: str
) -> None:
    # A list of one page would be read whole, which takes one call, too.
    world = make_world(companies=1, page_size=10, large_page_size=40)
    path, regular = feed_path(entity, "bulk"), feed_path(entity, "regular")
    key = world.keys(path)[0]
    like = {**world.box.rows(regular, world.division)[0], "Description": "one of many"}
    own = next(e for e in world.box.state.catalogue if e.path == regular).key[0]
    for number in range(70):
        row = {k: v for k, v in like.items() if k not in {"Created", "Modified", "Timestamp"}}
        new = {own: f"ffffffff-0000-4000-8000-{number:012d}"}
        world.box.insert(regular, world.division, row | new)
        world.box.touch(path, world.division, [new[own]], modified=digits("2020-01-01"))
    with world.watch() as calls:
        world.sync(entity)
    assert (len(calls.to(path)), calls.to(regular)) == (2, [])
    world.assert_equal(entity, by="bulk")
    world.box.update(path, world.division, key, {"Description": "later"})
    with world.watch() as calls:
        world.sync(entity)

    assert len(calls.to(regular)) == 1
    assert not calls.to(path)
    world.assert_equal(entity, by="bulk")


START = "2026-02-01"


@pytest.mark.parametrize(
    ("entity", "route"),
    [
        ("accounts", "sync"),
        ("projects", "sync"),
        ("accounts", "bulk"),
        ("accounts", "regular"),
        ("contacts", "bulk"),
        ("journals", "regular"),
        ("receivables", "auto"),
    ],
)
def test_a_start_date_leaves_out_what_was_not_changed_since(
    world: World, entity: str, route: str
) -> None:
    feed = None if route == "auto" else route
    path = feed_path(entity, feed)
    start = digits(START)
    keys = world.keys(path)
    world.box.touch(path, world.division, modified=digits("2026-01-31T23:59:59.997"))
    world.box.touch(path, world.division, keys[: len(keys) // 2], modified=start)

    def is_young(row: Any) -> bool:
        return bool(row["Modified"] >= start)

    for _ in range(2):
        outcome = world.sync(entity, route=route, start_date=START, divisions=[world.division])
        assert outcome.exit_code == 0
        assert len(world.table(entity)) == len(keys) // 2
    world.box.update(path, world.division, keys[-1], {})
    world.sync(entity, route=route, start_date=START)

    world.assert_equal(entity, by=feed, only=is_young)


def test_a_start_date_after_all_rows_loads_none(world: World) -> None:
    for route in ("sync", "regular"):
        outcome = world.sync("projects", route=route, start_date="2026-03-10")
        assert outcome.exit_code == 0
        assert world.table("projects") == []
        with world.watch() as calls:
            assert world.sync("projects", route=route, start_date="2026-03-10").exit_code == 0
        assert not pages(calls, feed_path("projects", route), world.division), "rows are read again"


def test_a_start_date_misses_no_row_whatever_the_order_of_versions(world: World) -> None:
    path = feed_path("projects", "sync")
    oldest, *younger = world.keys(path)
    world.box.touch(path, world.division, younger, modified=digits("2026-02-03"))
    # The first row by Modified has the highest version: SyncTimestamp names that one.
    world.box.touch(path, world.division, [oldest], modified=digits("2026-02-02"))
    for _ in range(2):
        outcome = world.sync("projects", route="sync", start_date=START, divisions=[world.division])
        assert outcome.exit_code == 0
        assert len(world.table("projects")) == 1 + len(younger)


@pytest.mark.parametrize("route", ["sync", "regular"])
def test_an_earlier_start_date_brings_the_rows_before_it(world: World, route: str) -> None:
    path = feed_path("accounts", route)
    old, *young = world.keys(path)
    world.box.touch(path, world.division, [old], modified=digits("2026-01-15"))
    world.box.touch(path, world.division, young, modified=digits("2026-02-15"))
    options: dict[str, Any] = {"route": route, "divisions": [world.division]}
    counts = []
    for start in (START, "2026-01-01", "2026-02-10", None):
        outcome = world.sync("accounts", start_date=start, **options)
        assert outcome.exit_code == 0
        notes = [n for r in outcome.results for n in r.notes if "start_date" in n]
        again, ignored = (any(word in n for n in notes) for word in ("read again", "no effect"))
        counts.append((len(world.table("accounts")), again, ignored))
    everything = 1 + len(young)
    assert counts == [
        (len(young), False, False), (everything, True, False), (everything, False, True),
        (everything, True, False),
    ]  # fmt: skip


def test_an_entity_without_dates_is_loaded_whole_and_says_so(world: World) -> None:
    for start in ("2026-03-10", "2026-03-09"):
        outcome = world.sync("sales_invoice_lines", start_date=start)
        notes = {note for r in outcome.results for note in r.notes}
        assert notes == {"start_date leaves out nothing: its rows have no Modified"}
        world.assert_equal("sales_invoice_lines")


def test_a_full_refresh_from_a_start_date_ends(world: World) -> None:
    options: dict[str, Any] = {"route": "regular", "start_date": "1990-01-01", "max_pages": 1}
    world.sync("accounts", **options)
    with world.watch() as calls:
        outcome = world.sync("accounts", full_refresh=["accounts"], **options)

    assert outcome.exit_code == 0
    assert len(calls.to("crm/Accounts", world.division)) <= 4
    world.assert_equal("accounts", by="regular")
