"""Which feed reads an entity."""

from __future__ import annotations

import pytest

from exact_source.catalogue import Entity, Feed, load_catalogue
from exact_source.catalogue.feeds import (
    ROUTES,
    check_route,
    deletes_of,
    harmless_filter,
    plan_feeds,
    start_date_of,
)
from exact_source.engine.cursors import Scan
from exact_source.engine.scanner import feed_of
from exact_source.engine.shape import Shape
from exact_source.errors import ConfigurationError
from exact_source.sandbox.data.catalogue import Catalogue
from tests.support.sandbox_kit import Caller, new_box

catalogue = load_catalogue()
EVERY = list(catalogue.entities.values())


def entity(name: str) -> Entity:
    return catalogue.entities[name]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("accounts", "sync"),
        ("transaction_lines", "bulk"),
        ("sales_invoice_lines", "bulk, in full"),
        ("journals", "regular"),
        ("receivables", "bulk + regular"),
        ("quotations", "bulk + regular"),
        ("sync_transaction_lines", "sync"),
    ],
)
def test_auto_takes_the_cheapest_feed_of_the_same_rows(name: str, label: str) -> None:
    assert plan_feeds(entity(name)).label == label


def test_rows_of_another_grain_never_stand_in_for_an_entity() -> None:
    for name in ("transaction_lines", "sales_invoices", "purchase_orders"):
        assert "sync" not in entity(name).feeds
        assert "sync" in entity(f"sync_{name}").feeds


@pytest.mark.parametrize("route", ["auto", "sync", "bulk", "regular"])
def test_every_entity_has_a_plan_by_every_route(route: str) -> None:
    for one in EVERY:
        plan = plan_feeds(one, route)
        kinds = {f.kind for f in (plan.full, plan.increment) if f}
        if route in one.feeds:
            assert kinds == {route}
        assert (plan.increment is None) == (plan.column is None)
        assert set(plan.fields) <= set(plan.full.columns)
        if plan.increment is not None:
            assert plan.column == plan.increment.cursor
            assert set(plan.fields) <= set(plan.increment.columns)


def test_auto_never_takes_sixty_rows_a_page_where_a_thousand_are_to_be_had() -> None:
    for one in EVERY:
        plan = plan_feeds(one)
        if "sync" in one.feeds:
            assert plan.full.kind == "sync"
        elif "bulk" in one.feeds:
            assert plan.full.kind == "bulk"


def test_only_filters_that_a_feed_takes_are_used() -> None:
    for one in EVERY:
        plan = plan_feeds(one)
        for feed in {plan.full.path: plan.full, **({} if plan.increment is None else
                     {plan.increment.path: plan.increment})}.values():  # fmt: skip
            if feed.filterable is not None and feed.cursor == "Modified":
                assert "Modified" in feed.filterable
            if feed.mandatory_filter:
                assert feed.cursor in feed.mandatory_filter or harmless_filter(feed)


def test_only_changes_are_read_from_the_feed_for_changes() -> None:
    shape = Shape.of(entity("receivables"), plan_feeds(entity("receivables")))
    full, changes = Scan(since=None, started_at=0.0), Scan(since=0, started_at=0.0)
    found = [feed_of(shape, scan) for scan in (None, full, changes)]

    assert [feed.kind for feed, _ in found] == ["bulk", "bulk", "regular"]
    assert [schema is shape.full for _, schema in found] == [True, True, False]


def test_a_start_date_limits_what_tells_when_it_changed_and_nothing_else() -> None:
    for one in EVERY:
        plan = plan_feeds(one)
        is_list = one.division_from is not None or one.name == "deleted"
        how = start_date_of(one, plan)
        assert (how == "filter") == (plan.full.cursor == "Modified" and not is_list)
        if how == "dropped":
            assert "Modified" in plan.fields
        if how == "none":
            assert "Modified" not in plan.fields or is_list
    assert start_date_of(entity("expenses"), plan_feeds(entity("expenses"))) == "none"


def test_deleted_rows_are_found_in_one_of_four_ways() -> None:
    found = {one.name: deletes_of(one, plan_feeds(one).column) for one in EVERY}
    assert set(found.values()) == {"tombstones", "full pass", "keys", "never"}
    assert [name for name, how in found.items() if how == "never"] == ["deleted"]
    assert (found["accounts"], found["journals"]) == ("tombstones", "keys")
    assert (found["divisions"], found["units"]) == ("full pass", "full pass")


SIBLINGS = {e.path for e in Catalogue() if e.has_sync_sibling or e.mandatory_filter}
DEMANDING = [f for e in EVERY for f in e.feeds.values() if f.path in SIBLINGS]


@pytest.fixture(scope="module")
def strict() -> Caller:
    return Caller(new_box(strict=True, companies=1, page_size=1000))


@pytest.mark.parametrize("feed", DEMANDING, ids=lambda feed: str(feed.path))
def test_where_a_filter_may_be_demanded_one_is_sent_that_every_row_passes(
    strict: Caller, feed: Feed
) -> None:
    """Which they are the sandbox finds out by itself, from the names of the sync feeds."""
    truth = strict.box.rows(feed.path, strict.division)
    query = {"$select": feed.columns[0], "$filter": harmless_filter(feed) or ""}
    assert len(strict.rows(feed.path, query)) == len(truth)


def test_a_filter_on_modified_is_sent_wherever_it_is_taken() -> None:
    feeds = [f for e in EVERY for f in e.feeds.values() if f.cursor == "Modified"]
    assert len(feeds) > 150
    assert {harmless_filter(f) for f in feeds} == {"Modified ge datetime'1900-01-01T00:00:00'"}


def test_a_route_for_an_entity_is_an_order() -> None:
    assert plan_feeds(entity("accounts"), {"accounts": "regular"}).full.kind == "regular"
    assert plan_feeds(entity("contacts"), {"accounts": "regular"}).full.kind == "sync"
    with pytest.raises(ConfigurationError, match=r"journals has no sync feed.*regular"):
        plan_feeds(entity("journals"), {"journals": "sync"})


def test_a_route_for_the_source_is_a_preference() -> None:
    assert plan_feeds(entity("journals"), "sync").full.kind == "regular"


@pytest.mark.parametrize("route", ROUTES)
def test_known_routes_are_accepted(route: str) -> None:
    check_route(route, ["accounts"])
    check_route({"accounts": route}, ["accounts"])


@pytest.mark.parametrize("route", ["fast", "", "SYNC", {"accounts": "fast"}, {"acounts": "sync"}])
def test_unknown_routes_are_refused_by_name(route: str | dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="route"):
        check_route(route, ["accounts"])
