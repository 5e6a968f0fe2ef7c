"""Entities are read whole where each endpoint with a sync sibling demands a ``$filter`` (API 2.5)."""

from __future__ import annotations

import pytest

from exact_source.sandbox.data.catalogue import Catalogue
from tests.support.fixtures import MakeWorld

SIBLINGS = {endpoint.path for endpoint in Catalogue() if endpoint.has_sync_sibling}
REGULAR = ("accounts", "contacts", "quotation_lines", "document_attachments", "material_issues")
BULK = ("accounts", "contacts", "quotation_lines", "quotations", "goods_deliveries")


@pytest.mark.parametrize(("route", "entities"), [("regular", REGULAR), ("bulk", BULK)])
def test_no_first_read_lacks_a_filter_that_may_be_demanded(
    make_world: MakeWorld, route: str, entities: tuple[str, ...]
) -> None:
    world = make_world(strict=True, companies=1, page_size=60, large_page_size=1000)

    with world.watch() as calls:
        outcome = world.sync(*entities, route=route)

    assert {r.entity: r.error for r in outcome.results if r.status != "complete"} == {}
    asked = [call for call in calls.all if call.path in SIBLINGS]
    assert {(call.status, "$filter" in call.query) for call in asked} == {(200, True)}
    for entity in entities:
        world.assert_equal(entity, by=route)


def test_keys_are_compared_with_a_filter_too(make_world: MakeWorld) -> None:
    """Purchase orders have no sync feed of their own, so the sibling counts on every route."""
    world = make_world(strict=True, companies=1)
    world.sync("purchase_orders")
    gone = world.keys("purchaseorder/PurchaseOrders")[0]
    world.box.delete("purchaseorder/PurchaseOrders", world.division, gone)

    assert world.sync("purchase_orders", reconcile=["purchase_orders"]).exit_code == 0

    world.assert_equal("purchase_orders")
