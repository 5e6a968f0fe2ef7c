"""Purchase orders, purchase invoices and their journal entries, and the opening balance."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..catalogue import Row
from . import chart
from .books import Books
from .documents import (
    Line,
    amounts,
    due,
    line_columns,
    new_line,
    payment_columns,
    payment_days,
    totals,
)
from .ledger import Amount, Entry, add_open_item, header_columns, post
from .relations import suppliers

FIRST_INVOICE, FIRST_ORDER = 60_200_001, 50_200_001
INVOICES_EACH, ORDERS_EACH = 3, 4  # one for this many sales invoices
RECEIVED_AFTER_DAYS = 10
CAPITAL_CENTS = 7_500_000
RECEIVED, OPEN = 30, 10


def add_opening_balance(books: Books) -> None:
    """The capital with which the company began."""
    entry = Entry(chart.GENERAL_JOURNAL, 90, books.opened, "Openingsbalans")
    post(books, entry, [Amount(chart.BANK, CAPITAL_CENTS), Amount(chart.CAPITAL, -CAPITAL_CENTS)])


def add_purchases(books: Books) -> None:
    """The purchases of two years: orders for goods, invoices for goods and for costs."""
    sellers = suppliers(books)
    goods = [item for item in books.tables["items"] if item["IsPurchaseItem"]]
    orders = books.invoices // ORDERS_EACH + 1
    for index in range(orders if goods else 0):
        count = books.random.choice((1, 2, 3))
        chosen = [books.random.choice(goods) for _ in range(count)]
        lines = [new_line(books.random, item, purchase=True) for item in chosen]
        _add_order(books, books.random.choice(sellers), lines, books.day(index, orders))
    invoices = books.invoices // INVOICES_EACH + 1
    for index in range(invoices):
        cents, gl = books.random.randrange(50_000, 1_800_000), books.random.choice(chart.COSTS)
        seller = books.random.choice(sellers)
        _add_invoice(books, FIRST_INVOICE + index, seller, gl, cents, books.day(index, invoices))


def _add_order(books: Books, seller: Row, lines: list[Line], day: datetime) -> None:
    number = FIRST_ORDER + len(books.tables["purchase_orders"])
    received = day < books.before - timedelta(days=RECEIVED_AFTER_DAYS)
    moment, net_tax = books.moment(day), totals(lines)
    written = {"Created": moment, "Modified": moment}
    warehouse = books.tables["warehouses"][0]
    order: Row = {
        "PurchaseOrderID": books.guid(),
        "OrderNumber": number,
        "OrderDate": day,
        "ReceiptDate": day + timedelta(days=RECEIVED_AFTER_DAYS),
        "Description": f"Bestelling {number}",
        "OrderStatus": RECEIVED if received else OPEN,
        "ReceiptStatus": RECEIVED if received else OPEN,
        "InvoiceStatus": OPEN,
        "DropShipment": False,
        "Supplier": seller["ID"],
        "SupplierCode": seller["Code"],
        "SupplierName": seller["Name"],
        "PurchaseOrderLineCount": len(lines),
        "VATAmount": net_tax[1] / 100,
        "ExchangeRate": 1.0,
        "Warehouse": warehouse["ID"],
        "WarehouseCode": warehouse["Code"],
        "WarehouseDescription": warehouse["Description"],
        **amounts(*net_tax),
        **payment_columns(seller),
        **written,
    }
    books.add("purchase_orders", order, day)
    for place, line in enumerate(lines, 1):
        row = {
            "ID": books.guid(),
            "PurchaseOrderID": order["PurchaseOrderID"],
            "ReceiptDate": order["ReceiptDate"],
            "ReceivedQuantity": line.quantity if received else 0.0,
            "InvoicedQuantity": 0.0,
            "QuantityInPurchaseUnits": line.quantity,
            "Unit": line.item["Unit"],
            "UnitDescription": line.item["UnitDescription"],
            "VATAmount": line.tax / 100,
            "VATDescription": line.vat.description,
            **line_columns(line, place),
            **written,
        }
        books.add("purchase_order_lines", row, day)


def _add_invoice(
    books: Books, number: int, seller: Row, gl: str, cents: int, day: datetime
) -> None:
    """Costs and deductible VAT against the payable."""
    vat = chart.PURCHASE_VAT
    tax = round(cents * vat.percent / 100)
    text = f"Inkoopfactuur {number}"
    common = {"InvoiceNumber": number, "YourRef": f"F{books.random.randrange(10**5):05d}"}
    with_vat = {"VATCode": vat.code, "VATPercentage": vat.percent / 100, "AmountVATFC": tax / 100}
    posted = post(
        books,
        Entry(chart.PURCHASE_JOURNAL, 30, day, text, seller, common),
        [
            Amount(chart.PAYABLE, -cents - tax, {"DueDate": due(seller, day)}),
            Amount(gl, cents, with_vat),
            Amount(chart.CLAIM, tax, {"VATCode": vat.code, "VATType": "P"}),
        ],
    )
    header = header_columns(posted) | {
        "Supplier": seller["ID"],
        "SupplierName": seller["Name"],
        "InvoiceNumber": number,
        "DueDate": posted["DueDate"],
        "YourRef": posted["YourRef"],
        "Rate": 1.0,
        "VATAmountDC": tax / 100,
        "VATAmountFC": tax / 100,
        "AmountDC": (cents + tax) / 100,
        "AmountFC": (cents + tax) / 100,
    }
    books.add("purchase_entries", header, day)
    row = {
        "ID": books.guid(),
        "EntryID": posted["EntryID"],
        "LineNumber": 1,
        "Description": text,
        "AmountDC": cents / 100,
        "AmountFC": cents / 100,
        "VATAmountDC": tax / 100,
        "VATAmountFC": tax / 100,
        "VATCode": vat.code,
        "VATPercentage": vat.percent / 100,
        **books.gl_columns(gl),
    }
    books.add("purchase_entry_lines", row, day)
    add_open_item(books, "payments", posted, payment_days(seller))
