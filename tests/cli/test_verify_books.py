"""``exact-source verify --books``: the loaded tables beside Exact's own figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from exact_source.sandbox import SandboxClock
from exact_source.sandbox.data.company.awkward import COMPANIES
from tests.support.cli_fixtures import Cli, Result
from tests.support.tiers import variants

BOOKS = "divisions,gl_accounts,accounts,transaction_lines,sales_invoices,sales_invoice_lines"


def synced(cli: Cli, division: int) -> None:
    result = cli("sync", cli.destination, f"--divisions={division}", f"--entities={BOOKS}")
    assert result.code == 0, result.err


def verify(cli: Cli, division: int) -> Result:
    cli.world.clock.sandbox.advance(120)
    return cli("verify", cli.destination, "--books", f"--division={division}", "--yes", "--json")


def differing(result: Result) -> list[tuple[str, str]]:
    return [(d["compared"], d["entity"]) for d in result.json["differences"]]


def test_books_that_agree_end_with_0(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, invoices=6)
    synced(cli, cli.world.division)
    with cli.world.watch() as calls:
        result = verify(cli, cli.world.division)

    assert result.json["differences"] == []
    assert result.code == result.json["exit_code"] == 0
    assert set(result.json["compared"]) == {
        "rows", "balances", "open items", "entries", "documents",
    }  # fmt: skip
    mine = [c for c in calls.all if c.division is not None]
    assert result.json["calls"] == len(mine) - 1  # the list of companies
    assert {call.status for call in mine} == {200}
    assert {call.method for call in mine} == {"GET"}


def test_a_row_that_changed_since_the_sync_is_reported_as_changed(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, invoices=6)
    world, path = cli.world, "financialtransaction/TransactionLines"
    synced(cli, world.division)
    world.clock.sandbox.advance(7200)
    key = world.keys(path)[0]
    (line,) = [row for row in world.box.rows(path, world.division) if row["ID"] == key]
    world.box.update(path, world.division, key, {"AmountDC": line["AmountDC"] + 100})
    item = world.box.rows("cashflow/Receivables", world.division)[0]
    reopened = {"AmountDC": 7, "Status": 20}
    world.box.update("cashflow/Receivables", world.division, item["ID"], reopened)
    result = verify(cli, world.division)

    (balance,) = [d for d in result.json["differences"] if d["compared"] == "balances"]
    assert Decimal(balance["difference"]) == -100
    assert balance["financial_year"] == line["FinancialYear"]
    assert balance["gl_account_id"] == line["GLAccount"]
    assert balance["cause"] == "changed since the sync"
    (owed,) = [d for d in result.json["differences"] if d["entity"] == "receivables"]
    assert owed["compared"] == "open items"
    assert Decimal(owed["difference"]) == -7
    assert owed["account_id"] == item["Account"]
    assert result.code == 1


def test_a_line_that_is_missing_in_the_table_is_found(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, invoices=6)
    world = cli.world
    synced(cli, world.division)
    world.sql(
        "DELETE FROM exact_online.transaction_lines WHERE id = "
        "(SELECT MAX(id) FROM exact_online.transaction_lines WHERE amount_dc > 0)"
    )
    world.sql(
        "DELETE FROM exact_online.sales_invoice_lines WHERE id = "
        "(SELECT MAX(id) FROM exact_online.sales_invoice_lines WHERE amount_fc > 0)"
    )
    result = verify(cli, world.division)

    found = set(differing(result))
    assert {
        ("rows", "transaction_lines"),
        ("rows", "sales_invoice_lines"),
        ("balances", "transaction_lines"),
        ("entries", "transaction_lines"),
        ("documents", "sales_invoice_lines"),
    } <= found


def test_the_largest_differences_are_shown_first(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, invoices=6)
    division = cli.world.division
    synced(cli, division)
    cli.world.sql("UPDATE exact_online.transaction_lines SET amount_dc = amount_dc + 1000")

    result = cli("verify", cli.destination, "--books", f"--division={division}", "--yes")

    differences = verify(cli, division).json["differences"]
    shown = re.findall(r"(-?[0-9,]+\.[0-9]{2})  [a-z]", result.out)  # before the likely cause
    sizes = [abs(Decimal(number.replace(",", ""))) for number in shown]
    largest = sorted((abs(Decimal(d["difference"])) for d in differences), reverse=True)
    assert result.code == 1
    assert sizes == largest[: len(sizes)]
    assert 1 < len(sizes) < len(largest)


@pytest.mark.nightly
def test_a_month_begins_at_midnight_in_the_netherlands(make_cli: Callable[..., Cli]) -> None:
    clock = SandboxClock(datetime(2026, 3, 31, 22, 10, tzinfo=UTC), frozen=True)
    cli = make_cli(page_size=60, large_page_size=1000, invoices=6, clock=clock)
    world, path = cli.world, "financialtransaction/TransactionLines"
    key = world.keys(path)[0]
    april = {
        "Date": datetime.fromisoformat("2026-04-01"),
        "FinancialYear": 2026,
        "FinancialPeriod": 4,
    }
    world.box.update(path, world.division, key, april)
    synced(cli, world.division)
    world.sql(
        "UPDATE exact_online.transaction_lines SET amount_dc = amount_dc + 100, "
        f"amount_fc = amount_fc + 100 WHERE id = '{key}'"
    )

    found = verify(cli, world.division).json["differences"]

    (balance,) = [d for d in found if d["compared"] == "balances"]
    assert balance["cause"] == "the period is open"


def test_what_was_not_loaded_is_not_compared(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000)
    cli("sync", cli.destination, f"--divisions={cli.world.division}", "--entities=accounts")
    result = verify(cli, cli.world.division)

    assert result.code == 0
    assert set(result.json["compared"]) == {"rows"}
    assert set(result.json["skipped"]) == {"balances", "sales_invoices", "sales_orders"}


def test_a_company_of_which_nothing_can_be_compared_does_not_agree(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(page_size=60, large_page_size=1000)
    cli("sync", cli.destination, "--entities=accounts")
    cli.world.box.deny(cli.world.division, "crm/Accounts")
    result = verify(cli, cli.world.division)

    assert result.code == 1
    assert (result.json["compared"], result.json["differences"]) == ({}, [])


def test_before_the_first_sync_it_says_so(cli: Cli) -> None:
    result = cli("verify", cli.destination, "--books", f"--division={cli.world.division}", "--yes")

    assert result.code == 2
    assert "exact-source sync" in result.err


@pytest.mark.parametrize(
    "company",
    variants(
        ["yearend", "drafts", "currency", "matching", "july"], "yearend", "drafts", "currency"
    ),
)
def test_books_that_are_easy_to_get_wrong(make_cli: Callable[..., Cli], company: str) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, companies="awkward")
    division = cli.world.box.divisions[COMPANIES.index(company)]
    synced(cli, division)
    result = verify(cli, division)

    assert result.json["differences"] == []
    assert set(result.json["skipped"]) == {"sales_orders"}
    assert result.json["compared"].keys() >= {"rows", "balances", "open items", "entries"}
