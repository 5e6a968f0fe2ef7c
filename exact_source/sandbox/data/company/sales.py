"""Sales orders, sales invoices and their journal entries."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

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
from .relations import customers

FIRST_INVOICE, FIRST_ORDER = 20_200_001, 10_200_001
DELIVERED_WITHIN_DAYS, PROMISED_WITHIN_DAYS = 1, 21
CREDIT_EVERY = 25
ORDERED_SHARE = 0.6
OPEN_ORDER_EVERY = 10
PROJECT_SHARE = 0.15
INVOICE, CREDIT_NOTE = (8020, 20, "Verkoopfactuur"), (8021, 21, "Verkoopcreditnota")


def add_sales(books: Books) -> None:
    """The invoices of two years, the orders behind some of them, and orders that are still open."""
    buyers, items = customers(books), books.tables["items"]
    count = books.invoices
    for index in range(count):
        sign = -1 if index % CREDIT_EVERY == CREDIT_EVERY - 1 else 1
        lines = _lines(books, items, sign)
        day, buyer = books.day(index, count), books.random.choice(buyers)
        order = None
        if sign > 0 and books.random.random() < ORDERED_SHARE:
            order = _add_order(books, buyer, lines, day - timedelta(days=1), delivered=True)
        _add_invoice(books, FIRST_INVOICE + index, buyer, lines, day, order)
    for index in range(count // OPEN_ORDER_EVERY + 1):
        day = books.before.replace(hour=0, minute=0, second=0, microsecond=0)
        day -= timedelta(days=3 + index % 30)
        _add_order(
            books, books.random.choice(buyers), _lines(books, items, 1), day, delivered=False
        )


def _lines(books: Books, items: list[Row], sign: int) -> list[Line]:
    count = books.random.choice((1, 1, 2, 2, 3, 5))
    return [new_line(books.random, books.random.choice(items), sign=sign) for _ in range(count)]


def _parties(buyer: Row, *roles: str) -> dict[str, Any]:
    return {
        column: value
        for role in roles
        for column, value in ((role, buyer["ID"]), (f"{role}Name", buyer["Name"]))
    }


def _add_order(
    books: Books, buyer: Row, lines: list[Line], day: datetime, *, delivered: bool
) -> list[Row]:
    number = FIRST_ORDER + len(books.tables["sales_orders"])
    status = {
        "Status": 21 if delivered else 12,
        "StatusDescription": "Voltooid" if delivered else "Open",
    }
    moment = books.moment(day)
    written = {"Created": moment, "Modified": moment}
    warehouse = books.tables["warehouses"][0]
    order: Row = {
        "OrderID": books.guid(),
        "OrderNumber": number,
        "OrderDate": day,
        "DeliveryDate": day
        + timedelta(days=DELIVERED_WITHIN_DAYS if delivered else PROMISED_WITHIN_DAYS),
        "Description": f"Order {number}",
        "DeliveryStatus": status["Status"],
        "InvoiceStatus": status["Status"],
        "WarehouseID": warehouse["ID"],
        "WarehouseCode": warehouse["Code"],
        "WarehouseDescription": warehouse["Description"],
        **status,
        **_parties(buyer, "OrderedBy", "DeliverTo", "InvoiceTo"),
        **amounts(*totals(lines)),
        **payment_columns(buyer),
        **written,
    }
    books.add("sales_orders", order, day)
    rows = []
    for place, line in enumerate(lines, 1):
        row = {
            "ID": books.guid(),
            "OrderID": order["OrderID"],
            "OrderNumber": number,
            "DeliveryDate": order["DeliveryDate"],
            "DeliveryStatus": status["Status"],
            "InvoiceStatus": status["Status"],
            "QuantityDelivered": line.quantity if delivered else 0.0,
            "QuantityInvoiced": line.quantity if delivered else 0.0,
            "VATAmount": line.tax / 100,
            "UnitCode": line.item["Unit"],
            "UnitDescription": line.item["UnitDescription"],
            **line_columns(line, place),
            **written,
        }
        rows.append(books.add("sales_order_lines", row, day))
    return rows


def _add_invoice(
    books: Books, number: int, buyer: Row, lines: list[Line], day: datetime, order: list[Row] | None
) -> None:
    net, tax = totals(lines)
    kind, entry_type, text = INVOICE if net >= 0 else CREDIT_NOTE
    posted = _post(books, number, buyer, lines, day, entry_type)
    invoice: Row = {
        "InvoiceID": books.guid(),
        "InvoiceNumber": number,
        "InvoiceDate": day,
        "DueDate": due(buyer, day),
        "Description": f"Factuur {number}",
        "Type": kind,
        "TypeDescription": text,
        "Status": 50,
        "StatusDescription": "Verwerkt",
        "Journal": chart.SALES_JOURNAL.code,
        "JournalDescription": chart.SALES_JOURNAL.description,
        "PaymentReference": posted["PaymentReference"],
        "VATAmountDC": tax / 100,
        "VATAmountFC": tax / 100,
        "Discount": 0.0,
        **_parties(buyer, "OrderedBy", "DeliverTo", "InvoiceTo"),
        **amounts(net, tax),
        **payment_columns(buyer),
        "Created": posted["Created"],
        "Modified": posted["Modified"],
    }
    if order:
        invoice |= {"OrderNumber": order[0]["OrderNumber"], "OrderDate": day - timedelta(days=1)}
    if books.random.random() < 1 / 3:
        invoice["YourRef"] = posted["YourRef"] = f"PO {books.random.randrange(1000, 10_000)}"
    books.add("sales_invoices", invoice, day)
    _add_invoice_lines(books, invoice, lines, order or [])
    _add_entry(books, posted, buyer, lines)
    add_open_item(books, "receivables", posted, payment_days(buyer))


def _add_invoice_lines(books: Books, invoice: Row, lines: list[Line], order: list[Row]) -> None:
    projects = books.tables["projects"]
    for place, line in enumerate(lines, 1):
        row = {
            "ID": books.guid(),
            "InvoiceID": invoice["InvoiceID"],
            "VATAmountDC": line.tax / 100,
            "VATAmountFC": line.tax / 100,
            "VATCodeDescription": line.vat.description,
            "UnitCode": line.item["Unit"],
            "UnitDescription": line.item["UnitDescription"],
            "DeliveryDate": invoice["InvoiceDate"],
            **line_columns(line, place),
            "Created": invoice["Created"],
            "Modified": invoice["Created"],
        }
        key, account = books.gl[line.vat.revenue]
        row |= {"GLAccount": key, "GLAccountDescription": account.description}
        if order:
            ordered = order[place - 1]
            row |= {
                "SalesOrder": ordered["OrderID"],
                "SalesOrderNumber": ordered["OrderNumber"],
                "SalesOrderLine": ordered["ID"],
                "SalesOrderLineNumber": place,
            }
        if books.random.random() < PROJECT_SHARE:
            project = books.random.choice(projects)
            row |= {"Project": project["ID"], "ProjectDescription": project["Description"]}
        books.add("sales_invoice_lines", row, invoice["InvoiceDate"])


def _post(
    books: Books, number: int, buyer: Row, lines: list[Line], day: datetime, entry_type: int
) -> Row:
    """Receivable against revenue and VAT."""
    net, tax = totals(lines)
    reference = f"{number:016d}"
    taxes: defaultdict[chart.VATCode, int] = defaultdict(int)
    for line in lines:
        taxes[line.vat] += line.tax
    common = {"InvoiceNumber": number, "PaymentReference": reference}
    entry = Entry(chart.SALES_JOURNAL, entry_type, day, f"Factuur {number}", buyer, common)
    revenue = [
        Amount(
            line.vat.revenue,
            -line.net,
            {
                "Item": line.item["ID"],
                "ItemCode": line.item["Code"],
                "ItemDescription": line.item["Description"],
                "Quantity": line.quantity,
                "VATCode": line.vat.code,
                "VATCodeDescription": line.vat.description,
                "VATPercentage": line.vat.percent / 100,
                "AmountVATFC": -line.tax / 100,
            },
        )
        for line in lines
    ]
    vat = [
        Amount(code.tax, -cents, {"VATCode": code.code, "VATType": "S"})
        for code, cents in taxes.items()
        if cents
    ]
    receivable = Amount(chart.RECEIVABLE, net + tax, {"DueDate": due(buyer, day)})
    return post(books, entry, [receivable, *revenue, *vat])


def _add_entry(books: Books, posted: Row, buyer: Row, lines: list[Line]) -> None:
    """The same entry as ``salesentry`` shows it."""
    net, tax = totals(lines)
    header = header_columns(posted) | {
        "Customer": buyer["ID"],
        "CustomerName": buyer["Name"],
        "InvoiceNumber": posted["InvoiceNumber"],
        "DueDate": posted["DueDate"],
        "PaymentReference": posted["PaymentReference"],
        "Rate": 1.0,
        "VATAmountDC": tax / 100,
        "VATAmountFC": tax / 100,
        "AmountDC": (net + tax) / 100,
        "AmountFC": (net + tax) / 100,
    }
    books.add("sales_entries", header, posted["Date"])
    for place, line in enumerate(lines, 1):
        row = {
            "ID": books.guid(),
            "EntryID": posted["EntryID"],
            "LineNumber": place,
            "Description": line.item["Description"],
            "AmountDC": line.net / 100,
            "AmountFC": line.net / 100,
            "VATAmountDC": line.tax / 100,
            "VATAmountFC": line.tax / 100,
            "VATCode": line.vat.code,
            "VATPercentage": line.vat.percent / 100,
            "Quantity": line.quantity,
            **books.gl_columns(line.vat.revenue),
        }
        books.add("sales_entry_lines", row, posted["Date"])
