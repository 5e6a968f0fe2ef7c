"""Which feed reads an entity."""

from __future__ import annotations

import pytest

from exact_source.entities import Entity, load_catalogue
from exact_source.errors import ConfigurationError
from exact_source.feeds import ROUTES, check_route, harmless_filter, plan_feeds

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
