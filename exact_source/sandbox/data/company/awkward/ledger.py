"""The ledger of an awkward company, and what Exact derives from it: open items and VAT returns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ...catalogue import Row
from ..books import Books
from ..ledger import MATCHED, OPEN, OPEN_ITEM_COLUMNS
from .calendars import Period
from .tables import Record, cents, day, of

JOURNAL_OF = {20: "70", 21: "70", 30: "60", 31: "60", 40: "20"}
INVOICES = frozenset({10, 20, 21, 30, 31})
SALES, PURCHASES = frozenset({20, 21}), frozenset({30, 31})
VAT_ACCOUNTS = frozenset({"1500", "1510", "1520", "1530"})
RECEIVABLE, PAYABLE, VAT_RETURN, VAT_TO_REMIT = "1300", "1600", 50, "1590"
ADDED_BY_EXACT = 9999
NO_GUID = "00000000-0000-0000-0000-000000000000"
MONTHS_A_QUARTER = 3


class Line(NamedTuple):
    """A line of the ledger: the row in Exact's form, and the open item to which it belongs."""

    row: Row
    settles: str


def add_ledger(
    books: Books,
    name: str,
    currency: str,
    calendar: Sequence[Period],
    known: Mapping[str, Mapping[str, Row]],
) -> list[Line]:
    """Write ``transaction_lines``; ``known`` holds parties, items and dimensions by name or code."""
    entries: dict[str, dict[str, Any]] = {}
    numbers: Counter[str] = Counter()
    keys: dict[str, str] = {}
    lines = []
    for record in of("ledger", name):
        entry = record["entry"]
        numbers[entry] += 1
        place = f"{entry}.{numbers[entry]}"
        keys[place] = books.guid()
        if entry not in entries:
            entries[entry] = _header(books, record, len(entries) + 1, currency, calendar)
        row = entries[entry] | _line(books, record, numbers[entry], currency) | {"ID": keys[place]}
        row |= _links(record, known)
        lines.append(Line(books.add("transaction_lines", row, row["Date"]), record["settles"]))
    for record, line in zip(of("ledger", name), lines, strict=True):
        if record["match"]:  # the line may come later
            line.row["OffsetID"] = keys.get(record["match"], NO_GUID)
    return lines


def add_open_items(books: Books, lines: Sequence[Line]) -> None:
    """Write ``Receivables`` and ``Payments``: open items with status 20, matched ones with 50."""
    for entity, account, sign in (("receivables", RECEIVABLE, 1), ("payments", PAYABLE, -1)):
        items: defaultdict[str, list[Row]] = defaultdict(list)
        for line in lines:
            if line.row["GLAccountCode"] == account and line.settles:
                items[line.settles].append(line.row)
        for rows in items.values():
            _add_item(books, entity, rows, sign)


def add_entries(books: Books, lines: Sequence[Line]) -> None:
    """Write the sales and purchase entries in the form of ``salesentry`` and ``purchaseentry``.

    The line of the debtor or creditor is the header, and the amounts include the VAT of the entry.
    """
    for side, kinds, account in (("sales", SALES, RECEIVABLE), ("purchase", PURCHASES, PAYABLE)):
        entries: defaultdict[str, list[Row]] = defaultdict(list)
        for row, _ in lines:
            if row["Type"] in kinds:
                entries[row["EntryID"]].append(row)
        for rows in entries.values():
            _add_entry(books, side, rows, account)


def add_returns(books: Books, lines: Sequence[Line]) -> None:
    """Write ``read/financial/Returns``: one for each entry of type 50, about the quarter before its date."""
    for row, _ in lines:
        if row["Type"] != VAT_RETURN or row["GLAccountCode"] != VAT_TO_REMIT:
            continue
        year, quarter = _quarter_before(row["Date"])
        found = {
            "DocumentID": books.guid(),
            "Amount": -row["AmountDC"],
            "Currency": "EUR",
            "Frequency": "Q",
            "Year": year,
            "Period": quarter,
            "Subject": f"Btw-aangifte {year} kwartaal {quarter}",
            "Type": 1,
            "Status": 50,
            "Created": row["Created"],
        }
        books.add("returns", found | {"Modified": row["Modified"]}, row["Date"])


