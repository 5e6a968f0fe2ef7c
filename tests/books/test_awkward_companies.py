"""The awkward companies keep proper books, and what Exact derives from a ledger is derived from theirs."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from exact_source.sandbox import Sandbox
from exact_source.sandbox.data.company.awkward import COMPANIES
from tests.support.world import make_box

LINES = "financialtransaction/TransactionLines"
BUDGET, REJECTED, UNKNOWN = 3000, 5, 30
CARRIED = range(327, 329)  # close the balance and open it again


@pytest.fixture(scope="module")
def box() -> Sandbox:
    return make_box(companies="awkward")


@pytest.fixture(params=COMPANIES)
def division(request: pytest.FixtureRequest, box: Sandbox) -> int:
    return box.divisions[COMPANIES.index(request.param)]


def money(amount: float) -> Decimal:
    return Decimal(str(amount))


def booked(box: Sandbox, division: int) -> list[dict[str, Any]]:
    rows = box.rows(LINES, division)
    return [r for r in rows if r["Status"] in {20, 50} and r["Type"] != BUDGET]


def test_every_entry_balances_in_a_period_of_its_company(box: Sandbox, division: int) -> None:
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    periods = {
        (row["FinYear"], row["FinPeriod"])
        for row in box.rows("financial/FinancialPeriods", division)
    }
    for row in box.rows(LINES, division):
        assert (row["FinancialYear"], row["FinancialPeriod"]) in periods
        if row["Type"] != BUDGET:
            totals[row["EntryID"]] += money(row["AmountDC"])
    assert set(totals.values()) == {Decimal(0)}


def test_periods_follow_each_other_day_by_day(box: Sandbox, division: int) -> None:
    rows = box.rows("financial/FinancialPeriods", division)
    dates = sorted((row["StartDate"], row["EndDate"]) for row in rows)
    assert all((b[0] - a[1]).days == 1 for a, b in pairwise(dates))


def test_open_items_are_the_balance_of_their_accounts(box: Sandbox, division: int) -> None:
    for path, code, sign in (
        ("cashflow/Receivables", "1300", 1),
        ("cashflow/Payments", "1600", -1),
    ):
        balance = sum(
            (
                money(row["AmountDC"])
                for row in booked(box, division)
                if row["GLAccountCode"] == code and row["Type"] not in CARRIED
            ),
            Decimal(0),
        )
        rows = [row for row in box.rows(path, division) if row["Status"] == 20]
        assert sum((money(row["AmountDC"]) for row in rows), Decimal(0)) == sign * balance


def test_reporting_balance_adds_up_what_is_booked(box: Sandbox, division: int) -> None:
    wanted: defaultdict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for row in box.rows(LINES, division):
        if row["Status"] in {20, 50}:
            key = ("FinancialYear", "FinancialPeriod", "GLAccountCode", "CostCenter", "CostUnit")
            wanted[*(row[k] for k in key), row["Type"], row["Status"]] += money(row["AmountDC"])
    found = {
        (
            row["ReportingYear"], row["ReportingPeriod"], row["GLAccountCode"],
            row["CostCenterCode"], row["CostUnitCode"], row["Type"], row["Status"],
        ): money(row["Amount"])
        for row in box.rows("financial/ReportingBalance", division)
    }  # fmt: skip
    assert found == dict(wanted)


def test_what_names_a_ledger_account_names_one_that_exists() -> None:
    for companies in ("awkward", 2):
        box = make_box(companies=companies)
        for division in box.divisions:
            codes = {r["ID"]: r["Code"] for r in box.rows("financial/GLAccounts", division)}
            for path in ("budget/Budgets", "financial/GLAccountClassificationMappings"):
                for row in box.rows(path, division):
                    if row["GLAccount"] and row["GLAccountCode"]:
                        assert codes[row["GLAccount"]] == row["GLAccountCode"]


def test_codes_are_padded_and_links_that_are_missing_are_null_or_zeros(box: Sandbox) -> None:
    rows = box.rows(LINES, box.divisions[COMPANIES.index("matching")])
    assert {len(row["AccountCode"]) for row in rows if row["AccountCode"]} == {18}
    assert {len(row["VATCode"]) for row in rows if row["VATCode"]} == {3}
    assert {row["OffsetID"] for row in rows} >= {None, "00000000-0000-0000-0000-000000000000"}
    assert {row["LineNumber"] for row in rows} >= {0, 1, 9999}
    statuses = {r["Status"] for r in box.rows(LINES, box.divisions[COMPANIES.index("drafts")])}
    assert statuses == {REJECTED, 20, UNKNOWN, 50}


def test_the_list_of_companies_knows_them_by_name_and_currency(box: Sandbox) -> None:
    rows = {row["Code"]: row for row in box.rows("system/Divisions", box.divisions[0])}
    assert [rows[d]["Currency"] for d in box.divisions].count("USD") == 1
    assert rows[box.divisions[2]]["Description"] == "Gebroken Boekjaar B.V."


def test_foreign_invoices_and_revaluations_follow_the_list_of_rates(box: Sandbox) -> None:
    """An invoice is booked at the rate of its day; at the year's end each open item is worth the last one."""
    division = box.divisions[COMPANIES.index("currency")]
    rates = sorted(
        box.rows("financial/ExchangeRates", division), key=lambda row: str(row["StartDate"])
    )
    worth: defaultdict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 2)
    invoices = 0
    for row in box.rows(LINES, division):
        if row["Currency"] == "EUR" or row["GLAccountCode"] not in {"1300", "1600"}:
            continue
        known = [r["Rate"] for r in rates if r["SourceCurrency"] == row["Currency"]
                 and r["StartDate"] <= row["Date"]]  # fmt: skip
        if row["Type"] in {20, 30}:
            invoices += 1
            assert money(row["AmountDC"]) == money(row["AmountFC"]) * money(known[-1])
        if row["FinancialYear"] == 2025:
            sums = worth[row["Currency"], row["AccountName"]]
            sums[0] += money(row["AmountDC"])
            sums[1] += money(row["AmountFC"])
    last = {row["SourceCurrency"]: money(row["Rate"]) for row in rates}
    assert invoices == len(worth) == 3
    assert all(dc == fc * last[currency] for (currency, _), (dc, fc) in worth.items())


@pytest.mark.parametrize(("side", "types"), [("sales", {20, 21}), ("purchase", {30, 31})])
def test_entries_of_sales_and_purchases_are_those_of_the_ledger(
    box: Sandbox, division: int, side: str, types: set[int]
) -> None:
    name = side.capitalize()
    owed: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in box.rows(LINES, division):
        if row["Type"] in types:
            is_party = row["GLAccountCode"] in {"1300", "1600"}
            sign = 1 if side == "sales" else -1
            owed[row["EntryID"]] += sign * money(row["AmountDC"]) if is_party else 0
    entries = box.rows(f"{side}entry/{name}Entries", division)
    assert {row["EntryID"]: money(row["AmountDC"]) for row in entries} == owed
    fed = box.rows(f"sync/Financial/{name}Entries", division)
    for entry in entries:
        rows = [row for row in fed if row["EntryID"] == entry["EntryID"]]
        net = sum(money(row["AmountDC"]) for row in rows if row["LineNumber"])
        assert net + money(entry["VATAmountDC"]) == money(entry["AmountDC"])
