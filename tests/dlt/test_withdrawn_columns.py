"""A column that Exact withdraws keeps its stored values in a real table, whatever its type."""

from __future__ import annotations

import dlt
import pytest

from exact_source.catalogue import load_catalogue
from tests.support.fixtures import MakeWorld

FIELDS = ["Created", "Code", "Blocked", "CreditLineSales", "DiscountSales", "AddressLine1"]


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_columns_of_every_type_are_kept(
    make_world: MakeWorld, request: pytest.FixtureRequest, kind: str
) -> None:
    world = make_world(companies=1)
    if kind == "postgres":
        destination = dlt.destinations.postgres(request.getfixturevalue("postgres"))
        world.pipeline = world.new_pipeline(destination=destination)
    columns = load_catalogue().entities["accounts"].columns
    names = [*(columns[field].name for field in FIELDS), "created_utc", "code_raw"]
    options = {"utc_instants": True, "raw_codes": True, "full_refresh": ["accounts"]}
    world.sync("accounts", **options)
    before = {row["id"]: [row[name] for name in names] for row in world.table("accounts")}
    assert len({type(value) for row in before.values() for value in row} - {type(None)}) == 5
    for field in FIELDS:
        world.box.drop_property("sync/CRM/Accounts", field)
    outcome = world.sync("accounts", **options)

    assert [r.rows for r in outcome.results] == [len(before)]
    assert {row["id"]: [row[name] for name in names] for row in world.table("accounts")} == before
