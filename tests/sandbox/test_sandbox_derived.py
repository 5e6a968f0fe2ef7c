from __future__ import annotations

from typing import Any

import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import new_box

INVOICES, LINES = "salesinvoice/SalesInvoices", "salesinvoice/SalesInvoiceLines"
SYNC_INVOICES = "sync/SalesInvoice/SalesInvoices"
ENTRIES, SYNC_ENTRIES = "financialtransaction/TransactionLines", "sync/Financial/TransactionLines"
Row = dict[str, Any]


@pytest.fixture
def box() -> Sandbox:
    return new_box()


@pytest.fixture
def division(box: Sandbox) -> int:
    return box.divisions[0]


def of(rows: list[Row], column: str, value: object) -> list[Row]:
    found = [row for row in rows if row[column] == value]
    return sorted(found, key=lambda row: row["LineNumber"])


def tombstones(box: Sandbox, division: int, code: int) -> set[str]:
    rows = box.rows("sync/Deleted", division)
    return {row["EntityKey"] for row in rows if row["EntityType"] == code}


def test_invoice_shows_as_header_lines_and_an_extra_line(box: Sandbox, division: int) -> None:
    for invoice in box.rows(INVOICES, division):
        rows = of(box.rows(SYNC_INVOICES, division), "InvoiceID", invoice["InvoiceID"])
        lines = of(box.rows(LINES, division), "InvoiceID", invoice["InvoiceID"])
        numbers = [0, *(line["LineNumber"] for line in lines), 9999]
        assert [row["LineNumber"] for row in rows] == numbers
        assert rows[0]["ID"] == invoice["InvoiceID"]
        assert rows[0]["AmountDC"] == invoice["AmountDC"]
        assert [row["ID"] for row in rows[1:-1]] == [line["ID"] for line in lines]
        assert [row["AmountDC"] for row in rows[1:-1]] == [-line["AmountDC"] for line in lines]
        assert rows[-1]["AmountDC"] == -invoice["VATAmountDC"]
        assert {row["InvoiceNumber"] for row in rows} == {invoice["InvoiceNumber"]}


@pytest.mark.parametrize("path", [INVOICES, LINES])
def test_change_of_header_or_line_bumps_the_whole_invoice(
    box: Sandbox, division: int, path: str
) -> None:
    before = {row["ID"]: row for row in box.rows(SYNC_INVOICES, division)}
    target = box.rows(path, division)[0]
    key = target["InvoiceID" if path == INVOICES else "ID"]
    box.clock.advance(1)
    box.update(path, division, key, {"Description": "anders"})
    after = {row["ID"]: row for row in box.rows(SYNC_INVOICES, division)}
    bumped = {key for key, row in after.items() if row != before[key]}
    assert bumped == {k for k, row in after.items() if row["InvoiceID"] == target["InvoiceID"]}
    newest = max(row["Timestamp"] for row in before.values())
    assert all(after[key]["Timestamp"] > newest for key in bumped)


def test_deleted_invoice_is_buried_row_by_row(box: Sandbox, division: int) -> None:
    invoice = box.rows(INVOICES, division)[0]["InvoiceID"]
    rows = of(box.rows(SYNC_INVOICES, division), "InvoiceID", invoice)
    box.delete(INVOICES, division, invoice)
    assert tombstones(box, division, 13) == {row["ID"] for row in rows}
    assert not of(box.rows(SYNC_INVOICES, division), "InvoiceID", invoice)


def test_entries_have_a_header_and_extra_lines_in_sync_only(box: Sandbox, division: int) -> None:
    stored = {row["ID"] for row in box.rows(ENTRIES, division)}
    fed = box.rows(SYNC_ENTRIES, division)
    assert stored <= {row["ID"] for row in fed}
    extra = [row for row in fed if row["ID"] not in stored]
    assert {row["LineNumber"] for row in extra} == {0, 9999}
    entries = {row["EntryID"] for row in box.rows(ENTRIES, division)}
    assert len([row for row in extra if row["LineNumber"] == 0]) == len(entries)


def test_change_of_one_entry_line_bumps_that_line_and_what_follows_from_it(
    box: Sandbox, division: int
) -> None:
    before = {row["ID"]: row["Timestamp"] for row in box.rows(SYNC_ENTRIES, division)}
    line = next(row for row in box.rows(ENTRIES, division) if row["LineNumber"] == 2)
    box.update(ENTRIES, division, line["ID"], {"Notes": "gezien"})
    after = {row["ID"]: row["Timestamp"] for row in box.rows(SYNC_ENTRIES, division)}
    assert {key for key in after if after[key] != before[key]} == {line["ID"]}
    assert after[line["ID"]] > max(before.values())
    box.update(ENTRIES, division, line["ID"], {"AmountDC": 10_000.0})
    final = box.rows(SYNC_ENTRIES, division)
    header = of(final, "EntryID", line["EntryID"])[0]
    assert header["LineNumber"] == 0
    assert header["Timestamp"] > max(after.values())