def _header(
    books: Books, record: Record, number: int, currency: str, calendar: Sequence[Period]
) -> dict[str, Any]:
    date, more = day(record["date"]), _more(record)
    period = next(p for p in calendar if p.start <= date <= p.end)
    moment = books.moment(date)
    return {
        "EntryID": books.guid(),
        "EntryNumber": number,
        "JournalCode": JOURNAL_OF.get(int(record["type"]), "90"),
        "Date": date,
        "FinancialYear": int(more.get("year", period.year)),
        "FinancialPeriod": int(more.get("period", period.number)),
        "Description": record["entry"],
        "Type": int(record["type"]),
        "Currency": currency,
        "Created": moment,
        "Modified": moment,
    }


def _line(books: Books, record: Record, number: int, currency: str) -> dict[str, Any]:
    """The columns of a single line; the debtor, the creditor and the bank are line 0, VAT is 9999."""
    more, kind = _more(record), int(record["type"])
    amount = cents(record["amount"]) / 100
    row: dict[str, Any] = {
        "LineNumber": number - 1 if kind in JOURNAL_OF else number,
        "Status": int(record["status"]),
        "AmountDC": amount,
        "AmountFC": float(more.get("fc", amount)),
        "Currency": more.get("cur", currency),
        **books.gl_columns(record["gl"]),
    }
    row["ExchangeRate"] = round(amount / row["AmountFC"], 6) if row["AmountFC"] else 0.0
    if kind in JOURNAL_OF and record["gl"] in VAT_ACCOUNTS:
        row["LineNumber"] = ADDED_BY_EXACT - (more.get("vat") in {"IV", "IEU"} and amount < 0)
    if record["due"]:
        row["DueDate"] = day(record["due"])
    if record["invoice"]:
        row["InvoiceNumber"] = int(record["invoice"])
    row |= _vat(more, kind, amount)
    if "qty" in more:
        row["Quantity"] = float(more["qty"])
    for key, column in (("cc", "CostCenter"), ("cu", "CostUnit")):
        if key in more:
            row |= {column: more[key], f"{column}Description": more[key].capitalize()}
    return row


def _vat(more: Mapping[str, str], kind: int, amount: float) -> dict[str, Any]:
    """The VAT columns of a line: the base amount of a tax line, or the tax amount of a taxed line."""
    if "vat" not in more:
        return {}
    code = {"VATCode": more["vat"].ljust(3)}
    if "base" in more:
        side = "P" if kind in PURCHASES else "S"
        return code | {"AmountVATBaseFC": float(more["base"]), "VATType": side}
    return code | {"AmountVATFC": float(more["tax"]), "AmountVATBaseFC": amount}


