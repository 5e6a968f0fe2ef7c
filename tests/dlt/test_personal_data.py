"""Columns that a user leaves out are never requested; hashed ones never reach a table as they are."""

from __future__ import annotations

import hmac
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.descriptions import HASHED
from exact_source.errors import ConfigurationError
from exact_source.odata.guard import Guard
from exact_source.odata.page import EXTRA, PageSchema, parse_page
from exact_source.personal_data import parse_personal_data
from tests.support.cli_fixtures import Cli
from tests.support.world import DATASET, World, feed_path

ROOT = Path(__file__).parents[2]
KEY = "a key of sixteen or more"
ACCOUNTS = feed_path("accounts")


def hashed(text: str, key: str = KEY) -> str:
    return hmac.new(key.encode(), text.encode(), "sha256").hexdigest()


@pytest.fixture
def world(world: World) -> World:
    world.settings = world.settings.__class__(**{**vars(world.settings), "hash_key": KEY})
    return world


def selected(calls: Any, path: str) -> set[str]:
    queries = [c.query for c in calls.to(path)]
    return {name for query in queries for name in query.get("$select", "").split(",")}


def emails(world: World) -> dict[str, str | None]:
    rows = [row for d in world.box.divisions for row in world.box.rows(ACCOUNTS, d)]
    return {str(row["ID"]).lower(): row["Email"] for row in rows}


def everything(world: World) -> str:
    """All values of all tables, as one text."""
    tables = world.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'exact_online'"
    )
    return json.dumps([world.sql(f'SELECT * FROM "{name}"') for (name,) in tables], default=str)


def test_a_column_that_is_left_out_is_never_requested(world: World) -> None:
    with world.watch() as calls:
        world.sync("accounts", "contacts", exclude_columns=["accounts.email", "*.phone"])

    assert {"Email", "Phone"}.isdisjoint(selected(calls, ACCOUNTS))
    assert {"Phone"}.isdisjoint(selected(calls, feed_path("contacts")))
    assert "Email" in selected(calls, feed_path("contacts"))
    names = set(world.table("accounts")[0])
    assert {"email", "phone"}.isdisjoint(names)
    assert not any(
        r.notes for r in world.sync("accounts", exclude_columns="accounts.email,*.phone").results
    )


def test_a_hashed_column_has_the_hash_and_nulls_stay_null(world: World) -> None:
    key = world.keys(ACCOUNTS)[0]
    world.box.update(ACCOUNTS, world.division, key, {"Email": None})
    world.sync("accounts", hash_columns={"accounts": ["email"]})

    wanted = {k: None if v is None else hashed(v) for k, v in emails(world).items()}
    assert {row["id"]: row["email"] for row in world.table("accounts")} == wanted
    assert None in wanted.values()


def test_descriptions_say_what_is_hashed_as_long_as_it_is(world: World) -> None:
    """In dlt's schema and in the comments of the database; ``units`` has no descriptions of its own."""
    columns = {("accounts", "email"), ("units", "description")}

    def marked() -> list[set[tuple[str, str]]]:
        tables = world.pipeline.default_schema.tables
        said = {(t, c): tables[t]["columns"][c].get("description", "") for t, c in columns}
        comments = world.sql(
            "SELECT table_name, column_name, comment FROM duckdb_columns() "
            f"WHERE schema_name = '{DATASET}'"
        )
        stored = {(t, c): text or "" for t, c, text in comments if (t, c) in columns}
        return [{p for p in columns if HASHED in str(texts[p])} for texts in (said, stored)]

    world.sync("accounts", "units")
    assert marked() == [set(), set()]
    world.sync("accounts", "units", hash_columns=["accounts.email", "units.description"])
    assert marked() == [columns, columns]
    world.sync("accounts", "units", hash_columns=["accounts.email"])
    assert marked() == [{("accounts", "email")}] * 2


def test_the_plain_values_are_in_no_table(world: World) -> None:
    """Neither in the history nor among the rows without a key."""
    world.sync("accounts", history="accounts", hash_columns="accounts.email,accounts.name")
    key = world.keys(ACCOUNTS)[0]
    world.box.update(
        ACCOUNTS, world.division, key, {"Name": "Janneke Plain", "Email": "j@plain.nl"}
    )
    world.sync("accounts", history="accounts", hash_columns="accounts.email,accounts.name")

    names = {row["name"] for row in world.table("accounts_history")}
    assert hashed("Janneke Plain") in names
    found = everything(world)
    assert "Janneke Plain" not in found
    assert not [value for value in emails(world).values() if value and value in found]


