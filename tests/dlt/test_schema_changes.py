"""What Exact, or the catalogue, comes to think otherwise about an entity: nothing of it is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import dlt
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.overlay import VARIABLE, VERSION
from tests.support.fixtures import MakeWorld
from tests.support.tiers import variants
from tests.support.world import World, feed_path


@pytest.fixture(autouse=True)
def fresh_catalogue() -> Iterator[None]:
    load_catalogue.cache_clear()
    yield
    load_catalogue.cache_clear()


@pytest.fixture(params=variants(["duckdb", "postgres"], "duckdb"))
def anywhere(request: pytest.FixtureRequest, make_world: MakeWorld) -> World:
    world: World = make_world(companies=1)
    if request.param == "postgres":
        destination = dlt.destinations.postgres(request.getfixturevalue("postgres"))
        world.pipeline = world.new_pipeline(destination=destination)
    return world


def notes(outcome: Any) -> list[str]:
    return [note for result in outcome.results for note in result.notes]


@pytest.mark.parametrize(
    ("entity", "field"),
    [("accounts", "Email"), ("journals", "Currency"), ("units", "Description")],
)
def test_a_column_that_becomes_known_is_filled_in_all_rows(
    anywhere: World, monkeypatch: pytest.MonkeyPatch, entity: str, field: str
) -> None:
    world = anywhere
    kinds = load_catalogue().entities[entity].feeds
    overlay = {"version": VERSION, "columns": {entity: {k: {"drop": [field]} for k in kinds}}}
    file = world.folder / "overlay.json"
    file.write_text(json.dumps(overlay))
    monkeypatch.setenv(VARIABLE, str(file))
    load_catalogue.cache_clear()
    world.sync(entity)
    name = load_catalogue().entities[entity].columns[field].name
    assert name not in world.table(entity)[0]
    monkeypatch.delenv(VARIABLE)
    load_catalogue.cache_clear()
    outcome = world.sync(entity)

    assert outcome.exit_code == 0
    assert notes(outcome) == [f"new columns: {name}: read again"]
    world.assert_equal(entity)
    with world.watch() as calls:
        again = world.sync(entity)
    assert notes(again) == []
    assert {r.rows for r in again.results} == {0}
    assert len(calls.to(feed_path(entity))) <= 2


def test_a_load_that_did_not_arrive_leaves_the_column_new(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world: World = make_world(companies=1)
    file = world.folder / "overlay.json"
    dropped = {"accounts": {k: {"drop": ["Email"]} for k in ("sync", "bulk", "regular")}}
    file.write_text(json.dumps({"version": VERSION, "columns": dropped}))
    monkeypatch.setenv(VARIABLE, str(file))
    load_catalogue.cache_clear()
    world.sync("accounts")
    monkeypatch.delenv(VARIABLE)
    load_catalogue.cache_clear()
    with monkeypatch.context() as broken:
        broken.setattr(type(world.pipeline), "load", lambda *_a, **_k: None)
        world.one_round("accounts")
    world.pipeline.abort_packages()
    outcome = world.sync("accounts")

    assert "new columns: email: read again" in notes(outcome)
    world.assert_equal("accounts")


@pytest.mark.parametrize(
    ("field", "before", "after", "value", "kept"),
    [
        ("Type", "i", "l", 3_000_000_000, None),
        ("Type", "s", "i", 7, "7"),
        ("Description", "s", "g", "text", "text"),
        pytest.param("Type", "i", "l", 7, 7, marks=pytest.mark.nightly),
        pytest.param("Type", "i", "s", "A7", None, marks=pytest.mark.nightly),
        pytest.param("Type", "i", "m", 2.5, None, marks=pytest.mark.nightly),
        ("PaymentServiceProvider", "h", "i", 70_000, None),
    ],
)
def test_a_type_that_changed_loses_no_value(
    anywhere: World,
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    before: str,
    after: str,
    value: Any,
    kept: Any,
) -> None:
    world, path = anywhere, feed_path("journals")
    key, *_ = world.keys(path)
    retype(monkeypatch, "journals", field, before)
    world.box.update(path, world.division, key, {field: None})
    world.sync("journals")
    made = load_catalogue().entities["journals"].columns[field]
    retype(monkeypatch, "journals", field, after)
    served: Any = next(e for e in world.box.state.catalogue if e.path == path)
    monkeypatch.setitem(served.columns, field, after)  # all sandboxes of a process share it
    world.box.update(path, world.division, key, {field: value})
    outcome = world.sync("journals")

    assert outcome.exit_code == 0
    row = next(r for r in world.table("journals") if r["id"] == key)
    assert row[made.name] == kept
    if kept is None:
        left = json.loads(row["_extra"])
        assert (
            Decimal(str(left[field])) == Decimal(str(value))
            if after != "s"
            else left == {field: value}
        )
        assert notes(outcome) == [f"{field}: misfit"]


def retype(monkeypatch: pytest.MonkeyPatch, entity: str, field: str, type_code: str) -> None:
    """Let the catalogue hold another type."""
    entities: Any = load_catalogue().entities
    found = entities[entity]
    column = replace(found.columns[field], type_code=type_code)
    changed = replace(found, columns={**found.columns, field: column})
    monkeypatch.setitem(entities._made, entity, changed)


@pytest.mark.parametrize(
    "entity",
    variants(
        ["contacts", "transaction_lines", "journals", "stock_position"],
        "contacts",
    ),
)
def test_a_withdrawn_endpoint_stops_no_other_and_empties_no_table(
    make_world: MakeWorld, entity: str
) -> None:
    world: World = make_world(companies=1)
    path = feed_path(entity)
    world.sync("items", "accounts", entity)
    held = world.table(entity)
    key, *_ = world.keys("sync/CRM/Accounts")
    world.box.update("sync/CRM/Accounts", world.division, key, {"Name": "new"})
    world.box.drop_endpoint(path)
    for full_refresh in ([], [entity]):
        earlier = len(world.outcomes())
        with world.watch() as calls:
            outcome = world.sync("items", "accounts", entity, full_refresh=full_refresh)

        assert outcome.exit_code == 3
        assert calls.statuses(path) == [404]
        said = {r["entity"]: r for r in world.outcomes()[earlier:]}
        assert {name: r["status"] for name, r in said.items()} == {
            "items": "complete", "accounts": "complete", entity: "refused",
        }  # fmt: skip
        error = said[entity]["error"]
        assert error.startswith(f"{entity} of division {world.division}: Exact Online answered 404")
        assert f"{path} is not there" in error
        assert said[entity]["notes"] == (
            "rows that were loaded stay; leave it out with --entities if it is gone for good"
        )
        assert world.table(entity) == held
        assert "new" in {row["name"] for row in world.table("accounts")}
