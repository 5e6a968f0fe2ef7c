"""``exact-source entities``, and ``entities refresh`` against the sandbox's ``$metadata``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import deletes_of, plan_feeds
from exact_source.catalogue.overlay import VARIABLE
from tests.support.cli_fixtures import Cli

START_DATES = {
    "journals": "filter",
    "projects": "dropped",
    "accounts": "dropped",
    "sales_invoice_lines": "none",
    "expenses": "none",
    "divisions": "none",
}
SOME = "--entities=accounts,journals"


def test_every_entity_is_listed_without_a_call(cli: Cli) -> None:
    result = cli("entities", "--json")

    assert result.code == 0
    rows = {row["name"]: row for row in result.json["entities"]}
    assert set(rows) == set(load_catalogue().entities)
    accounts = rows["accounts"]
    assert (accounts["feed"], accounts["path"], accounts["cursor"]) == (
        "sync",
        "sync/CRM/Accounts",
        "Timestamp",
    )
    assert (accounts["key"], accounts["rows_per_call"]) == (["ID"], 1000)
    assert accounts["deletes"] == "tombstones"
    assert rows["sales_invoice_lines"]["deletes"] == "full pass"
    assert rows["journals"]["deletes"] == "keys"
    assert (rows["divisions"]["deletes"], rows["deleted"]["deletes"]) == ("full pass", "never")
    assert {name: rows[name]["start_date"] for name in START_DATES} == START_DATES
    assert rows["account_items"]["needs"] == "each accounts.id"
    assert rows["revenue_list_by_year"]["needs"] == "parameters.years"
    assert rows["sales_item_price"]["needs"].startswith("not read: ")
    assert rows["accounts"]["needs"] is None
    assert cli.world.box.requests == []


def test_the_core_set_can_be_listed_alone(cli: Cli) -> None:
    lines = cli("entities", "--core").out.splitlines()

    assert lines[0].split()[:2] == ["name", "feed"]
    assert [line.split()[0] for line in lines[1:]] == list(load_catalogue().core)


def test_an_entity_shows_every_column_with_its_type_and_every_feed_with_its_rules(cli: Cli) -> None:
    result = cli("entities", "sales_invoice_lines", "--json")

    entity = load_catalogue().entities["sales_invoice_lines"]
    assert [c["field"] for c in result.json["columns"]] == list(entity.columns)
    types = {c["column"]: c["type"] for c in result.json["columns"]}
    assert (types["id"], types["amount_dc"]) == ("text (guid)", "decimal(38, 9)")
    assert types["division"] == "integer"
    feeds = {f["kind"]: f for f in result.json["feeds"]}
    assert set(feeds) == set(entity.feeds)
    assert feeds["bulk"]["must_select"] is True
    assert "InvoiceID" in feeds["bulk"]["must_filter_on_one_of"]
    text = cli("entities", "sales_invoice_lines").out
    assert "bulk/SalesInvoice/SalesInvoiceLines" in text
    assert "must filter on one of" in text


def test_a_misspelt_entity_gets_the_nearest_names(cli: Cli) -> None:
    result = cli("entities", "acounts")

    assert (result.code, result.out) == (2, "")
    assert "did you mean accounts?" in result.err  # and not costunits


def test_what_is_not_read_has_a_reason(cli: Cli) -> None:
    rows = cli("entities", "--unread", "--json").json["unread"]

    catalogue = load_catalogue()
    assert all(row["why"] for row in rows)
    assert {r["path"] for r in rows if r["entity"] is None} == set(catalogue.unread)
    named = {r["entity"] for r in rows} - {None}
    assert len(named) == 11
    assert {"user_has_rights", "sync_timestamp", "sales_item_price"} <= named
    assert "path" in cli("entities", "--unread").out.splitlines()[0]


@pytest.mark.parametrize("name", load_catalogue().core)
def test_deletes_are_what_the_feed_allows(name: str) -> None:
    entity = load_catalogue().entities[name]
    column = plan_feeds(entity).column

    assert (deletes_of(entity, column) == "tombstones") <= (entity.deleted_code is not None)
    is_read_whole = column is None or entity.division_from is not None
    assert (deletes_of(entity, column) == "full pass") == is_read_whole


# -- refresh -----------------------------------------------------------------------------------


def test_a_company_as_shipped_agrees_with_one_call_a_service(cli: Cli) -> None:
    with cli.world.watch() as calls:
        result = cli("entities", "refresh", SOME, "--json")

    assert result.code == 0
    assert (result.json["changes"], result.json["new_endpoints"]) == ([], {})
    assert result.json["services"] == ["bulk/CRM", "crm", "financial", "sync/CRM"]
    paths = [r.path for r in calls.all if "$metadata" in r.path]
    assert sorted(paths) == [f"{s}/$metadata" for s in result.json["services"]]
    assert {r.status for r in calls.all} == {200}
    assert result.json["calls"] == 4
    assert "agree" in cli("entities", "refresh", SOME).out


def test_every_service_of_the_catalogue_agrees(cli: Cli) -> None:
    cli.world.box.state.limits.minute_limit = 1000

    result = cli("entities", "refresh", "--entities=all", "--json")

    assert result.json["changes"] == []
    assert result.json["new_endpoints"] == {}
    assert result.json["refused"] == {}


def test_new_and_withdrawn_columns_are_reported(cli: Cli) -> None:
    catalogue = cli.world.box.state.catalogue
    catalogue.add_column("sync/CRM/Accounts", "LoyaltyPoints", "i")
    catalogue.drop_column("crm/Accounts", "Fax")

    result = cli("entities", "refresh", SOME, "--json")

    assert result.json["changes"] == [
        {
            "entity": "accounts",
            "feed": "regular",
            "path": "crm/Accounts",
            "endpoint_gone": False,
            "new_columns": {},
            "new_columns_of_unknown_type": {},
            "new_columns_left_out": {},
            "gone_columns": ["Fax"],
        },
        {
            "entity": "accounts",
            "feed": "sync",
            "path": "sync/CRM/Accounts",
            "endpoint_gone": False,
            "new_columns": {"LoyaltyPoints": "i"},
            "new_columns_of_unknown_type": {},
            "new_columns_left_out": {},
            "gone_columns": [],
        },
    ]
    text = cli("entities", "refresh", SOME).out
    assert "+ LoyaltyPoints" in text
    assert "- Fax" in text


def test_a_column_that_would_share_another_s_name_is_left_out_and_reported(cli: Cli) -> None:
    cli.world.box.state.catalogue.add_column("sync/CRM/Accounts", "vatLiability", "s")
    cli.world.box.state.catalogue.add_column("sync/CRM/Accounts", "LoyaltyPoints", "i")
    file = cli.world.folder / "overlay.json"

    result = cli("entities", "refresh", SOME, "--write", str(file))

    assert result.code == 0
    assert "vatLiability is left out" in result.out.replace("\n", " ")
    assert json.loads(file.read_text())["columns"]["accounts"]["sync"]["add"] == {
        "LoyaltyPoints": "i"
    }


def test_an_overlay_that_is_written_is_used_by_the_next_sync(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = cli.world
    world.box.state.catalogue.add_column("sync/CRM/Accounts", "LoyaltyPoints", "i")
    world.box.state.catalogue.drop_column("sync/CRM/Accounts", "Fax")
    file = world.folder / "overlay.json"
    result = cli("entities", "refresh", SOME, "--write", str(file))
    assert result.code == 0
    assert VARIABLE in result.out
    monkeypatch.setenv(VARIABLE, str(file))
    load_catalogue.cache_clear()

    key = world.keys("crm/Accounts")[0]
    world.box.update("crm/Accounts", world.division, key, {"LoyaltyPoints": 7})
    outcome = world.sync("accounts", divisions=[world.division])

    assert (outcome.exit_code, outcome.error) == (0, None)
    row = next(r for r in world.table("accounts") if r["id"] == key)
    assert row["loyalty_points"] == 7
    assert "fax" not in row
    assert cli("entities", "accounts", "--json").json["columns"][-1]["field"] == "LoyaltyPoints"


def test_a_second_refresh_is_made_against_what_is_shipped(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = cli.world
    world.box.state.catalogue.add_column("sync/CRM/Accounts", "LoyaltyPoints", "i")
    file = world.folder / "overlay.json"
    cli("entities", "refresh", SOME, "--write", str(file))
    first = json.loads(file.read_text())
    monkeypatch.setenv(VARIABLE, str(file))
    load_catalogue.cache_clear()

    cli("entities", "refresh", SOME, "--write", str(file))

    second = json.loads(file.read_text())
    assert second["columns"] == first["columns"]
    assert list(world.folder.glob("*.new")) == []


def test_a_service_that_is_refused_does_not_stop_the_others(cli: Cli) -> None:
    cli.world.box.fault(403, path="crm/$metadata")

    result = cli("entities", "refresh", SOME, "--json")

    assert result.code == 0
    assert list(result.json["refused"]) == ["crm"]
    assert result.json["services"] == ["bulk/CRM", "financial", "sync/CRM"]


def test_a_company_that_refuses_all_is_a_failure(cli: Cli) -> None:
    cli.world.box.fault(403, path="*$metadata", times=99)

    assert cli("entities", "refresh", SOME).code == 1


def test_a_folder_that_does_not_exist_costs_no_call(cli: Cli, tmp_path: Path) -> None:
    result = cli("entities", "refresh", "--write", str(tmp_path / "nowhere" / "overlay.json"))

    assert (result.code, cli.world.box.requests) == (2, [])
    assert "--write" in result.err


def test_a_company_that_cannot_be_seen_is_not_asked_for_metadata(cli: Cli) -> None:
    with cli.world.watch() as calls:
        result = cli("entities", "refresh", SOME, "--division=999")

    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert [r.path for r in calls.all if "$metadata" in r.path] == []


@pytest.mark.parametrize("option", ["--write=overlay.json", "--division=123456"])
def test_an_option_of_refresh_without_refresh_is_refused(cli: Cli, option: str) -> None:
    result = cli("entities", "accounts", option)

    assert (result.code, result.out) == (2, "")
    assert option.partition("=")[0] in result.err


def test_an_overlay_that_is_none_is_refused_by_name(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "overlay.json"
    for text in (None, "{", "{}", '{"version": 1, "columns": {"accounts": {"sync": {"add": 3}}}}'):
        if text is not None:
            file.write_text(text)
        monkeypatch.setenv(VARIABLE, str(file))
        load_catalogue.cache_clear()

        result = cli("entities", "--core")

        assert (result.code, result.out) == (2, "")
        assert "catalogue_overlay" in result.err