def test_a_row_without_a_key_is_kept_without_personal_data(world: World) -> None:
    path = "documents/DocumentTypes"
    world.box.insert(path, world.division, {"ID": 2**40, "Description": "Janneke Plain"})
    world.sync("document_types", hash_columns="document_types.description")

    (row,) = world.table("_exact_rejected")
    assert hashed("Janneke Plain") in row["row"]
    assert "Janneke" not in everything(world)


@pytest.mark.nightly
@pytest.mark.parametrize("setting", ["exclude_columns", "hash_columns"])
def test_rows_that_are_stored_are_read_again_when_it_is_set(world: World, setting: str) -> None:
    options: dict[str, Any] = {setting: "accounts.email"}
    world.sync("accounts", "journals")
    with world.watch() as calls:
        world.sync("accounts", "journals", **options)
    again = world.sync("accounts", "journals", **options)

    assert not [value for value in emails(world).values() if value and value in everything(world)]
    assert len(calls.to(feed_path("journals"))) <= 2 * len(world.box.divisions)
    assert sum(r.rows for r in again.results) == 0
    world.sync("accounts")
    assert {row["id"]: row["email"] for row in world.table("accounts")} == emails(world)


def test_another_key_gives_other_hashes_to_all_rows(world: World) -> None:
    world.sync("accounts", hash_columns="accounts.email")
    world.settings = world.settings.__class__(**{**vars(world.settings), "hash_key": KEY * 2})
    world.sync("accounts", hash_columns="accounts.email")

    wanted = {None if v is None else hashed(v, KEY * 2) for v in emails(world).values()}
    assert {row["email"] for row in world.table("accounts")} == wanted


def test_the_preset_covers_people_and_keeps_what_rows_need(world: World) -> None:
    with world.watch() as calls:
        outcome = world.sync("contacts", "accounts", "employees", hash_columns="personal")

    assert outcome.exit_code == 0
    asked = selected(calls, feed_path("contacts"))
    assert {"ID", "Email", "FirstName"} <= asked
    assert {"BirthDate", "BirthPlace"} & asked == {"BirthPlace"} & asked
    rows = [row for d in world.box.divisions for row in world.box.rows(feed_path("contacts"), d)]
    plain = {row[f] for row in rows for f in ("FullName", "LastName", "Email", "Phone", "Mobile")}
    stored = {v for row in world.table("contacts") for v in row.values() if isinstance(v, str)}
    assert plain - {None, ""}
    assert not plain - {None, ""} & stored
    assert world.table("accounts")[0]["name"] in {
        row["Name"] for d in world.box.divisions for row in world.box.rows(ACCOUNTS, d)
    }


def test_the_preset_covers_each_kind_of_personal_data() -> None:
    catalogue = load_catalogue()
    chosen = parse_personal_data("personal", "", catalogue)

    def left_out(name: str) -> set[str]:
        entity = catalogue.entities[name]
        return {entity.columns[f].name for f in chosen.guard(entity).excluded}

    assert {
        "first_name", "last_name", "full_name", "birth_date", "email", "phone", "mobile",
        "address_street", "postcode", "city", "social_security_number", "picture_url",
    } <= left_out("contacts")  # fmt: skip
    assert {"iban", "bank_account", "bank_account_holder_name"} <= left_out("crm_bank_accounts")
    assert {"address_line1", "email", "phone"} <= left_out("accounts")
    assert "name" not in left_out("accounts")
    assert "creator_full_name" in left_out("items")
    assert not left_out("divisions")
    names = parse_personal_data("account_names", "", catalogue)
    entity = catalogue.entities["accounts"]
    assert "name" in {entity.columns[f].name for f in names.guard(entity).excluded}


def test_presets_leave_every_entity_readable() -> None:
    catalogue = load_catalogue()
    chosen = parse_personal_data("personal,account_names", "", catalogue)
    for found in catalogue.entities.values():
        guard = chosen.guard(found)
        assert not guard.excluded & {*found.key, "Division", "Timestamp", "Modified"}
        for feed in found.feeds.values():
            schema = PageSchema(found, feed, guard=guard)
            assert schema.columns.keys().isdisjoint(guard.excluded)


@pytest.mark.parametrize(
    ("exclude", "hash_"),
    [
        ("accounts.id", ""),
        ("", "accounts.id"),
        ("accounts.timestamp", ""),
        ("accounts.division", ""),
        ("*.id", ""),
        ("divisions.code", ""),
        ("deleted.entity_key", ""),
        ("accounts.emial", ""),
        ("acounts.email", ""),
        ("email", ""),
        ("", "contacts.birth_date"),
        ("accounts.email", "accounts.email"),
        (3, ""),
    ],
)
def test_what_cannot_be_done_is_refused(exclude: Any, hash_: Any) -> None:
    with pytest.raises(ConfigurationError):
        parse_personal_data(exclude, hash_, load_catalogue())