def test_new_entry_line_and_deleted_one(box: Sandbox, division: int) -> None:
    line = box.rows(ENTRIES, division)[0]
    new = box.insert(
        ENTRIES, division, {"EntryID": line["EntryID"], "LineNumber": 50, "AmountDC": 1.0}
    )
    assert new["ID"] in {row["ID"] for row in box.rows(SYNC_ENTRIES, division)}
    box.delete(ENTRIES, division, new["ID"])
    assert tombstones(box, division, 1) == {new["ID"]}


def test_purchase_orders_mix_headers_and_lines(box: Sandbox, division: int) -> None:
    orders = {r["PurchaseOrderID"] for r in box.rows("purchaseorder/PurchaseOrders", division)}
    lines = {r["ID"] for r in box.rows("purchaseorder/PurchaseOrderLines", division)}
    fed = box.rows("sync/PurchaseOrder/PurchaseOrders", division)
    assert {r["ID"] for r in fed if r["LineNumber"] == 0} == orders
    assert {r["ID"] for r in fed if r["LineNumber"] != 0} == lines
    assert 9999 not in {r["LineNumber"] for r in fed}


@pytest.mark.parametrize("side", ["sales", "purchase"])
def test_entries_mix_headers_and_lines_of_the_ledger(
    box: Sandbox, division: int, side: str
) -> None:
    name = side.capitalize()
    headers, lines = f"{side}entry/{name}Entries", f"{side}entry/{name}EntryLines"
    feed = f"sync/Financial/{name}Entries"
    ledger = box.rows(ENTRIES, division)
    for entry in box.rows(headers, division):
        rows = of(box.rows(feed, division), "EntryID", entry["EntryID"])
        stored = of(box.rows(lines, division), "EntryID", entry["EntryID"])
        assert [row["ID"] for row in rows] == [entry["EntryID"], *(row["ID"] for row in stored)]
        assert [row["LineNumber"] for row in rows] == list(range(len(rows)))
        net = round(sum(row["AmountDC"] for row in rows[1:]), 2)
        assert rows[0]["AmountDC"] == round(net + entry["VATAmountDC"], 2)
        posted = [row for row in of(ledger, "EntryID", entry["EntryID"]) if row["VATType"] is None]
        assert sorted(row["GLAccountCode"] for row in rows[1:]) == sorted(
            row["GLAccountCode"] for row in posted[1:]
        )
        assert {row["FinancialYear"] for row in rows} == {posted[0]["FinancialYear"]}
    assert len(box.rows(feed, division)) == sum(
        len(box.rows(path, division)) for path in (headers, lines)
    )


@pytest.mark.parametrize("side", ["sales", "purchase"])
def test_change_of_an_entry_line_bumps_its_entry_and_deletion_takes_it_out(
    box: Sandbox, division: int, side: str
) -> None:
    name = side.capitalize()
    headers, lines = f"{side}entry/{name}Entries", f"{side}entry/{name}EntryLines"
    feed = f"sync/Financial/{name}Entries"
    before = {row["ID"]: row["Timestamp"] for row in box.rows(feed, division)}
    line = box.rows(lines, division)[0]
    box.update(lines, division, line["ID"], {"Notes": "gezien"})
    after = {row["ID"]: row for row in box.rows(feed, division)}
    bumped = {key for key, row in after.items() if row["Timestamp"] != before[key]}
    assert bumped == {k for k, row in after.items() if row["EntryID"] == line["EntryID"]}
    box.delete(headers, division, line["EntryID"])
    left = {row["ID"] for row in box.rows(feed, division)}
    assert before.keys() - left == bumped


def test_payment_terms_are_receivables_and_payments(box: Sandbox, division: int) -> None:
    both = [*box.rows("cashflow/Receivables", division), *box.rows("cashflow/Payments", division)]
    terms = box.rows("sync/Cashflow/PaymentTerms", division)
    assert {row["ID"] for row in terms} == {row["ID"] for row in both}
    assert {row["LineType"] for row in terms} == {20, 22}
    box.delete("cashflow/Payments", division, both[-1]["ID"])
    assert tombstones(box, division, 10) == {both[-1]["ID"]}


def test_order_headers_are_the_orders(box: Sandbox, division: int) -> None:
    orders = {r["OrderID"]: r["AmountDC"] for r in box.rows("salesorder/SalesOrders", division)}
    headers = {
        r["ID"]: r["AmountDC"] for r in box.rows("sync/SalesOrder/SalesOrderHeaders", division)
    }
    assert headers == orders
    key = next(iter(orders))
    before = {
        r["ID"]: r["Timestamp"] for r in box.rows("sync/SalesOrder/SalesOrderHeaders", division)
    }
    line = next(r for r in box.rows("salesorder/SalesOrderLines", division) if r["OrderID"] == key)
    box.update("salesorder/SalesOrderLines", division, line["ID"], {"Notes": "x"})
    after = {
        r["ID"]: r["Timestamp"] for r in box.rows("sync/SalesOrder/SalesOrderHeaders", division)
    }
    assert after == before
    box.delete("salesorder/SalesOrders", division, key)
    assert tombstones(box, division, 32) == {key}
