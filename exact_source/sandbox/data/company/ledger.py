"""Journal entries whose debit equals their credit, and the open items that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ..catalogue import Row
from . import chart
from .books import Books
from .relations import NATIONAL_CURRENCY

OPEN, MATCHED, PROCESSED = 20, 50, 50
PART_EVERY = 4  # one in this many recent payments covers only half of the amount
LATE_DAYS = 25
PAID, PAID_IN_THE_END = 0.8, 0.99  # share of recent and of older due amounts
LONG_AGO_DAYS = 60


class Amount(NamedTuple):
    """A line of an entry: ledger account, cents (debit is positive), and further columns."""

    gl: str
    cents: int
    columns: dict[str, Any] = {}  # noqa: RUF012 - never written to


@dataclass
class Entry:
    """A journal entry during its generation."""

    journal: chart.Journal
    type: int
    day: datetime
    description: str
    account: Row | None = None
    columns: dict[str, Any] = field(default_factory=dict)


def post(books: Books, entry: Entry, amounts: Sequence[Amount]) -> Row:
    """Write an entry into ``TransactionLines``.

    Returns:
        The first line, whose entry number, time and ids the documents refer to.
    """
    if sum(amount.cents for amount in amounts):
        raise AssertionError(f"{entry.description}: debit and credit differ")
    moment = books.moment(entry.day)
    common = _common(books, entry) | {"Created": moment, "Modified": moment}
    rows = []
    for number, amount in enumerate(amounts, 1):
        row = {
            "ID": books.guid(),
            "LineNumber": number,
            "AmountDC": amount.cents / 100,
            "AmountFC": amount.cents / 100,
            **books.gl_columns(amount.gl),
            **common,
            **amount.columns,
        }
        rows.append(books.add("transaction_lines", row, entry.day))
    return rows[0]


def header_columns(line: Row) -> dict[str, Any]:
    """The columns that the header of an entry shares with its lines."""
    return {
        "EntryID": line["EntryID"],
        "EntryNumber": line["EntryNumber"],
        "EntryDate": line["Date"],
        "Journal": line["JournalCode"],
        "JournalDescription": line["JournalDescription"],
        "Currency": NATIONAL_CURRENCY,
        "Description": line["Description"],
        "ReportingYear": line["FinancialYear"],
        "ReportingPeriod": line["FinancialPeriod"],
        "Status": PROCESSED,
        "StatusDescription": "Verwerkt",
        "Type": line["Type"],
        "Created": line["Created"],
        "Modified": line["Modified"],
    }


def add_open_item(books: Books, entity: str, line: Row, days: int) -> None:
    """The receivable or payable of an entry; most are paid by bank later, some only in part.

    Args:
        books: Books to write to.
        entity: ``receivables`` or ``payments``.
        line: The line of the entry on the account of debtors or creditors.
        days: Payment term in days.
    """
    cents = round(line["AmountDC"] * 100)
    paid_on = line["Date"] + timedelta(days=days + books.random.randint(-days, LATE_DAYS))
    lately = paid_on > books.before - timedelta(days=LONG_AGO_DAYS)
    share = PAID if lately else PAID_IN_THE_END
    paid = paid_on < books.before - timedelta(days=2) and books.random.random() < share
    parts = [cents]
    if paid and lately and books.random.randrange(PART_EVERY) == 0:
        parts = [cents // 2, cents - cents // 2]
    for index, part in enumerate(parts):
        is_paid = paid and index == 0
        row = _open_item(books, line, part, is_paid) | {"PaymentDays": days}
        sign = 1 if entity == "receivables" else -1
        row |= {"AmountDC": sign * part / 100, "AmountFC": sign * part / 100}
        if entity == "receivables":
            row["IsFullyPaid"] = is_paid
        if is_paid:
            moment = books.moment(paid_on)
            row |= {"Modified": moment, "EndDate": paid_on}
            if entity == "receivables":
                row["LastPaymentDate"] = paid_on
            _pay(books, line, part, paid_on)
        books.add(entity, row, line["Date"])


def _common(books: Books, entry: Entry) -> dict[str, Any]:
    account: dict[str, Any] = {}
    if entry.account is not None:
        account = {
            "Account": entry.account["ID"],
            "AccountCode": entry.account["Code"],
            "AccountName": entry.account["Name"],
        }
    return {
        "EntryID": books.guid(),
        "EntryNumber": books.next_entry(entry.type),
        "JournalCode": entry.journal.code,
        "JournalDescription": entry.journal.description,
        "Date": entry.day,
        "FinancialYear": entry.day.year,
        "FinancialPeriod": entry.day.month,
        "Description": entry.description,
        "Currency": NATIONAL_CURRENCY,
        "ExchangeRate": 1.0,
        "Status": PROCESSED,
        "Type": entry.type,
        **account,
        **entry.columns,
    }


def _open_item(books: Books, line: Row, cents: int, is_paid: bool) -> Row:
    return {
        "ID": books.guid(),
        "TransactionAmountDC": cents / 100,
        "TransactionAmountFC": cents / 100,
        "TransactionID": line["ID"],
        "TransactionEntryID": line["EntryID"],
        "TransactionType": line["Type"],
        "TransactionReportingYear": line["FinancialYear"],
        "TransactionReportingPeriod": line["FinancialPeriod"],
        "TransactionDueDate": line["DueDate"],
        "InvoiceDate": line["Date"],
        "EntryDate": line["Date"],
        "Journal": line["JournalCode"],
        "RateFC": 1.0,
        "Status": MATCHED if is_paid else OPEN,
        "PaymentMethod": "B",
        **{column: line[column] for column in OPEN_ITEM_COLUMNS if column in line},
    }


def _pay(books: Books, line: Row, cents: int, day: datetime) -> None:
    """The bank entry of a received (positive) or outgoing payment."""
    account = {"ID": line["Account"], "Code": line["AccountCode"], "Name": line["AccountName"]}
    invoice = {"InvoiceNumber": line["InvoiceNumber"]}
    text = f"Betaling {line['InvoiceNumber']}"
    first = post(
        books,
        Entry(chart.BANK_JOURNAL, 40, day, text, account, invoice),
        [
            Amount(chart.BANK, cents),
            Amount(line["GLAccountCode"], -cents, {"OffsetID": line["ID"]}),
        ],
    )
    header = header_columns(first)
    year, period = header.pop("ReportingYear"), header.pop("ReportingPeriod")
    row = {name: header[name] for name in BANK_ENTRY_COLUMNS}
    row |= {"JournalCode": first["JournalCode"], "FinancialYear": year, "FinancialPeriod": period}
    books.add("bank_entries", row, day)
    second = books.tables["transaction_lines"][-1]
    line_row = {name: second[name] for name in BANK_LINE_COLUMNS}
    line_row |= {"AmountDC": cents / 100, "AmountFC": cents / 100, "OurRef": line["InvoiceNumber"]}
    books.add("bank_entry_lines", line_row, day)


OPEN_ITEM_COLUMNS = (
    "Account", "AccountCode", "AccountName", "GLAccount", "GLAccountCode", "GLAccountDescription", "EntryID",
    "EntryNumber", "InvoiceNumber", "DueDate", "Currency", "Description", "JournalDescription", "YourRef",
    "PaymentReference", "OrderNumber", "Created", "Modified",
)  # fmt: skip
BANK_ENTRY_COLUMNS = (
    "EntryID", "EntryNumber", "Currency", "JournalDescription", "Status", "StatusDescription", "Created",
    "Modified",
)  # fmt: skip
BANK_LINE_COLUMNS = (
    "ID", "Account", "AccountCode", "AccountName", "Date", "Description", "EntryID", "EntryNumber",
    "ExchangeRate", "GLAccount", "GLAccountCode", "GLAccountDescription", "LineNumber", "OffsetID", "Created",
    "Modified",
)  # fmt: skip
