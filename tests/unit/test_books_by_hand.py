"""Small books whose right figures an accountant can see, with the SQL of the marts, in memory.

The first company closes its year as Exact can (types 322 to 328), pays out of its reserves, sells in
dollars and loses on the rate, and owes a credit note. The second keeps its books in dollars, the third
sells to the same customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from exact_source.report.models import Models, models_folder

Row = tuple[Any, ...]
AS_OF = date(2025, 3, 31)
ACCOUNTS = {  # code -> type, balance type
    "0800": (52, "B"), "1100": (12, "B"), "1300": (20, "B"), "1500": (24, "B"), "1600": (22, "B"),
    "4000": (120, "W"), "8000": (110, "W"), "9000": (120, "W"),
}  # fmt: skip
# Division, day, type of entry, invoice, due date, {ledger account: amount}, rate of the entry's currency.
ENTRIES = [
    (1, "2024-03-01", 20, 1, "2024-03-31", {"1300": "121", "8000": "-100", "1500": "-21"}, 1),
    (1, "2024-03-20", 40, 1, "2024-03-20", {"1100": "121", "1300": "-121"}, 1),
    (1, "2024-05-01", 30, 501, "2024-05-31", {"1600": "-48.4", "4000": "40", "1500": "8.4"}, 1),
    (1, "2024-12-31", 326, 0, None, {"8000": "100", "4000": "-40", "0800": "-60"}, 1),
    (1, "2024-12-31", 327, 0, None, {"1100": "-121", "1600": "48.4", "1500": "12.6", "0800": "60"}, 1),
    (1, "2025-01-01", 328, 0, None, {"1100": "121", "1600": "-48.4", "1500": "-12.6", "0800": "-60"}, 1),
    (1, "2025-01-15", 20, 2, "2025-02-14", {"1300": "100", "8000": "-100"}, "1.1"),
    (1, "2025-02-01", 21, 3, "2025-03-03", {"1300": "-24.2", "8000": "20", "1500": "4.2"}, 1),
    (1, "2025-02-10", 40, 2, "2025-02-10", {"1100": "95", "1300": "-95"}, "1.157894736842"),
    (1, "2025-02-10", 82, 2, None, {"1300": "-5", "9000": "5"}, 0),
    (1, "2025-03-01", 90, 0, None, {"0800": "10", "1100": "-10"}, 1),
    (1, "2025-03-01", 3000, 0, None, {"8000": "-999"}, 1),
    (2, "2025-01-20", 20, 1, "2025-02-19", {"1300": "1000", "8000": "-1000"}, 1),
    (3, "2025-01-20", 20, 1, "2025-02-19", {"1300": "7", "8000": "-7"}, 1),
]  # fmt: skip
TABLES = """
CREATE SCHEMA exact_online;
CREATE TABLE exact_online._exact_syncs (ended_at TIMESTAMPTZ);
CREATE TABLE exact_online.divisions (
    code BIGINT, description VARCHAR, currency VARCHAR, country VARCHAR, vat_number VARCHAR,
    chamber_of_commerce_number VARCHAR, _deleted_at TIMESTAMPTZ);
CREATE TABLE exact_online.gl_accounts (
    division BIGINT, id VARCHAR, code VARCHAR, description VARCHAR, type BIGINT, balance_type VARCHAR,
    balance_side VARCHAR, _deleted_at TIMESTAMPTZ);
CREATE TABLE exact_online.accounts (
    division BIGINT, id VARCHAR, code VARCHAR, name VARCHAR, city VARCHAR, country VARCHAR,
    vat_number VARCHAR, chamber_of_commerce VARCHAR, is_sales BOOLEAN, is_supplier BOOLEAN,
    blocked BOOLEAN, _deleted_at TIMESTAMPTZ);
CREATE TABLE exact_online.transaction_lines (
    division BIGINT, id VARCHAR, entry_id VARCHAR, entry_number BIGINT, line_number BIGINT, type BIGINT,
    status BIGINT, date TIMESTAMP, due_date TIMESTAMP, financial_year BIGINT, financial_period BIGINT,
    journal_code VARCHAR, gl_account VARCHAR, gl_account_code VARCHAR, gl_account_description VARCHAR,
    account VARCHAR, account_code VARCHAR, account_name VARCHAR, item VARCHAR, item_code VARCHAR,
    item_description VARCHAR, quantity DOUBLE, invoice_number BIGINT, your_ref VARCHAR,
    description VARCHAR, offset_id VARCHAR, amount_dc DECIMAL(38, 9), currency VARCHAR,
    amount_fc DECIMAL(38, 9), vat_code VARCHAR, amount_vat_base_fc DECIMAL(38, 9), cost_center VARCHAR,
    cost_unit VARCHAR, project VARCHAR, project_code VARCHAR, _deleted_at TIMESTAMPTZ);
