"""The ten questions of ``docs/queries.md``, answered from the books, figure by figure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exact_source.sandbox.data.company.awkward import COMPANIES
from tests.support.awkward import KINDS as AWKWARD_KINDS
from tests.support.awkward import awkward_books
from tests.support.books import KINDS, LINES, ON_DUCKDB, ROOT, Books, Rows, loaded_books

pytestmark = ON_DUCKDB
PAGE = ROOT / "docs" / "queries.md"
Line = dict[str, Any]
REVENUE, VAT, CUSTOMERS, SUPPLIERS = {110}, {24}, {20}, {22}


@cache
def queries() -> dict[str, str]:
    """Number of the question -> its SQL."""
    found = re.findall(
        r"^## (\d+)\. .*?\n```sql\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return dict(found)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def lines(books: Books, types: set[int]) -> list[Line]:
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


def total(rows: list[Line]) -> Decimal:
    return sum((row["amount"] for row in rows), Decimal(0))


def open_items(books: Books, types: set[int]) -> dict[tuple[int, int], Decimal]:
    items: defaultdict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for row in lines(books, types):
        items[row["division"], row["InvoiceNumber"]] += row["amount"]
    return {key: amount for key, amount in items.items() if amount}


def test_there_are_ten() -> None:
    assert list(queries()) == [str(n) for n in range(1, 11)]


def sums(rows: list[Line], by: Callable[[Line], Any]) -> dict[Any, Decimal]:
    """Key -> sum, exact; in the order of the keys."""
    found: defaultdict[Any, Decimal] = defaultdict(Decimal)
    for row in rows:
        found[by(row)] += row["amount"]
    return {key: found[key] for key in sorted(found)}


def month_of(row: Line) -> tuple[int, int, int]:
    return row["division"], row["Date"].year, row["Date"].month


def ask(books: Books, kind: str, number: int) -> Rows:
    rows = books.sql(kind, queries()[str(number)])
    assert rows
    return rows


def test_1_revenue_by_month(books: Books, kind: str) -> None:
    found = {(d, int(year), int(month)): revenue for d, year, month, revenue in ask(books, kind, 1)}
    wanted = {key: -total for key, total in sums(lines(books, REVENUE), month_of).items()}
    assert found == wanted
    assert len(wanted) > 30


def test_2_result_by_year(books: Books, kind: str) -> None:
    found = {tuple(row[:3]): row[4] for row in ask(books, kind, 2)}
    booked = lines(books, {110, 111, 120, 121, 122})
    by_account = sums(booked, lambda r: (r["division"], r["FinancialYear"], r["GLAccountCode"]))
    assert found == {key: -amount for key, amount in by_account.items()}
    assert {code[0] for _, _, code in found} == {"4", "7", "8"}


def test_3_bank_balance(books: Books, kind: str) -> None:
    found = {(d, int(year), int(month)): held for d, year, month, held in ask(books, kind, 3)}
    moved = sums(lines(books, {10, 12}), month_of)
    wanted, balance = {}, defaultdict[int, Decimal](Decimal)
    for division in books.box.divisions:
        months = [month_of(r | {"division": division}) for r in books.box.rows(LINES, division)]
        first, last = min(months), max(months)
        for number in range(first[1] * 12 + first[2] - 1, last[1] * 12 + last[2]):
            key = (division, number // 12, number % 12 + 1)
            balance[division] += moved.get(key, Decimal(0))
            wanted[key] = balance[division]
    assert found == wanted
    assert len(wanted) > 30


def test_4_who_owes_us(books: Books, kind: str) -> None:
    rows = ask(books, kind, 4)
    assert {(row[0], row[2]): row[5] for row in rows} == open_items(books, CUSTOMERS)
    assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)
    due = due_dates(books, CUSTOMERS)
    for division, customer, number, until, late, _ in rows:
        assert until == due[division, number]
        assert abs((date.today() - until).days - late) <= 1  # noqa: DTZ011 (the database's day)
        assert customer in names(books)


def test_5_what_we_owe(books: Books, kind: str) -> None:
    due = due_dates(books, SUPPLIERS)
    wanted: dict[tuple[int, date], tuple[int, Decimal]] = {}
    for key, amount in open_items(books, SUPPLIERS).items():
        count, total = wanted.get((key[0], due[key]), (0, Decimal(0)))
        wanted[key[0], due[key]] = (count + 1, total - amount)
    found = {(row[0], row[1]): (row[2], row[3]) for row in ask(books, kind, 5)}
    assert found == wanted


def due_dates(books: Books, types: set[int]) -> dict[tuple[int, int], date]:
    return {
        (row["division"], row["InvoiceNumber"]): row["DueDate"].date()
        for row in lines(books, types)
        if row.get("DueDate")
    }


def names(books: Books) -> dict[str, set[str]]:
    """Name -> accounts: the present name, or for deleted accounts the name in the postings."""
    found: dict[str, set[str]] = {}
    for division in books.box.divisions:
        now = {row["ID"]: row["Name"] for row in books.box.rows("crm/Accounts", division)}
        for row in books.box.rows(LINES, division):
            name = str(now.get(row["Account"], row["AccountName"]))
            found.setdefault(name, set()).add(row["Account"])
    return found


def test_6_best_customers(books: Books, kind: str) -> None:
    rows = ask(books, kind, 6)
    booked = lines(books, REVENUE)
    year = max(row["Date"] for d in books.box.divisions for row in books.box.rows(LINES, d)).year
    mine = [row for row in booked if row["Date"].year == year]
    by_customer = sums(mine, lambda r: (r["division"], r["Account"]))
    revenue = sorted((-amount for amount in by_customer.values()), reverse=True)
    assert [row[1] for row in rows] == revenue[:10]
    whole = sum(revenue)
    for name, amount, percent in rows:
        share = (100 * amount / whole).quantize(Decimal("0.1"), ROUND_HALF_UP)
        assert Decimal(str(percent)) == share
        assert -amount in [by for (_, key), by in by_customer.items() if key in names(books)[name]]


def test_7_best_items(books: Books, kind: str) -> None:
    rows = ask(books, kind, 7)
    items = {
        (division, row["ID"]): row
        for division in books.box.divisions
        for row in books.box.rows("logistics/Items", division)
    }
    booked = [r for r in lines(books, REVENUE) if (r["division"], r.get("Item")) in items]
    revenue = sums(booked, lambda r: (r["division"], r["Item"]))
    best = sorted(((-amount, key) for key, amount in revenue.items()), reverse=True)[:10]
    assert [row[4] for row in rows] == [amount for amount, _ in best]
    for (division, code, _, quantity, amount, margin), (_, key) in zip(rows, best, strict=True):
        item = items[key]
        assert (division, code) == (key[0], item["Code"].strip())
        sold = [r["Quantity"] for r in booked if (r["division"], r["Item"]) == key]
        assert Decimal(str(quantity)) == sum(Decimal(str(n)) for n in sold)
        cost = Decimal(str(quantity)) * Decimal(str(item["CostPriceStandard"]))
        assert margin == (amount - cost).quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_8_orders_to_deliver(books: Books, kind: str) -> None:
    wanted: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for division in books.box.divisions:
        orders = {r["OrderID"]: r for r in books.box.rows("salesorder/SalesOrders", division)}
        for row in books.box.rows("salesorder/SalesOrderLines", division):
            order = orders[row["OrderID"]]
            if order["Status"] in {12, 20} and row["Quantity"] > row["QuantityDelivered"]:
                key = (division, order["OrderNumber"], order["OrderedByName"])
                promised, pieces, value = wanted.get(key, (date.min, Decimal(0), Decimal(0)))
                wanted[key] = (
                    max(promised, row["DeliveryDate"].date()),
                    pieces + Decimal(str(row["Quantity"])) - Decimal(str(row["QuantityDelivered"])),
                    value + Decimal(str(row["AmountDC"])),
                )
    assert {tuple(row[:3]): tuple(row[3:]) for row in ask(books, kind, 8)} == wanted


def test_9_vat(books: Books, kind: str) -> None:
    found = {(d, int(year), int(n)): vat for d, year, n, vat in ask(books, kind, 9)}
    booked = lines(books, VAT)
    wanted = sums(booked, lambda r: (r["division"], r["Date"].year, (r["Date"].month + 2) // 3))
    assert found == {key: -amount for key, amount in wanted.items()}
    assert {quarter for _, _, quarter in found} == {1, 2, 3, 4}


def test_10_how_fresh(books: Books, kind: str) -> None:
    rows = ask(books, kind, 10)
    assert all(row[2] and row[3] == 2 and row[4] >= 1 for row in rows)
    loaded = {(row[0], row[1]): row[5] for row in rows}
    for division in books.box.divisions:
        assert loaded[division, "transaction_lines"] >= len(books.box.rows(LINES, division))
    ((calls,),) = books.sql(kind, "SELECT sum(calls) FROM exact_online._exact_syncs")
    assert sum(row[4] for row in rows) == calls


COPIES = "INSERT INTO exact_online.transaction_lines SELECT * REPLACE ({type} AS type, id || {type} AS id) FROM exact_online.transaction_lines WHERE type < 300"  # noqa: E501


def test_year_ends_budgets_and_old_names_change_no_figure(books: Books, tmp_path: Path) -> None:
    changed = books.copy(tmp_path)
    with duckdb.connect(str(tmp_path / "exact.duckdb")) as database:
        for number in (310, 320, 328, 3000):
            database.execute(COPIES.format(type=number))
        database.execute(
            "UPDATE exact_online.transaction_lines SET account_name = 'Old name' "
            "WHERE line_number > 1 OR type = 40"
        )
    for number in range(1, 10):
        before, after = (
            [[v for v in row if not isinstance(v, str)] for row in ask(b, "duckdb", number)]
            for b in (books, changed)
        )
        assert sorted(map(str, after)) == sorted(map(str, before)), number


SETTLED = "INSERT INTO exact_online.transaction_lines SELECT * REPLACE ({type} AS type, id || {type} AS id, NULL AS vat_code, 500 AS amount_dc) FROM exact_online.transaction_lines AS l WHERE gl_account_code LIKE '15%' LIMIT 1"  # noqa: E501


def test_vat_that_was_paid_is_owed_in_the_quarter_it_is_of_all_the_same(
    books: Books, tmp_path: Path
) -> None:
    """The return clears the accounts of VAT, and the bank pays what it says, in a later quarter."""
    before, changed = ask(books, "duckdb", 9), books.copy(tmp_path)
    with duckdb.connect(str(tmp_path / "exact.duckdb")) as database:
        for number in (40, 50):
            database.execute(SETTLED.format(type=number))
    assert ask(changed, "duckdb", 9) == before


def in_bigquery(sql: str) -> str:
    """The one expression that it spells otherwise."""
    return sql.replace("current_date - due", "date_diff(current_date, due, day)")


# -- the awkward companies -------------------------------------------------------------------------

QUARTERS = {  # of question 9: what an accountant owes, worked out by hand
    ("yearend", 2024, 1): 210, ("yearend", 2024, 2): -84, ("yearend", 2025, 1): 420,
    ("july", 2025, 3): 21, ("july", 2026, 1): 42, ("drafts", 2025, 1): 63,
    ("matching", 2025, 4): 0, ("matching", 2026, 1): -84, ("vat", 2025, 4): -12, ("vat", 2026, 1): -21,
}  # fmt: skip
OWED = {  # of question 4, of one company: customer, invoice, due, amount
    ("Anna", 12, date(2026, 1, 15), 300), ("Dirk", 12, date(2026, 1, 11), 70),
    ("Cees", 13, date(2026, 1, 31), 200), ("Dirk", None, date(2026, 3, 1), -50),
}  # fmt: skip
TO_PAY = {("matching", date(2026, 2, 15)): 484, ("currency", date(2025, 12, 31)): 93}
HELD = {  # of question 3: in a month without a posting, and after a year end
    ("shortyear", 2025, 11): 1000, ("shortyear", 2026, 2): 1000, ("yearend", 2025, 1): 6000,
    ("july", 2026, 2): 91,
}  # fmt: skip
RESULTS = {  # of question 2
    ("yearend", 2024, "8000"): 1000, ("yearend", 2024, "4100"): -400, ("yearend", 2025, "8000"): 2000,
    ("july", 2026, "8000"): 300, ("fourweeks", 2025, "8020"): 150, ("drafts", 2025, "8000"): 300,
    ("currency", 2025, "4900"): 22, ("currency", 2026, "4900"): 22,
}  # fmt: skip
# Of question 6: revenue of 2026, whatever the financial years of the companies are.
BEST = [500, 450, 300, 300, 200, 200, 150, 140, 100, 80]


@pytest.fixture(scope="module", params=AWKWARD_KINDS)
def awkward(request: pytest.FixtureRequest) -> Callable[[int], list[tuple[Any, ...]]]:
    """Answers of the awkward companies, by name, to the question of a number."""
    kind = str(request.param)
    books = awkward_books(kind)
    books.destination(kind)  # skips if there is none
    names = dict(zip(books.box.divisions, COMPANIES, strict=True))

    def answers(number: int) -> list[tuple[Any, ...]]:
        sql = queries()[str(number)]
        rows = books.sql(kind, in_bigquery(sql) if kind == "bigquery" else sql)
        return [(names.get(row[0], row[0]), *row[1:]) for row in rows]

    return answers


def test_they_are_right_about_awkward_companies(
    awkward: Callable[[int], list[tuple[Any, ...]]],
) -> None:
    assert {(d, int(y), int(q)): vat for d, y, q, vat in awkward(9)} == QUARTERS
    found = {(*row[1:4], row[5]) for row in awkward(4) if row[0] == "matching"}
    assert found == OWED
    assert TO_PAY.items() <= {(row[0], row[1]): row[3] for row in awkward(5)}.items()
    assert HELD.items() <= {(d, int(y), int(m)): held for d, y, m, held in awkward(3)}.items()
    results = {(row[0], row[1], row[2]): row[4] for row in awkward(2)}
    assert RESULTS.items() <= results.items()
    assert ("yearend", 2024, "9900") not in results
    assert [row[1] for row in awkward(6)] == BEST


# Not in the tier of the awkward companies: the emulator has one dataset of this name, and both load into it.
@pytest.mark.proofs
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("bigquery")
def test_they_run_on_bigquery() -> None:
    books = loaded_books("bigquery")
    for number, sql in queries().items():
        assert books.sql("bigquery", in_bigquery(sql)), number
