"""``exact-source plan``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from exact_source.client.limits import Limits
from tests.support.cli_fixtures import Cli, Result
from tests.support.time_zones import in_zone
from tests.support.world import billed

SOME = "--entities=accounts,journals,sales_invoice_lines"
PATHS = {
    "accounts": "crm/Accounts",
    "journals": "financial/Journals",
    "sales_invoice_lines": "salesinvoice/SalesInvoiceLines",
}


def stream(result: Result, entity: str, division: int) -> dict[str, Any]:
    (found,) = (
        s for s in result.json["order"] if (s["entity"], s["division"]) == (entity, division)
    )
    return dict(found)


def test_a_first_load_is_counted_with_one_call_a_stream(cli: Cli) -> None:
    world = cli.world
    with world.watch() as calls:
        result = cli("plan", cli.destination, SOME, "--json")

    assert result.code == 0
    for division in world.box.divisions:
        for entity, path in PATHS.items():
            found = stream(result, entity, division)
            assert found["rows"] == len(world.box.rows(path, division))
            assert found["basis"] == "count"
            assert len(calls.to(path, division)) == 1
    assert [r.status for r in calls.all if r.status != 200] == []
    assert len(calls.all) == 2 * len(PATHS) + 2  # and current/Me, system/Divisions
    assert result.json["spent_calls"] == 2 * len(PATHS) + 1
    assert not (world.folder / "exact.duckdb").exists()


def test_many_counts_are_announced_before_the_first(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = cli("plan", cli.destination, SOME)
    monkeypatch.setattr("exact_source.cli.plan.command.MANY_COUNTS", 2)

    many = cli("plan", cli.destination, SOME, "--pipeline=other")
    none = cli("plan", cli.destination, SOME, "--pipeline=third", "--no-count")

    assert "--no-count" not in few.err + none.err
    (line,) = (line for line in many.err.splitlines() if "--no-count" in line)
    assert f" {2 * len(PATHS)} calls" in line


def test_the_feed_that_will_be_used_says_how_many_calls(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(invoices=120, page_size=60, large_page_size=1000)
    world = cli.world
    result = cli("plan", cli.destination, "--entities=accounts,transaction_lines", "--json")
    regular = cli(
        "plan",
        cli.destination,
        "--entities=accounts,transaction_lines",
        "--route=regular",
        "--json",
    )

    rows = len(world.box.rows("bulk/Financial/TransactionLines", world.division))
    assert rows > 600
    bulk = stream(result, "transaction_lines", world.division)
    assert (bulk["feed"], bulk["page_size"], bulk["calls"]) == ("bulk", 1000, rows // 1000 + 1)
    plain = stream(regular, "transaction_lines", world.division)
    assert (plain["feed"], plain["page_size"], plain["calls"]) == ("regular", 60, rows // 60 + 1)


def test_the_plan_is_what_the_sync_then_takes(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(invoices=70, page_size=60, large_page_size=1000)
    world = cli.world
    names = "accounts,journals,sales_invoices,transaction_lines"
    planned = cli("plan", cli.destination, f"--entities={names}", "--route=regular", "--json").json

    with world.watch() as calls:
        assert world.sync(*names.split(","), route="regular").exit_code == 0

    counted = billed(calls.all)
    assert len(counted) == planned["total"]["calls"]
    assert planned["total"]["minutes"] == 1
    assert planned["total"]["days"] == 1


def test_what_deletions_take_makes_no_rows_uncertain(cli: Cli) -> None:
    """Accounts have tombstones, which are not counted before they are read; journals have none."""
    counted = cli("plan", cli.destination, "--entities=accounts").out
    certain = cli("plan", cli.destination, "--entities=journals").out

    assert re.search(r"^total: \d+ rows, at least \d+ calls", counted, re.MULTILINE)
    assert "at least" not in certain


def test_the_order_is_tombstones_then_the_turns_of_the_entities(cli: Cli) -> None:
    result = cli("plan", cli.destination, "--entities=journals,accounts,me", "--json")

    first, second = cli.world.box.divisions
    assert [(s["division"], s["entity"]) for s in result.json["order"]] == [
        (None, "me"),
        (None, "divisions"),
        (first, "deleted"),
        (first, "journals"),
        (first, "accounts"),
        (second, "deleted"),
        (second, "journals"),
        (second, "accounts"),
    ]


def test_later_syncs_are_estimated_from_history_without_a_count(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(large_page_size=1000)
    world = cli.world
    for _ in range(2):
        world.sync("accounts", "journals", "sales_invoice_lines")

    with world.watch() as calls:
        result = cli("plan", cli.destination, f"{SOME},vat_codes", "--json")

    assert {r.path for r in calls.all} == {"current/Me", "system/Divisions", "vat/VATCodes"}
    accounts = stream(result, "accounts", world.division)
    assert (accounts["basis"], accounts["rows"], accounts["calls"]) == ("history", 0, 1)
    lines = stream(result, "sales_invoice_lines", world.division)
    count = len(world.box.rows("salesinvoice/SalesInvoiceLines", world.division))
    assert (lines["basis"], lines["rows"]) == ("history", count)  # a full pass each time
    assert stream(result, "vat_codes", world.division)["basis"] == "count"


def test_a_first_load_that_was_begun_counts_what_is_left(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(invoices=20)
    world = cli.world
    options = {"divisions": [world.division]}
    world.sync("transaction_lines", limits=Limits(max_calls=5), **options)

    result = cli(
        "plan",
        cli.destination,
        "--entities=transaction_lines",
        f"--divisions={world.division}",
        "--json",
    )

    found = stream(result, "transaction_lines", world.division)
    rows = len(world.box.rows("bulk/Financial/TransactionLines", world.division))
    read = len(world.table("transaction_lines"))
    assert 0 < read < rows
    assert found["rows"] == rows - read
    assert "were read before" in found["note"]


def test_without_counting_only_the_divisions_are_asked(cli: Cli) -> None:
    with cli.world.watch() as calls:
        result = cli("plan", cli.destination, SOME, "--no-count", "--json")

    assert [r.path for r in calls.all] == ["current/Me", "system/Divisions"]
    assert {s["basis"] for s in result.json["order"]} == {"unknown", "one call"}
    assert result.json["total"]["at_least"] is True
    assert "at least" in cli("plan", cli.destination, SOME, "--no-count").out


def test_limits_come_from_the_headers(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(minute_limit=7, daily_limit=20)
    world = cli.world
    world.box.consume(world.other, 15)

    result = cli("plan", cli.destination, SOME, "--json")

    first, second = result.json["divisions"]
    assert (first["minute_limit"], first["day_limit"], first["limits_known"]) == (7, 20, True)
    assert second["left_today"] == 20 - 15 - 3
    assert second["days"] == 2  # four calls, two of them today


def test_a_reserve_and_a_contract_cap_make_it_longer(cli: Cli) -> None:
    capped = cli("plan", cli.destination, SOME, "--contract-cap=3", "--json").json["total"]
    free = cli("plan", cli.destination, SOME, "--json").json["total"]

    # Today's three were spent on counting.
    assert (free["days"], capped["days"]) == (1, 1 + -(-capped["calls"] // 3))
    result = cli("plan", cli.destination, SOME, "--reserve-calls=6000")
    assert result.code == 2
    assert "all of its day is reserved" in result.err


def test_keys_that_no_day_has_calls_for_are_reported(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(companies=1, page_size=1, large_page_size=1)
    world = cli.world
    world.sync("accounts", "journals")
    world.clock.sandbox.advance(86_400)
    world.login()
    asked = ("plan", cli.destination, "--entities=accounts,journals", "--json")

    notes = [
        {s["entity"]: s["note"] for s in cli(*asked, *cap).json["order"]}
        for cap in ([], ["--contract-cap=4"])
    ]

    assert notes[0]["journals"] == ""
    assert notes[1]["journals"].startswith("keys can never be compared: that takes ")
    assert notes[1]["accounts"] == ""  # Exact lists deleted rows


def test_a_refused_count_is_asked_for_a_few_times_an_hour(cli: Cli) -> None:
    world = cli.world
    world.box.deny(world.division, PATHS["journals"])
    for _ in range(8):
        cli("plan", cli.destination, "--entities=journals")
        world.clock.sandbox.advance(240)
    cli("sync", cli.destination, "--entities=journals")

    refused = [c for c in world.box.requests if c.status == 403]
    assert len(refused) == 5


def test_what_syncs_took_of_the_contract_today_counts(cli: Cli) -> None:
    world = cli.world
    world.sync("accounts", "journals")
    spent = len(billed(world.box.requests))
    cap = f"--contract-cap={spent + 1}"
    result = cli("plan", cli.destination, SOME, cap, "--json")

    assert result.code == 3
    assert result.json["spent_calls"] == 1


def test_plans_and_syncs_share_the_cap_of_a_day(cli: Cli) -> None:
    world, cap = cli.world, "--contract-cap=4"
    world.login()
    for command in ("plan", "plan", "sync"):
        assert cli(command, cli.destination, SOME, cap).code == 3
        assert len(billed(world.box.requests)) == 4

    world.clock.sandbox.advance(86_400)
    world.login()
    assert cli("plan", cli.destination, SOME, cap).code == 3
    assert len(billed(world.box.requests)) == 8


def test_when_the_day_is_used_up_it_tells_what_it_knows_and_ends_with_3(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(daily_limit=10)
    world = cli.world
    world.box.consume(world.other, 9)

    result = cli("plan", cli.destination, SOME, "--json")

    assert result.code == 3
    assert str(world.other) in result.json["stopped"]
    bases = [s["basis"] for s in result.json["order"] if s["division"] == world.other]
    assert bases == ["unknown", "count", "unknown", "unknown"]
    first = [s["basis"] for s in result.json["order"] if s["division"] == world.division]
    assert first == ["unknown", "count", "count", "count"]


def test_the_list_is_read_through_an_earlier_company_if_the_current_one_is_blocked(
    cli: Cli,
) -> None:
    world = cli.world
    assert cli("sync", cli.destination, "--entities=accounts").code == 0
    world.box.block_division(world.division)

    result = cli("plan", cli.destination, SOME, "--json")

    assert result.code == 0
    assert {s["division"] for s in result.json["order"]} == {None, world.other}


def test_a_refused_entity_and_a_blocked_company_are_reported_and_not_counted_twice(
    cli: Cli,
) -> None:
    world = cli.world
    world.box.deny(world.division, "financial/Journals")
    world.box.block_division(world.other)

    with world.watch() as calls:
        result = cli("plan", cli.destination, SOME, "--json")

    assert result.code == 0
    found = stream(result, "journals", world.division)
    assert (found["basis"], found["rows"]) == ("refused", None)
    assert "403" in found["note"]
    assert len(calls.to("financial/Journals")) == 1
    assert not [s for s in result.json["order"] if s["division"] == world.other]
    assert result.json["divisions"][1]["status"] == "blocked: backup"


def test_a_start_date_counts_only_what_changed_since(cli: Cli) -> None:
    every = cli("plan", cli.destination, "--entities=journals", "--json")
    late = cli("plan", cli.destination, "--entities=journals", "--start-date=2026-03-10", "--json")

    assert stream(every, "journals", cli.world.division)["rows"] > 0
    assert stream(late, "journals", cli.world.division)["rows"] == 0


def test_people_get_a_table_and_totals(cli: Cli) -> None:
    result = cli("plan", cli.destination, SOME)

    assert result.code == 0
    assert result.out.splitlines()[0].split()[:3] == ["entity", "companies", "rows"]
    assert "total: " in result.out
    assert "this plan made 7 calls" in result.out
    assert "\x1b" not in result.out


def test_its_end_is_in_the_local_zone(cli: Cli) -> None:
    some = (cli.destination, SOME, "--no-count")
    ends_at = cli("plan", *some, "--json").json["total"]["ends_at"]
    with in_zone("Asia/Kolkata"):
        told = cli("plan", *some).out

    at = datetime.fromisoformat(ends_at).astimezone(ZoneInfo("Asia/Kolkata"))
    assert f"ends at {at:%Y-%m-%d %H:%M}" in told


def test_bad_options_are_one_line_and_cost_no_call(cli: Cli) -> None:
    for option in (
        "--divisions=",
        "--entities=nope",
        "--route=fast",
        "--start-date=soon",
        "--start-date=2062-01-01",
    ):
        result = cli("plan", cli.destination, option)
        assert (result.code, result.out) == (2, "")
        assert len(result.err.splitlines()) == 1
    assert cli("plan", "--destination=oracle").code == 2
    assert cli.world.box.requests == []


def test_a_function_takes_a_call_for_each_row_of_its_parent(cli: Cli) -> None:
    world = cli.world
    asked = "stock_position,revenue_list_by_year"
    blind = cli("plan", cli.destination, f"--entities={asked}", "--json")
    found = stream(blind, "stock_position", world.division)
    assert (found["calls"], found["basis"]) == (1, "unknown")
    assert found["note"] == "a call for each of items"
    assert stream(blind, "revenue_list_by_year", world.division)["calls"] == 2

    planned = cli("plan", cli.destination, f"--entities=items,{asked}", "--json")
    world.sync("items")
    later = cli("plan", cli.destination, f"--entities={asked}", "--json")
    for division in world.box.divisions:
        rows = len(world.box.rows("logistics/Items", division))
        for result in (planned, later):
            found = stream(result, "stock_position", division)
            assert (found["calls"], found["basis"]) == (rows, "count")