def _links(record: Record, known: Mapping[str, Mapping[str, Row]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    more = _more(record)
    if record["party"]:
        party = known["parties"][record["party"]]
        found |= {
            "Account": party["ID"],
            "AccountCode": party["Code"],
            "AccountName": party["Name"],
        }
    for key, kind, column in (("product", "items", "Item"), ("project", "projects", "Project")):
        if key in more:
            row = known[kind][more[key]]
            found |= {
                column: row["ID"],
                f"{column}Code": row["Code"],
                f"{column}Description": row["Description"],
            }
    return found


def _add_entry(books: Books, side: str, rows: Sequence[Row], account: str) -> None:
    sign, party = (-1, "Customer") if side == "sales" else (1, "Supplier")
    first = next((row for row in rows if row["GLAccountCode"] == account), rows[0])
    own = [row for row in rows if row["GLAccountCode"] != account and "VATType" not in row]
    header: Row = {
        "EntryNumber": first["EntryNumber"],
        "EntryDate": first["Date"],
        "Journal": first["JournalCode"],
        "ReportingYear": first["FinancialYear"],
        "ReportingPeriod": first["FinancialPeriod"],
        "Rate": first["ExchangeRate"],
        **{name: first[name] for name in ENTRY_COLUMNS if name in first},
    }
    if "Account" in first:
        header |= {party: first["Account"], f"{party}Name": first["AccountName"]}
    for column in ("AmountDC", "AmountFC"):
        total = -sign * sum(row[column] for row in rows if row["GLAccountCode"] == account)
        header[column] = round(total, 2)
        header[f"VAT{column}"] = round(total - sign * sum(row[column] for row in own), 2)
    books.add(f"{side}_entries", header, first["Date"])
    for number, row in enumerate(own, 1):
        line = {name: row[name] for name in ENTRY_LINE_COLUMNS if name in row}
        line |= {"ID": books.guid(), "LineNumber": number}
        line |= {column: sign * row[column] for column in ("AmountDC", "AmountFC")}
        books.add(f"{side}_entry_lines", line, first["Date"])


def _add_item(books: Books, entity: str, rows: Sequence[Row], sign: int) -> None:
    """Payments settle the terms of an invoice in the order in which they are due."""
    left = [round(sign * sum(row[c] for row in rows) * 100) for c in ("AmountDC", "AmountFC")]
    end = max(row["Date"] for row in rows)
    invoices = [r for r in rows if r["Type"] in INVOICES and sign * r["AmountDC"] > 0]
    terms = sorted(invoices or rows[:1], key=_due)
    for row in reversed(terms):
        amounts = [round(sign * row[c] * 100) for c in ("AmountDC", "AmountFC")]
        part = left if row is terms[0] else [min(a, b) for a, b in zip(left, amounts, strict=True)]
        left = [a - b for a, b in zip(left, part, strict=True)]
        rest = [a - b for a, b in zip(amounts, part, strict=True)]
        if any(part):
            _add_part(books, entity, row, part, None)
        if any(rest):
            _add_part(books, entity, row, rest, end)
    for row in rows:
        if not any(row is term for term in terms):
            amounts = [round(sign * row[c] * 100) for c in ("AmountDC", "AmountFC")]
            _add_part(books, entity, row, amounts, end)


def _add_part(
    books: Books, entity: str, line: Row, amounts: Sequence[int], end: datetime | None
) -> None:
    row: Row = {
        "ID": books.guid(),
        "AmountDC": amounts[0] / 100,
        "AmountFC": amounts[1] / 100,
        "TransactionID": line["ID"],
        "TransactionEntryID": line["EntryID"],
        "TransactionType": line["Type"],
        "TransactionStatus": line["Status"],
        "TransactionAmountDC": line["AmountDC"],
        "TransactionAmountFC": line["AmountFC"],
        "TransactionReportingYear": line["FinancialYear"],
        "TransactionReportingPeriod": line["FinancialPeriod"],
        "InvoiceDate": line["Date"],
        "EntryDate": line["Date"],
        "Journal": line["JournalCode"],
        "RateFC": round(amounts[0] / amounts[1], 6) if amounts[1] else 0.0,
        "Status": OPEN if end is None else MATCHED,
        **{name: line[name] for name in OPEN_ITEM_COLUMNS if name in line},
    }
    row["DueDate"] = row["TransactionDueDate"] = _due(line)
    if end is not None:
        row["EndDate"] = end
    if entity == "receivables":
        row["IsFullyPaid"] = end is not None
    books.add(entity, row, line["Date"])


def _due(line: Row) -> datetime:
    due: datetime = line["DueDate"] if "DueDate" in line else line["Date"]
    return due


def _quarter_before(date: datetime) -> tuple[int, int]:
    quarter = (date.month - 1) // MONTHS_A_QUARTER
    return (date.year, quarter) if quarter else (date.year - 1, 4)


def _more(record: Record) -> dict[str, str]:
    return dict(part.split("=") for part in record["more"].split(";") if part)


ENTRY_COLUMNS = (
    "EntryID", "Currency", "Description", "DueDate", "InvoiceNumber", "Status", "Type", "Created",
    "Modified",
)  # fmt: skip
ENTRY_LINE_COLUMNS = (
    "EntryID", "CostCenter", "CostCenterDescription", "CostUnit", "CostUnitDescription",
    "Description", "GLAccount", "GLAccountCode", "Project", "ProjectDescription", "Quantity",
    "VATCode",
)  # fmt: skip
