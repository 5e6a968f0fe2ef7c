"""Compares the loaded books of one company with Exact Online's own counts and totals.

The rules are those of the dbt model ``exact_online__reconciliation``: which lines count, which entry types
only carry balances into the next year, and which ledger accounts have open items.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..catalogue import Catalogue, Entity, load_catalogue
from ..client.adaptations import Adaptations
from ..client.client import ExactClient
from ..odata.query import format_datetime
from .exact_books import ExactBooks
from .loaded_books import LoadedBooks

# Entry types that only carry balances into the next year, as in the dbt package.
CARRYING_TYPES = frozenset({310, 320, 321, 322, 323, 324, 325, 326, 327, 328, 3000})
DRAFT, PROCESSED = 20, 50
RECEIVABLE, PAYABLE = 20, 22  # types of ledger accounts
BALANCE_YEARS = 2  # only the most recent years, because a page of balances has 60 rows
CENT = Decimal("0.005")
BALANCE_FIELDS = ("GLAccount", "ReportingYear", "ReportingPeriod", "Type", "Status", "Amount")
ITEM_FIELDS = ("ID", "GLAccount", "Account", "AmountDC", "InvoiceDate", "Status")
UNKNOWN = "unknown: report it"
Party = tuple[str, str]  # keys of the ledger account and the account


@dataclass(frozen=True)
class Difference:
    """Two figures that should be equal.

    Attributes:
        compared: What was compared: rows, balances, open items, entries or documents.
        entity: Table from which our figure comes.
        theirs: Exact's figure, or the total in the document header.
        cause: The likely cause.
    """

    compared: str
    entity: str
    division: int
    financial_year: int | None = None
    financial_period: int | None = None
    gl_account_id: str | None = None
    account_id: str | None = None
    ours: Decimal = Decimal(0)
    theirs: Decimal = Decimal(0)
    cause: str = "unknown"

    @property
    def difference(self) -> Decimal:
        """Our figure minus theirs."""
        return self.ours - self.theirs


@dataclass
class Comparison:
    """The comparisons made and their differences.

    Attributes:
        compared: Number of compared figures by kind.
        skipped: Reason why a comparison was skipped, by comparison.
    """

    division: int
    differences: list[Difference] = field(default_factory=list)
    compared: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    skipped: dict[str, str] = field(default_factory=dict)
    calls: int = 0

    def add(self, difference: Difference) -> None:
        """Count a comparison, and keep it if its figures differ."""
        self.compared[difference.compared] += 1
        if abs(difference.difference) >= CENT:
            self.differences.append(difference)

    def skip(self, what: str, why: str) -> None:
        """Note why a comparison was not made."""
        self.skipped[what] = why


async def compare_books(
    client: ExactClient, books: LoadedBooks, tables: Collection[str], adaptations: Adaptations
) -> Comparison:
    """Make all comparisons that the loaded tables allow.

    Args:
        client: The open client.
        books: The loaded tables.
        tables: Names of the entities that were loaded.
        adaptations: Differences of the site from the assumptions, according to ``verify``.

    Raises:
        LimitError: If there are not enough calls left.
        AuthenticationError: If a person must log in again.
    """
    found = Comparison(books.division)
    exact = ExactBooks(client, books.division, adaptations, on_refusal=found.skip)
    changed = await _compare_rows(found, books, exact, tables)
    sums = books.line_sums()
    if sums is None:
        found.skip("balances", "transaction_lines are not loaded")
    else:
        counting = [s for s in sums if not s["is_bad"] and s["type"] not in CARRYING_TYPES]
        await _compare_balances(found, counting, exact, Causes(sums, changed, books.today))
        await _compare_open_items(found, books, exact, counting, changed=changed)
        _compare_entries(found, books)
    _compare_documents(found, books)
    found.calls = exact.calls
    return found


# -- rows ------------------------------------------------------------------------------------------


def counted_entities(catalogue: Catalogue, tables: Collection[str]) -> list[Entity]:
    """The loaded entities whose rows Exact can count for one company."""
    found = (e for name, e in catalogue.entities.items() if name in tables)
    return [
        e
        for e in found
        if e.division_from is None and e.name != "deleted" and "function" not in e.feeds
    ]


async def _compare_rows(
    found: Comparison, books: LoadedBooks, exact: ExactBooks, tables: Collection[str]
) -> bool:
    """Compare row counts; returns whether transaction lines have changed since the sync."""
    catalogue, newest = load_catalogue(), books.newest_ms()
    changed = False
    if newest is not None:
        since = f"Modified gt {format_datetime(newest + 1000)}"
        changed = bool(await exact.count(catalogue.entities["transaction_lines"], since))
    for entity in counted_entities(catalogue, tables):
        ours = books.count(entity.name)
        theirs = await exact.count(entity) if ours is not None else None
        if ours is None or theirs is None:
            continue
        cause = "changed since the sync, or a start_date left rows out"
        if entity.name == "transaction_lines" and not changed:
            cause = "rows are missing or were not deleted: run sync --reconcile and report it"
        found.add(
            Difference(
                "rows",
                entity.name,
                books.division,
                ours=Decimal(ours),
                theirs=Decimal(theirs),
                cause=cause,
            )
        )
    return changed


# -- the ledger ------------------------------------------------------------------------------------

Cell = tuple[int, int, str]


async def _compare_balances(
    found: Comparison, counting: Sequence[Mapping[str, Any]], exact: ExactBooks, causes: Causes
) -> None:
    years = sorted({line["financial_year"] for line in counting})[-BALANCE_YEARS:]
    ours: defaultdict[Cell, Decimal] = defaultdict(Decimal)
    for line in counting:
        if line["financial_year"] in years:
            ours[_cell(line)] += line["amount_dc"]
    theirs: defaultdict[Cell, Decimal] = defaultdict(Decimal)
    for year in years:
        where = f"ReportingYear eq {year}"
        rows = await exact.rows("reporting_balance", "regular", BALANCE_FIELDS, where)
        if rows is None:
            return
        for row in rows:
            if row["type"] not in CARRYING_TYPES and row["status"] in {DRAFT, PROCESSED}:
                cell = row["reporting_year"], row["reporting_period"], _guid(row["gl_account"])
                theirs[cell] += row["amount"] or 0
    for cell in sorted({*ours, *theirs}):
        year, period, gl_account = cell
        found.add(
            Difference(
                "balances",
                "transaction_lines",
                found.division,
                financial_year=year,
                financial_period=period,
                gl_account_id=gl_account,
                ours=ours[cell],
                theirs=theirs[cell],
                cause=causes.of(cell, ours[cell] - theirs[cell]),
            )
        )


def _cell(line: Mapping[str, Any]) -> Cell:
    return line["financial_year"], line["financial_period"], _guid(line["gl_account"])


def _guid(value: Any) -> str:
    return str(value or "").lower()


class Causes:
    """Finds why a balance differs by the lines whose total equals the difference."""

    def __init__(self, sums: Iterable[Mapping[str, Any]], changed: bool, today: date) -> None:
        self._sums: defaultdict[Cell, list[Mapping[str, Any]]] = defaultdict(list)
        for line in sums:
            if None not in {line["financial_year"], line["financial_period"]}:
                self._sums[_cell(line)].append(line)
        self._changed = changed
        self._today = today

    def of(self, cell: Cell, difference: Decimal) -> str:
        """The likely cause of a difference in one cell."""
        lines = self._sums[cell]
        for cause, amount_of in CAUSES.items():
            total = sum((amount_of(line) for line in lines), Decimal(0))
            if abs(total) >= CENT and abs(total - difference) < CENT:
                return cause
        if self._changed:
            return "changed since the sync"
        months = {_month(line["last_day"]) for line in lines}
        return "the period is open" if _month(self._today) in months else UNKNOWN


def _dc(line: Mapping[str, Any]) -> Decimal:
    return Decimal(line["amount_dc"] or 0)


# Cause -> the part of a sum of lines that it adds to our figure but not to Exact's.
CAUSES: Mapping[str, Callable[[Mapping[str, Any]], Decimal]] = {
    "drafts": lambda line: _dc(line) if line["status"] == DRAFT else Decimal(0),
    "entries that are rejected, of an unknown status or incomplete": lambda line: (
        -_dc(line) if line["is_bad"] else Decimal(0)
    ),
    "entries that carry balances over a year's end": lambda line: (
        -_dc(line) if line["type"] in CARRYING_TYPES else Decimal(0)
    ),
    "currency": lambda line: _dc(line) - Decimal(line["amount_fc"] or 0),
}


def _month(day: date | datetime | None) -> tuple[int, int]:
    return (day.year, day.month) if day else (0, 0)


async def _compare_open_items(
    found: Comparison,
    books: LoadedBooks,
    exact: ExactBooks,
    counting: Sequence[Mapping[str, Any]],
    *,
    changed: bool,
) -> None:
    cause = "changed since the sync" if changed else UNKNOWN
    for entity, gl_type, sign in (("receivables", RECEIVABLE, 1), ("payments", PAYABLE, -1)):
        ledgers = books.ledgers(gl_type)
        if ledgers is None:
            found.skip("open items", "gl_accounts are not loaded")
            return
        ours: defaultdict[Party, Decimal] = defaultdict(Decimal)
        for line in counting:
            if _guid(line["gl_account"]) in ledgers and not line["is_later"]:
                ours[_guid(line["gl_account"]), _guid(line["account"])] += sign * _dc(line)
        theirs = await _open_items(exact, entity, books.today)
        if theirs is None:
            continue
        for party in sorted({*ours, *theirs}):
            found.add(
                Difference(
                    "open items",
                    entity,
                    books.division,
                    gl_account_id=party[0],
                    account_id=party[1],
                    ours=ours[party],
                    theirs=theirs.get(party, Decimal(0)),
                    cause=cause,
                )
            )


async def _open_items(exact: ExactBooks, entity: str, today: date) -> dict[Party, Decimal] | None:
    """Exact's open items by ledger account and account; ``None`` if Exact refuses."""
    rows = await exact.rows(entity, "bulk", ITEM_FIELDS, f"Status lt {PROCESSED}")
    if rows is None:
        return None
    found: dict[Party, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row["invoice_date"] is not None and _day(row["invoice_date"]) <= today:
            found[_guid(row["gl_account"]), _guid(row["account"])] += row["amount_dc"] or 0
    return found


def _day(moment: date | datetime) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _compare_entries(found: Comparison, books: LoadedBooks) -> None:
    """Check that debit equals credit in each entry."""
    cause = "a line of the entry is missing: run sync --reconcile and report it"
    for row in books.entry_sums(without=CARRYING_TYPES) or ():
        ours = Decimal(row["amount"] or 0)
        found.add(
            Difference("entries", "transaction_lines", found.division, ours=ours, cause=cause)
        )


# -- documents -------------------------------------------------------------------------------------

# Header table, line table, and the key that lines share with their header.
DOCUMENTS = (
    ("sales_invoices", "sales_invoice_lines", "invoice_id"),
    ("sales_orders", "sales_order_lines", "order_id"),
)


def _compare_documents(found: Comparison, books: LoadedBooks) -> None:
    """Compare document totals without VAT with their lines, in the document's currency."""
    cause = "lines are missing, or a discount on the whole document"
    for headers, lines, key in DOCUMENTS:
        rows = books.document_sums(headers, lines, key)
        if rows is None:
            found.skip(headers, f"{headers} and {lines} are not both loaded")
        for row in rows or ():
            ours, theirs = Decimal(row["ours"]), Decimal(row["theirs"])
            found.add(
                Difference(
                    "documents", lines, books.division, ours=ours, theirs=theirs, cause=cause
                )
            )


def document(found: Comparison) -> dict[str, Any]:
    """The comparison as a JSON document; amounts are strings."""
    return {
        "division": found.division,
        "calls": found.calls,
        "compared": dict(found.compared),
        "skipped": found.skipped,
        "differences": [dict(_plain(difference)) for difference in found.differences],
    }


def _plain(difference: Difference) -> Iterator[tuple[str, Any]]:
    for name, value in (*asdict(difference).items(), ("difference", difference.difference)):
        yield name, f"{value:f}" if isinstance(value, Decimal) else value