def test_a_named_column_counts_more_than_a_preset() -> None:
    entity = load_catalogue().entities["accounts"]
    chosen = parse_personal_data("personal", "accounts.email", load_catalogue()).guard(entity)
    other = parse_personal_data("accounts.email", "personal", load_catalogue()).guard(entity)

    assert "Email" in chosen.hashed - chosen.excluded
    assert "Email" in other.excluded - other.hashed
    assert "Phone" in chosen.excluded & other.hashed


def test_without_a_key_nothing_is_hashed(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli()
    some = (cli.destination, "--entities=accounts", "--hash-columns=accounts.email")
    refused = cli("sync", *some)

    assert refused.code == 2
    assert "hash_key" in refused.err
    assert not cli.world.box.requests or {c.path for c in cli.world.box.requests} == {
        "oauth2/token"
    }


def test_settings_and_options_say_it(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli()
    cli.known.add(KEY)
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__HASH_KEY", KEY)
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__EXCLUDE_COLUMNS", "accounts.phone")
    some = (cli.destination, "--entities=accounts")
    assert cli("sync", *some, "--hash-columns=accounts.email").code == 0

    row = cli.world.table("accounts")[0]
    assert "phone" not in row
    assert {r["email"] for r in cli.world.table("accounts")} == {
        None if v is None else hashed(v) for v in emails(cli.world).values()
    }
    assert KEY not in everything(cli.world)


def test_the_command_and_the_settings_of_the_page(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli()
    page = (ROOT / "docs/personal-data.md").read_text()
    blocks = [tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    shown = {k: v for block in blocks for k, v in block["sources"]["exact_online"].items()}
    cli.known.add(shown["hash_key"])
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__HASH_KEY", shown["hash_key"])
    (command,) = re.findall(r"^exact-source (sync .*)$", page, re.MULTILINE)
    assert cli(*command.split(), cli.destination, "--entities=accounts").code == 0

    row = cli.world.table("accounts")[0]
    assert "phone" not in row
    assert len(row["email"]) == 64
    entities = load_catalogue().entities
    chosen = parse_personal_data(shown["exclude_columns"], shown["hash_columns"], load_catalogue())
    assert chosen.guard(entities["contacts"]).hashed == {"Email"}
    assert "Phone" in chosen.guard(entities["contacts"]).excluded


# -- what Exact sends without being asked ----------------------------------------------------------

GUARD = Guard(frozenset({"Email"}), frozenset({"Name"}), KEY.encode())


def page(row: dict[str, Any], guard: Guard) -> Any:
    entity = load_catalogue().entities["accounts"]
    schema = PageSchema(
        entity,
        entity.feeds["sync"],
        [f for f in ("ID", "Name") if f not in guard.excluded],
        guard=guard,
    )
    first = {"ID": "00000000-0000-0000-0000-000000000001", "Name": "Janneke"}
    body = json.dumps({"d": {"results": [first | row]}}).encode()
    return parse_page(body, schema, division=1, where="accounts").table


@pytest.mark.parametrize(
    "row",
    [
        {"Email": "j@plain.nl"},
        {"EMail": "j@plain.nl"},
        {"Email": ["j@plain.nl"]},
        {"New": "kept", "Email": "j@plain.nl"},
        {"Nested": {"Email": "j@plain.nl"}},
        {"Name": 7, "Other": 1},
        {"Name": {"Given": "j@plain.nl"}},
    ],
)
def test_what_is_sent_unasked_is_not_kept(row: dict[str, Any]) -> None:
    table = page(row, GUARD)

    text = json.dumps(table.to_pylist(), default=str)
    assert "plain.nl" not in text
    assert "Janneke" not in text
    assert ("kept" in text) == ("New" in row)
    assert EXTRA not in table.column_names or "Name" not in str(table.column(EXTRA).to_pylist())


def test_a_repeated_field_is_not_kept() -> None:
    entity = load_catalogue().entities["accounts"]
    schema = PageSchema(entity, entity.feeds["sync"], ["ID", "Name"], guard=GUARD)
    key = "00000000-0000-0000-0000-000000000001"
    body = f'{{"d":{{"results":[{{"ID":"{key}","Name":"Janneke","Name":"Piet"}}]}}}}'.encode()
    table = parse_page(body, schema, division=1, where="accounts").table

    assert table.column("name").to_pylist() == [hashed("Piet")]
    assert "Janneke" not in str(table.to_pylist())


def test_a_new_field_that_a_preset_covers_is_not_kept() -> None:
    catalogue = load_catalogue()
    chosen = parse_personal_data("personal", "", catalogue)
    guard = chosen.guard(catalogue.entities["accounts"])
    table = page({"SecondEmail": "j@plain.nl", "New": "kept"}, guard)

    assert table.column(EXTRA).to_pylist() == ['{"New": "kept"}']
