from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from exact_source.sandbox import Sandbox
from exact_source.sandbox.data.company.company import ENTITIES
from tests.support.sandbox_kit import Caller, new_box

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def box() -> Sandbox:
    return new_box(invoices=120)


@pytest.fixture(scope="module")
def division(box: Sandbox) -> int:
    return box.divisions[1]


def cents(rows: Iterable[dict[str, Any]], column: str = "AmountDC") -> int:
    return sum(round(row[column] * 100) for row in rows)


def grouped(rows: Rows, column: str) -> dict[Any, Rows]:
    groups = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def test_debit_equals_credit_in_every_entry(box: Sandbox, division: int) -> None:
    entries = grouped(box.rows("financialtransaction/TransactionLines", division), "EntryID")
    assert len(entries) > 200
    assert {cents(lines) for lines in entries.values()} == {0}
    assert {line["Type"] for lines in entries.values() for line in lines} == {20, 21, 30, 40, 90}


def test_invoices_equal_their_lines_and_their_entries(box: Sandbox, division: int) -> None:
    lines = grouped(box.rows("salesinvoice/SalesInvoiceLines", division), "InvoiceID")
    ledger = grouped(box.rows("financialtransaction/TransactionLines", division), "InvoiceNumber")
    invoices = box.rows("salesinvoice/SalesInvoices", division)
    assert len(invoices) == 120
    for invoice in invoices:
        own = lines[invoice["InvoiceID"]]
        assert cents(own) == round(invoice["AmountFCExclVat"] * 100)
        assert cents(own) + cents(own, "VATAmountDC") == round(invoice["AmountDC"] * 100)
        receivable = [
            line
            for line in ledger[invoice["InvoiceNumber"]]
            if line["GLAccountCode"] == "1300" and line["JournalCode"] == "70"
        ]
        assert cents(receivable) == round(invoice["AmountDC"] * 100)


@pytest.mark.parametrize(
    ("path", "account", "sign"),
    [("cashflow/Receivables", "1300", 1), ("cashflow/Payments", "1600", -1)],
)
def test_open_items_are_the_balance_of_the_ledger(
    box: Sandbox, division: int, path: str, account: str, sign: int
) -> None:
    balance = cents(
        line
        for line in box.rows("financialtransaction/TransactionLines", division)
        if line["GLAccountCode"] == account
    )
    unpaid = [row for row in box.rows(path, division) if row["Status"] == 20]
    assert cents(unpaid) == sign * balance != 0


def test_lists_of_open_items_agree(box: Sandbox, division: int) -> None:
    unpaid = cents(row for row in box.rows("cashflow/Receivables", division) if row["Status"] == 20)
    assert cents(box.rows("read/financial/ReceivablesList", division), "Amount") == unpaid
    aged = box.rows("read/financial/AgingReceivablesList", division)
    assert cents(aged, "TotalAmount") == unpaid
    overview = box.rows("read/financial/AgingOverview", division)
    assert cents(overview, "AmountReceivable") == unpaid
    (total,) = box.rows("read/financial/OutstandingInvoicesOverview", division)
    assert round(total["OutstandingReceivableInvoiceAmount"] * 100) == unpaid


def test_reports_come_from_the_ledger(box: Sandbox, division: int) -> None:
    lines = box.rows("financialtransaction/TransactionLines", division)
    balance = box.rows("financial/ReportingBalance", division)
    assert cents(balance, "AmountDebit") == cents(line for line in lines if line["AmountDC"] > 0)
    assert cents(balance, "Amount") == 0
    year = [line for line in lines if line["FinancialYear"] == 2026]
    revenue = -cents(line for line in year if line["GLAccountCode"].startswith("8"))
    (overview,) = box.rows("read/financial/ProfitLossOverview", division)
    assert round(overview["RevenueCurrentYear"] * 100) == revenue
    assert cents(box.rows("read/financial/RevenueList", division), "Amount") == revenue


def test_parameters_choose_rows(box: Sandbox, division: int) -> None:
    caller = Caller(box)
    caller.division = division
    everything = box.rows("read/financial/ReceivablesList", division)
    account = everything[0]["AccountId"]
    own = caller.get("read/financial/ReceivablesListByAccount", {"accountId": f"guid'{account}'"})
    assert {row["HID"] for row in own.json()["d"]} == {
        str(row["HID"]) for row in everything if row["AccountId"] == account
    }
    aged = [
        row["HID"]
        for group in range(1, 5)
        for row in caller.get(
            "read/financial/ReceivablesListByAgeGroup", {"ageGroup": str(group)}
        ).json()["d"]
    ]
    assert sorted(aged) == sorted(str(row["HID"]) for row in everything)
    item = box.rows("sync/Inventory/StockPositions", division)[0]["ItemId"]
    (stock,) = caller.get("read/logistics/StockPosition", {"itemId": f"guid'{item}'"}).json()["d"]
    known = next(row for row in box.rows("logistics/Items", division) if row["ID"] == item)
    assert stock["InStock"] == known["Stock"]


