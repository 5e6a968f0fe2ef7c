"""Rows of functions, as the sandbox returns them and as they should be stored."""

from __future__ import annotations

from typing import Any

from exact_source.sandbox.data.reading import parameter_tests, table_of
from tests.support.world import World, expected_value

STOCK = "read/logistics/StockPosition"
EXTRA = "read/logistics/ItemExtraField"


def asked(world: World, path: str, division: int, **parameters: Any) -> list[dict[str, Any]]:
    """Rows of a function, as the sandbox chooses them."""
    state = world.box.state
    endpoint = next(e for e in state.catalogue if e.path == path)
    tests = parameter_tests(endpoint, parameters)
    rows = table_of(state, division, endpoint, parameters).ordered("key")[1]
    return [row for row in rows if all(test(row) for test in tests)]


def items(world: World, division: int) -> list[str]:
    return [row["ID"] for row in world.box.rows("logistics/Items", division)]


def assert_stock(world: World) -> None:
    for division in world.box.divisions:
        wanted = {
            (item, number): expected_value("InStock", "f", row.get("InStock"))
            for item in items(world, division)
            for number, row in enumerate(asked(world, STOCK, division, itemId=item))
        }
        rows = world.table("stock_position", division)
        found = {(row["item_id"], row["_row"]): row["in_stock"] for row in rows}
        assert found == wanted
        assert wanted


def assert_extra_fields(world: World) -> None:
    for division in world.box.divisions:
        wanted = {
            (row["ItemID"], row["Number"]): row.get("Value")
            for row in world.box.rows(EXTRA, division)
        }
        rows = world.table("item_extra_field", division)
        assert {(r["item_id"], r["number"]): r["value"] for r in rows} == wanted
        assert len(rows) == len(wanted)
