"""The ten questions of ``docs/queries.md``, asked on both databases and answered from the books."""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from tests.flow.books import KINDS, LINES, ROOT, Books, Rows, books

__all__ = ["books"]
pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "queries.md"
REVENUE, VAT, CUSTOMERS, SUPPLIERS = {110}, {24}, {20}, {22}


@cache
def queries() -> dict[str, str]:
    """Number of the question -> its SQL."""
    found = re.findall(
        r"^## (\d+)\. .*?\n```sql\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return dict(found)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, books: Books) -> str:
    books.destination(request.param)  # skips if there is none
    return str(request.param)


def lines(books: Books, types: set[int]) -> list[dict[str, Any]]:
    """Postings on ledger accounts of some types."""
    found = []
    for division in books.box.divisions:
        chart = {r["ID"]: r for r in books.box.rows("financial/GLAccounts", division)}
        found += [
            row | {"division": division, "amount": Decimal(str(row["AmountDC"]))}
            for row in books.box.rows(LINES, division)
            if chart[row["GLAccount"]]["Type"] in types
        ]
    return found


def total(rows: list[dict[str, Any]]) -> Decimal:
    return sum((row["amount"] for row in rows), Decimal(0))


def open_items(books: Books, types: set[int]) -> dict[tuple[int, int], Decimal]:
    items: defaultdict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for row in lines(books, types):
        items[row["division"], row["InvoiceNumber"]] += row["amount"]
    return {key: amount for key, amount in items.items() if amount}


def test_there_are_ten() -> None:
    assert list(queries()) == [str(n) for n in range(1, 11)]


def ask(books: Books, kind: str, number: int) -> Rows:
    rows = books.sql(kind, queries()[str(number)])
    assert rows
    return rows


def test_1_revenue_by_month(books: Books, kind: str) -> None:
    rows = ask(books, kind, 1)
    assert sum(row[2] for row in rows) == -total(lines(books, REVENUE))
    assert len(rows) > 30
    assert all(month.day == 1 for _, month, _ in rows)


def test_2_result_by_year(books: Books, kind: str) -> None:
    rows = ask(books, kind, 2)
    result = {110, 111, 120, 121, 122}
    assert sum(row[4] for row in rows) == -total(lines(books, result))
    assert {row[2][0] for row in rows} == {"4", "7", "8"}


def test_3_bank_balance(books: Books, kind: str) -> None:
    rows = ask(books, kind, 3)
    latest = {division: balance for division, _, balance in rows}  # they come in order
    assert sum(latest.values()) == total(lines(books, {10, 12}))


def test_4_who_owes_us(books: Books, kind: str) -> None:
    rows = ask(books, kind, 4)
    assert {(row[0], row[2]): row[5] for row in rows} == open_items(books, CUSTOMERS)
    assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)


def test_5_what_we_owe(books: Books, kind: str) -> None:
    rows = ask(books, kind, 5)
    wanted = open_items(books, SUPPLIERS)
    assert sum(row[3] for row in rows) == -sum(wanted.values())
    assert sum(row[2] for row in rows) == len(wanted)


def test_6_best_customers(books: Books, kind: str) -> None:
    rows = ask(books, kind, 6)
    revenue: defaultdict[tuple[int, str], Decimal] = defaultdict(Decimal)
    booked = lines(books, REVENUE)
    year = max(row["FinancialYear"] for row in booked)
    for row in booked:
        if row["FinancialYear"] == year:
            revenue[row["division"], row["Account"]] -= row["amount"]
    assert [row[1] for row in rows] == sorted(revenue.values(), reverse=True)[:10]
    assert 0 < sum(row[2] for row in rows) <= 100


def test_7_best_items(books: Books, kind: str) -> None:
    rows = ask(books, kind, 7)
    assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)
    for *_, quantity, revenue, margin in rows:
        assert quantity > 0
        assert 0 < margin < revenue


def test_8_orders_to_deliver(books: Books, kind: str) -> None:
    rows = ask(books, kind, 8)
    wanted = {
        (division, order["OrderNumber"])
        for division in books.box.divisions
        for order in books.box.rows("salesorder/SalesOrders", division)
        if order["Status"] == 12
    }
    assert {(row[0], row[1]) for row in rows} == wanted
    assert all(row[4] > 0 and row[5] > 0 for row in rows)


def test_9_vat(books: Books, kind: str) -> None:
    rows = ask(books, kind, 9)
    assert sum(row[3] for row in rows) == -total(lines(books, VAT))
    assert {row[2] for row in rows} == {1, 2, 3, 4}


def test_10_how_fresh(books: Books, kind: str) -> None:
    rows = ask(books, kind, 10)
    assert all(row[2] and row[3] == 2 and row[4] >= 1 for row in rows)
    loaded = {(row[0], row[1]): row[5] for row in rows}
    for division in books.box.divisions:
        assert loaded[division, "transaction_lines"] >= len(books.box.rows(LINES, division))
