"""Order and invoice documents: amounts of lines and totals of documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from ..catalogue import Row
from . import chart
from .relations import NATIONAL_CURRENCY

CENTS = 100


@dataclass(frozen=True)
class Line:
    """A sold or bought item, its quantity, and the amounts in cents."""

    item: Row
    quantity: float
    price: int
    net: int
    vat: chart.VATCode
    tax: int


def new_line(random: Random, item: Row, *, purchase: bool = False, sign: int = 1) -> Line:
    """A line for an item; ``sign`` is -1 on a credit note."""
    price = round(item["CostPriceStandard" if purchase else "StandardSalesPrice"] * CENTS)
    tenths = random.randint(5, 80) if item["IsFractionAllowedItem"] else 10 * random.randint(1, 12)
    net = sign * round(price * tenths / 10)
    vat = chart.PURCHASE_VAT if purchase else _vat_of(item)
    return Line(item, sign * tenths / 10, price, net, vat, round(net * vat.percent / 100))


def totals(lines: list[Line]) -> tuple[int, int]:
    """Net and VAT of a document, in cents."""
    return sum(line.net for line in lines), sum(line.tax for line in lines)


def amounts(net: int, tax: int) -> dict[str, float]:
    """The amount columns that all documents share."""
    return {
        "AmountDC": (net + tax) / CENTS,
        "AmountFC": (net + tax) / CENTS,
        "AmountFCExclVat": net / CENTS,
        "AmountDiscount": 0.0,
    }


def line_columns(line: Line, number: int) -> dict[str, Any]:
    """The columns that order and invoice lines share."""
    return {
        "LineNumber": number,
        "Item": line.item["ID"],
        "ItemCode": line.item["Code"],
        "ItemDescription": line.item["Description"],
        "Description": line.item["Description"],
        "Quantity": line.quantity,
        "UnitPrice": line.price / CENTS,
        "NetPrice": line.price / CENTS,
        "AmountDC": line.net / CENTS,
        "AmountFC": line.net / CENTS,
        "VATCode": line.vat.code,
        "VATPercentage": line.vat.percent / 100,
        "Discount": 0.0,
    }


def payment_days(account: Row) -> int:
    """The payment term of an account, in days."""
    code = account["PaymentConditionSales"]
    return next(days for known, _, days in chart.PAYMENT_CONDITIONS if known == code)


def payment_columns(account: Row) -> dict[str, Any]:
    """The columns with the payment condition of a document."""
    return {
        "Currency": NATIONAL_CURRENCY,
        "PaymentCondition": account["PaymentConditionSales"],
        "PaymentConditionDescription": account["PaymentConditionSalesDescription"],
    }


def due(account: Row, day: datetime) -> datetime:
    """The due date of an invoice of that day."""
    return day + timedelta(days=payment_days(account))


def _vat_of(item: Row) -> chart.VATCode:
    return next(vat for vat in chart.VAT_CODES if vat.code == item["SalesVatCode"])