"""


class ByHand:
    """The books, and the models that read them."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._models = Models(
            models_folder(), "duckdb", "exact_online.{}".format,
            variables={"exact_as_of": AS_OF.isoformat()},
            is_loaded=lambda table: f"exact_online.{table} (" in TABLES,
        )  # fmt: skip
        database.execute(TABLES)
        for division, currency in ((1, "EUR"), (2, "USD"), (3, "EUR")):
            self._add(
                "divisions", code=division, description=f"Company {division}", currency=currency
            )
            self._add("accounts", division=division, id="ann", name="Ann", vat_number="NL1")
            for code, (kind, balance_type) in ACCOUNTS.items():
                self._add(
                    "gl_accounts", division=division, id=code, code=code, type=kind,
                    balance_type=balance_type,
                )  # fmt: skip
        for number, entry in enumerate(ENTRIES):
            self._post(number, *entry)

    def _post(
        self, number: int, division: int, day: str, kind: int, invoice: int, due: str | None,
        amounts: dict[str, str], rate: Any,
    ) -> None:  # fmt: skip
        for place, (code, amount) in enumerate(amounts.items()):
            line = 9999 if code == "1500" else place
            self._add(
                "transaction_lines", division=division, id=f"{number}-{place}", entry_id=str(number),
                entry_number=number, line_number=line, type=kind, status=50, date=day, due_date=due,
                financial_year=int(day[:4]), financial_period=int(day[5:7]), gl_account=code,
                gl_account_code=code, account="ann", invoice_number=invoice, amount_dc=amount,
                amount_fc=Decimal(amount) * Decimal(rate),
            )  # fmt: skip

    def _add(self, table: str, **values: Any) -> None:
        marks = ", ".join("?" * len(values))
        self._database.execute(
            f"INSERT INTO exact_online.{table} ({', '.join(values)}) VALUES ({marks})",
            list(values.values()),
        )

    def ask(self, model: str, columns: str, where: str = "true") -> list[Row]:
        sql = f"select {columns} from {{{{ ref('{model}') }}}} where {where} order by all"
        return self._database.execute(self._models.render(sql)).fetchall()


@pytest.fixture(scope="module")
def books() -> Iterator[ByHand]:
    with duckdb.connect() as database:
        yield ByHand(database)


def test_a_year_that_was_closed_by_entries_counts_once(books: ByHand) -> None:
    """Exact booked its result to the reserves, which paid 10 out."""
    found = books.ask(
        "exact_online__balance_sheet", "gl_account_code, balance",
        "division = 1 and financial_year = 2025 and financial_period = 3 and balance <> 0",
    )  # fmt: skip
    assert {code: float(balance) for code, balance in found} == {
        "(result)": -75, "0800": -50, "1100": 206, "1300": -24.2,
        "1500": -8.4, "1600": -48.4,
    }  # fmt: skip
    opened = books.ask(
        "exact_online__trial_balance", "gl_account_code, opening_balance",
        "division = 1 and financial_year = 2025 and financial_period = 1 and opening_balance <> 0",
    )  # fmt: skip
    assert {code: float(balance) for code, balance in opened} == {
        "0800": -60, "1100": 121, "1500": -12.6, "1600": -48.4,
    }  # fmt: skip


def test_result_is_in_the_companys_currency_with_what_was_lost_on_the_rate(books: ByHand) -> None:
    found = books.ask(
        "exact_online__profit_and_loss",
        "financial_year, gl_account_code, amount",
        "division = 1 and amount <> 0",
    )
    assert [(year, code, float(amount)) for year, code, amount in found] == [
        (2024, "4000", -40), (2024, "8000", 100),
        (2025, "8000", -20), (2025, "8000", 100), (2025, "9000", -5),
    ]  # fmt: skip


def test_a_credit_note_is_owed_to_the_customer_and_paid_items_are_not_open(books: ByHand) -> None:
    owed = books.ask(
        "exact_online__open_receivables",
        "invoice_number, open_amount, days_overdue",
        "division = 1",
    )
    due = books.ask(
        "exact_online__open_payables", "invoice_number, open_amount, ageing_bucket", "division = 1"
    )
    assert owed == [(3, Decimal("-24.2"), 28)]
    assert due == [(501, Decimal("48.4"), "over 90")]


def test_a_customer_of_several_companies_is_added_up_within_a_currency(books: ByHand) -> None:
    found = books.ask(
        "exact_online__revenue_by_customer_month_consolidated",
        "currency, month, revenue, divisions",
    )
    assert [(c, m.isoformat(), float(revenue), n) for c, m, revenue, n in found] == [
        ("EUR", "2024-03-01", 100, 1), ("EUR", "2025-01-01", 107, 2), ("EUR", "2025-02-01", -20, 1),
        ("USD", "2025-01-01", 1000, 1),
    ]  # fmt: skip
    owed = books.ask(
        "exact_online__open_receivables_consolidated",
        "currency, open_amount, not_due, overdue_31_60",
    )
    assert [(currency, *map(float, amounts)) for currency, *amounts in owed] == [
        ("EUR", -17.2, 0, 7),
        ("USD", 1000, 0, 1000),
    ]
