"""A column that Exact withdraws stops no stream; what else is refused stays refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from exact_source.catalogue import load_catalogue, snake
from exact_source.catalogue.overlay import VARIABLE, VERSION
from tests.support.fixtures import MakeWorld
from tests.support.world import Row, World, feed_path

METADATA = "/$metadata"


@pytest.fixture(autouse=True)
def own_catalogue() -> Iterator[None]:
    """No overlay outlives its test."""
    yield
    load_catalogue.cache_clear()


def statuses(world: World, path: str) -> list[int]:
    return [c.status for c in world.box.requests if c.path == path]


# Of one feed each: sync, bulk with Modified, regular with and without Modified, function.
@pytest.mark.parametrize(
    ("entity", "column"),
    [
        ("contacts", "JobTitleDescription"),
        ("transaction_lines", "YourRef"),
        ("journals", "Currency"),
        ("units", "Description"),
        ("stock_position", "PlanningIn"),
    ],
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
    assert result.notes == (f"left out, as Exact no longer has it: {column}",)
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
    assert result.notes == (f"left out, as Exact no longer has it: {column}",)


@pytest.mark.parametrize("page_size", [4, 60])
@pytest.mark.parametrize(
    ("entity", "column"),
    [("journals", "Currency"), ("units", "Description"), ("transaction_lines", "GLAccountCode")],
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
        ("accounts", "Created", "created_utc"),
        ("accounts", "Code", "code_raw"),
        ("transaction_lines", "GLAccountCode", "gl_account_code_raw"),
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


def test_a_row_whose_key_is_its_division_keeps_a_withdrawn_column(make_world: MakeWorld) -> None:
    world, entity = make_world(companies=1), "manufacturing_settings"
    world.sync(entity)
    (before,) = world.table(entity)
    (column, *_) = (
        c
        for c in load_catalogue().entities[entity].columns.values()
        if before.get(c.name) is not None and c.field != "Division"
    )
    world.box.drop_property(feed_path(entity), column.field)
    outcome = world.sync(entity, full_refresh=[entity])

    assert [r.rows for r in outcome.results] == [1]
    (after,) = world.table(entity)
    assert {**after, "_synced_at": None} == {**before, "_synced_at": None}


@pytest.mark.parametrize("full_refresh", [False, True])
def test_a_column_that_an_overlay_drops_is_kept_in_rows_that_change(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, *, full_refresh: bool
) -> None:
    world, path = make_world(companies=1), "sync/CRM/Accounts"
    options = {"utc_instants": True}
    world.sync("accounts", **options)
    before = {row["id"]: (row["created"], row["created_utc"]) for row in world.table("accounts")}
    assert all(None not in pair for pair in before.values())
    world.box.drop_property(path, "Created")
    use_overlay(world, monkeypatch, {"accounts": {"sync": {"drop": ["Created"]}}})
    key, *_ = world.keys(path)
    world.box.update(path, world.division, key, {"Name": "new"})
    chosen = ["accounts"] if full_refresh else []
    outcome = world.sync("accounts", full_refresh=chosen, **options)

    assert outcome.exit_code == 0
    assert 400 not in statuses(world, path)
    rows = {row["id"]: row for row in world.table("accounts")}
    assert rows[key]["name"] == "new"
    assert {k: (row["created"], row["created_utc"]) for k, row in rows.items()} == before


def test_a_withdrawn_column_that_a_newer_catalogue_no_longer_knows_is_kept(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, path = make_world(companies=1), "sync/CRM/Accounts"
    add_column(world, path, "Mood")
    use_overlay(world, monkeypatch, {"accounts": {"sync": {"add": {"Mood": "s"}}}})
    key, *_ = world.keys(path)
    world.box.update(path, world.division, key, {"Mood": "calm"})
    world.sync("accounts")
    world.box.drop_property(path, "Mood")
    world.sync("accounts", full_refresh=["accounts"])
    use_overlay(world, monkeypatch, {})
    world.box.update(path, world.division, key, {"Name": "new"})
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    (row,) = (row for row in world.table("accounts") if row["id"] == key)
    assert (row["name"], row["mood"]) == ("new", "calm")


def use_overlay(
    world: World, monkeypatch: pytest.MonkeyPatch, columns: dict[str, dict[str, Any]]
) -> None:
    file = world.folder / "overlay.json"
    file.write_text(json.dumps({"version": VERSION, "columns": columns}))
    monkeypatch.setenv(VARIABLE, str(file))
    load_catalogue.cache_clear()


def add_column(world: World, path: str, name: str) -> None:
    world.box.state.catalogue.add_column(path, name, "s")


def test_a_withdrawn_column_that_its_parameter_fills_stays_the_parameter(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=1)
    world.sync("items", "stock_position")
    before = {row["item_id"]: row["in_stock"] for row in world.table("stock_position")}
    world.box.drop_property(feed_path("stock_position"), "ItemId")
    outcome = world.sync("items", "stock_position", full_refresh=["stock_position"])

    assert outcome.exit_code == 0
    assert {row["item_id"]: row["in_stock"] for row in world.table("stock_position")} == before


def test_a_full_refresh_looks_whether_the_column_is_back(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.box.drop_property("financial/Journals", "Currency")
    world.sync("journals")
    world.box.state.catalogue.add_column("financial/Journals", "Currency", "s")

    outcome = world.sync("journals", full_refresh=["journals"])
    assert outcome.results[0].notes == ()
    world.assert_equal("journals")


def test_a_function_that_stopped_on_its_way_goes_on_without_the_column(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=1)
    world.sync("items")
    world.one_round("stock_position", max_pages=3)
    world.box.drop_property(feed_path("stock_position"), "PlanningIn")

    with world.watch() as calls:
        outcome = world.sync("stock_position")
    assert outcome.exit_code == 0
    left = len(world.box.rows("logistics/Items", world.division)) - 3
    assert calls.statuses(feed_path("stock_position")) == [400] + [200] * left


@pytest.mark.parametrize("column", ["ID", "Timestamp"])
def test_without_its_key_or_cursor_an_entity_is_refused(make_world: MakeWorld, column: str) -> None:
    world = make_world(companies=1)
    world.box.drop_property("sync/CRM/Contacts", column)
    outcome = world.sync("contacts")

    assert outcome.results[0].status == "refused"
    assert statuses(world, "sync/CRM/Contacts") == [400]


def test_a_refusal_with_all_columns_there_stays_one(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.box.fault(400, path="sync/CRM/Contacts")
    outcome = world.sync("contacts", "accounts")

    assert {r.entity: r.status for r in outcome.results} == {
        "contacts": "refused", "accounts": "complete",
    }  # fmt: skip
    assert statuses(world, "sync/CRM/Contacts") == [400]
    assert statuses(world, "sync/CRM" + METADATA) == [200]


def test_streams_of_one_service_ask_for_its_metadata_once(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    for path in ("sync/CRM/Contacts", "sync/CRM/Accounts"):
        world.box.drop_property(path, "Email")
    outcome = world.sync("contacts", "accounts")

    assert outcome.exit_code == 0
    assert statuses(world, "sync/CRM" + METADATA) == [200]
    assert all(r.notes for r in outcome.results)
    assert {row["email"] for row in world.table("contacts")} == {None}


def test_metadata_that_is_refused_leaves_the_refusal(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.box.drop_property("sync/CRM/Contacts", "Email")
    world.box.fault(403, path="sync/CRM" + METADATA)
    outcome = world.sync("contacts")

    assert outcome.results[0].status == "refused"
    assert statuses(world, "sync/CRM/Contacts") == [400]


# -- lists that are read once, for all others -------------------------------------------------------

LISTS = [
    ("divisions", "system/Divisions", "Email"),
    ("deleted", "sync/Deleted", "DeletedBy"),
    ("me", "current/Me", "Language"),
]


@pytest.mark.parametrize(("entity", "path", "column"), LISTS)
def test_a_list_is_read_without_a_withdrawn_column(
    make_world: MakeWorld, entity: str, path: str, column: str
) -> None:
    world = make_world(companies=1)
    world.bury(world.division, 2)
    world.sync(entity, "journals")
    name = load_catalogue().entities[entity].columns[column].name
    before = [row[name] for row in world.table(entity)]
    world.bury(world.division, 2)
    world.box.drop_property(path, column)

    with world.watch() as calls:
        outcome = world.sync(entity, "journals")
    assert (outcome.exit_code, outcome.error) == (0, None)
    assert calls.statuses(path).count(400) == 1
    (result,) = [r for r in outcome.results if r.entity == entity]
    assert result.notes == (f"left out, as Exact no longer has it: {column}",)
    added = [None] if entity == "deleted" else []
    assert sorted(map(str, (row[name] for row in world.table(entity)))) == sorted(
        map(str, before + added)
    )
    assert entity == "deleted" or before != [None]

    with world.watch() as calls:
        again = world.sync(entity, "journals")
    assert again.exit_code == 0
    assert set(calls.statuses()) == {200}
    assert not any(METADATA in called for called in calls.paths)
    (result,) = [r for r in again.results if r.entity == entity]
    assert result.notes == (f"left out, as Exact no longer has it: {column}",)


@pytest.mark.parametrize(("entity", "path", "column"), LISTS)
def test_a_full_refresh_of_a_list_looks_whether_the_column_is_back(
    make_world: MakeWorld, entity: str, path: str, column: str
) -> None:
    world = make_world(companies=1)
    world.box.drop_property(path, column)
    world.sync(entity)
    type_code = load_catalogue().entities[entity].columns[column].type_code
    world.box.state.catalogue.add_column(path, column, type_code)

    for options in ({"full_refresh": [entity]}, {}):
        outcome = world.sync(entity, **options)
        assert outcome.exit_code == 0
        assert [r.notes for r in outcome.results] == [()]


def test_lists_that_are_not_loaded_are_read_only_in_what_is_needed_of_them(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=1)
    world.box.drop_property("system/Divisions", "Email")
    world.box.drop_property("sync/Deleted", "DeletedBy")

    with world.watch() as calls:
        assert world.sync("contacts", divisions="all").exit_code == 0
    assert set(calls.statuses()) == {200}
    assert not any(METADATA in called for called in calls.paths)


def test_deletions_arrive_without_a_withdrawn_column_of_their_list(make_world: MakeWorld) -> None:
    world, path = make_world(companies=1), feed_path("contacts")
    world.sync("contacts", "deleted")
    world.box.drop_property("sync/Deleted", "DeletedBy")
    world.box.delete(path, world.division, world.keys(path)[0])

    assert world.sync("contacts", "deleted").exit_code == 0
    world.assert_equal("contacts")


def test_without_its_key_a_list_is_refused(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.box.drop_property("sync/Deleted", "EntityKey")
    outcome = world.sync("contacts", "deleted")

    assert outcome.exit_code != 0
    (result,) = [r for r in outcome.results if r.entity == "deleted"]
    assert result.status == "refused"
    assert statuses(world, "sync/Deleted") == [400]


# -- columns that a URL has no room for ------------------------------------------------------------


def test_what_a_url_has_no_room_for_is_left_out_and_said_in_every_sync(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(companies=1)
    names = [f"A{'very' * 25}LongNameOfAColumn{number:02d}" for number in range(60)]
    for name in names:
        add_column(world, "financial/Journals", name)
    added = {"regular": {"add": dict.fromkeys(names, "s")}}
    use_overlay(world, monkeypatch, {"journals": added})

    def left_out() -> list[str]:
        outcome = world.sync("journals")
        assert outcome.exit_code == 0
        (result,) = outcome.results
        return sorted(result.notes)

    (long,) = left_out()
    said, _, listed = long.partition(": ")
    assert said == "left out, as the URL has no room for it"
    unread = listed.split(", ")
    assert set(unread) < set(names)
    world.box.drop_property("financial/Journals", "Currency")
    for _ in range(2):
        assert left_out() == ["left out, as Exact no longer has it: Currency", long]
    columns = world.table("journals")[0].keys()
    assert {name for name in names if snake(name) not in columns} == set(unread)
    assert statuses(world, "financial/Journals").count(400) == 1