def test_references_lead_somewhere(box: Sandbox, division: int) -> None:
    def keys(path: str, column: str = "ID") -> set[str]:
        return {row[column] for row in box.rows(path, division)}

    def used(path: str, column: str) -> set[str]:
        return {row[column] for row in box.rows(path, division) if row[column] is not None}

    assert used("crm/Contacts", "Account") == keys("crm/Accounts")
    assert used("crm/Addresses", "Account") == keys("crm/Accounts")
    assert used("crm/Accounts", "MainContact") <= keys("crm/Contacts")
    assert used("logistics/Items", "ItemGroup") <= keys("logistics/ItemGroups")
    assert used("salesinvoice/SalesInvoiceLines", "Item") <= keys("logistics/Items")
    assert used("salesinvoice/SalesInvoiceLines", "SalesOrderLine") <= keys(
        "salesorder/SalesOrderLines"
    )
    assert used("salesinvoice/SalesInvoiceLines", "InvoiceID") == keys(
        "salesinvoice/SalesInvoices", "InvoiceID"
    )
    assert used("purchaseorder/PurchaseOrderLines", "PurchaseOrderID") == keys(
        "purchaseorder/PurchaseOrders", "PurchaseOrderID"
    )
    assert used("financialtransaction/TransactionLines", "GLAccount") <= keys(
        "financial/GLAccounts"
    )
    assert used("financialtransaction/TransactionLines", "Account") <= keys("crm/Accounts")
    assert used("financialtransaction/TransactionLines", "JournalCode") <= keys(
        "financial/Journals", "Code"
    )
    assert used("project/Projects", "Account") <= keys("crm/Accounts")
    assert used("inventory/ItemWarehouses", "Warehouse") == keys("inventory/Warehouses")


def test_rows_fit_the_catalogue(box: Sandbox, division: int) -> None:
    python_types = {
        "g": str,
        "s": str,
        "i": int,
        "h": int,
        "y": int,
        "l": int,
        "b": bool,
        "m": float,
        "f": float,
    }
    for name in sorted(ENTITIES):
        columns = box.state.catalogue.entities[name].columns
        for row in box.state.store.table(division, name).rows.values():
            for column, value in row.items():
                assert column in {*columns, "Created", "Modified", "Timestamp"}, (name, column)
                expected = python_types.get(columns.get(column, ""))
                assert expected is None or type(value) is expected, (name, column, value)


def test_nothing_lies_in_the_future_and_versions_follow_modified(
    box: Sandbox, division: int
) -> None:
    rows = box.rows("sync/CRM/Accounts", division)
    now = box.state.store.clock.now()
    assert max(row["Modified"] for row in rows).timestamp() < now + 7200
    by_version = sorted(rows, key=lambda row: row["Timestamp"])
    assert [r["Modified"] for r in by_version] == sorted(r["Modified"] for r in rows)
    assert all(row["Created"] <= row["Modified"] for row in rows)


def test_every_endpoint_has_rows_with_each_column_filled_in_somewhere(
    box: Sandbox, division: int
) -> None:
    for endpoint in box.state.catalogue:
        rows = box.rows(endpoint.path, division)
        if endpoint.entity in {"deleted", "sync_timestamp", "webhook_subscriptions"}:
            continue
        assert rows, endpoint.path
        if endpoint.key and endpoint.entity != "me":
            keys = Counter(tuple(row[column] for column in endpoint.key) for row in rows)
            assert max(keys.values()) == 1, endpoint.path


def test_ten_thousand_invoices_start_in_seconds() -> None:
    began = time.monotonic()
    big = new_box(invoices=10_000, companies=1)
    assert len(big.state.store.table(big.divisions[0], "transaction_lines").rows) > 50_000
    assert time.monotonic() - began < 30


def test_no_invoices_at_all() -> None:
    box = new_box(invoices=0)
    assert box.rows("salesinvoice/SalesInvoices", box.divisions[0]) == []
    assert box.rows("crm/Accounts", box.divisions[0])
