"""A column that Exact withdraws stops no stream; what else is refused stays refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
import pytest

from exact_source.catalogue import load_catalogue
from tests.conftest import MakeWorld
from tests.support.world import Row, feed_path

METADATA = "/$metadata"


@pytest.fixture(autouse=True)
def own_catalogue() -> Iterator[None]:
    """No overlay outlives its test."""
    yield
    load_catalogue.cache_clear()


@pytest.mark.parametrize(
    ("entity", "column"),
    [("units", "Description"), ("stock_position", "PlanningIn")],
)
def test_a_withdrawn_column_is_left_out_and_said(
    make_world: MakeWorld, entity: str, column: str
) -> None:
    world, path = make_world(companies=1), feed_path(entity)
    world.box.drop_property(path, column)
    with world.watch() as calls:
        outcome = world.sync("items", entity)

    assert outcome.exit_code == 0
    result = next(r for r in outcome.results if r.entity == entity)
    assert result.notes == [f"left out, as Exact no longer has it: {column}"]
    assert calls.statuses(path).count(400) == 1
    service = path.rpartition("/")[0] + METADATA
    assert len([c for c in calls.all if c.path == service]) == 1
    if entity != "stock_position":
        world.assert_equal(entity)
    assert result.rows

    with world.watch() as calls:
        again = world.sync("items", entity)
    assert again.exit_code == 0
    assert set(calls.statuses(path)) == {200}
    assert service not in calls.paths
    result = next(r for r in again.results if r.entity == entity)
    assert result.notes == [f"left out, as Exact no longer has it: {column}"]


@pytest.mark.parametrize(
    ("entity", "column", "page_size"),
    [("units", "Description", 4), ("transaction_lines", "GLAccountCode", 60)],
)
def test_rows_that_were_loaded_keep_the_column(
    make_world: MakeWorld, entity: str, column: str, page_size: int
) -> None:
    world = make_world(companies=1, page_size=page_size)
    path = feed_path(entity)
    name = load_catalogue().entities[entity].columns[column].name
    world.sync(entity)
    before = {row["id"]: row[name] for row in world.table(entity)}
    assert set(before.values()) != {None}
    world.box.drop_property(path, column)
    key, gone, *_ = world.keys(path)
    other = "Code" if entity == "units" else "Description"
    world.box.update(path, world.division, key, {other: "new"})
    world.box.delete(path, world.division, gone)
    new = {**world.box.rows(path, world.division)[0], "ID": "ffffffff-0000-4000-8000-000000000000"}
    allowed = next(e for e in world.box.state.catalogue if e.path == path).columns
    hidden = {"Division", "Timestamp", "Modified", "Created", column}
    world.box.insert(
        path, world.division, {k: v for k, v in new.items() if k in allowed and k not in hidden}
    )
    assert world.sync(entity, reconcile=[entity]).exit_code == 0

    after = {row["id"]: row[name] for row in world.table(entity)}
    assert after == {k: v for k, v in before.items() if k != gone} | {new["ID"]: None}
    assert [row[other.lower()] for row in world.table(entity) if row["id"] == key] == ["new"]


@pytest.mark.parametrize(
    ("entity", "column", "companion"),
    [
        ("accounts", "Code", "code_raw"),
        ("divisions", "Created", "created_utc"),
    ],
)
def test_what_stands_beside_a_withdrawn_column_is_kept_with_it(
    make_world: MakeWorld, entity: str, column: str, companion: str
) -> None:
    world = make_world(companies=1)
    path = feed_path(entity)
    name = load_catalogue().entities[entity].columns[column].name
    options = {"utc_instants": True, "raw_codes": True, "full_refresh": [entity]}
    world.sync(entity, **options)
    before = {key_of(row): (row[name], row[companion]) for row in world.table(entity)}
    assert all(None not in pair for pair in before.values())
    world.box.drop_property(path, column)

    for _ in range(2):
        outcome = world.sync(entity, **options)
        assert outcome.exit_code == 0
        assert {r.rows for r in outcome.results} == {len(before)}
        after = {key_of(row): (row[name], row[companion]) for row in world.table(entity)}
        assert after == before


def key_of(row: Row) -> Any:
    return row.get("id", row["division"])


def test_on_postgres_columns_of_every_type_are_kept(make_world: MakeWorld, postgres: str) -> None:
    world = make_world(companies=1)
    world.pipeline = world.new_pipeline(destination=dlt.destinations.postgres(postgres))
    fields = ["Created", "Code", "Blocked", "CreditLineSales", "DiscountSales", "AddressLine1"]
    columns = load_catalogue().entities["accounts"].columns
    names = [*(columns[field].name for field in fields), "created_utc", "code_raw"]
    options = {"utc_instants": True, "raw_codes": True, "full_refresh": ["accounts"]}
    world.sync("accounts", **options)
    before = {row["id"]: [row[name] for name in names] for row in world.table("accounts")}
    assert len({type(value) for row in before.values() for value in row} - {type(None)}) == 5
    for field in fields:
        world.box.drop_property("sync/CRM/Accounts", field)
    outcome = world.sync("accounts", **options)

    assert [r.rows for r in outcome.results] == [len(before)]
    assert {row["id"]: [row[name] for name in names] for row in world.table("accounts")} == before


# -- lists that are read once, for all others -------------------------------------------------------


def test_deletions_arrive_without_a_withdrawn_column_of_their_list(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.sync("contacts", "deleted")
    world.box.drop_property("sync/Deleted", "DeletedBy")
    path = feed_path("contacts")
    world.box.delete(path, world.division, world.keys(path)[0])

    assert world.sync("contacts", "deleted").exit_code == 0
    world.assert_equal("contacts")


# -- columns that a URL has no room for ------------------------------------------------------------
