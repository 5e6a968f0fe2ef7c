"""The figures of the report, queried from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pendulum

Rows = Sequence[Sequence[Any]]
BUCKETS = ("Not due", "1–30 days", "31–60 days", "61–90 days", "Over 90 days")
MONTHS = 24  # whole months
ZERO = Decimal(0)


@dataclass(frozen=True)
class Company:
    """A company with postings."""

    division: int
    name: str
    currency: str


@dataclass(frozen=True)
class Account:
    """A ledger account in the profit and loss account: this year, last year to date, all of last year."""

    code: str
    name: str
    amounts: tuple[Decimal, Decimal, Decimal]


@dataclass
class Section:
    """A section of the profit and loss account."""

    code: str
    name: str
    accounts: list[Account] = field(default_factory=list)

    @property
    def amounts(self) -> tuple[Decimal, Decimal, Decimal]:
        """The sums of its accounts."""
        return total_of(account.amounts for account in self.accounts)


@dataclass(frozen=True)
class Ageing:
    """Open items by age, in the order of ``BUCKETS``."""

    total: Decimal = ZERO
    buckets: tuple[Decimal, ...] = (ZERO,) * len(BUCKETS)
    items: int = 0

    @property
    def overdue(self) -> Decimal:
        """The overdue amount."""
        return sum(self.buckets[1:], ZERO)


@dataclass(frozen=True)
class Customer:
    """A customer of the last twelve whole months."""

    name: str
    revenue: Decimal
    invoices: int
    company: tuple[int, int]  # code of one company, and the number of companies


@dataclass(frozen=True)
class Debtor:
    """A customer with overdue items."""

    name: str
    open: Decimal
    overdue: Decimal
    days: int
    company: tuple[int, int]  # likewise


@dataclass(frozen=True)
class BalanceLine:
    """A section of the balance sheet."""

    side: str
    section: str
    name: str
    amount: Decimal


@dataclass
class Books:
    """The figures of all companies with books in one currency."""

    currency: str
    companies: list[Company]
    months: list[date] = field(default_factory=list)
    revenue: dict[int, dict[date, Decimal]] = field(default_factory=dict)
    customers: list[Customer] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    balance: list[BalanceLine] = field(default_factory=list)
    receivables: Ageing = field(default_factory=Ageing)
    payables: Ageing = field(default_factory=Ageing)
    debtors: list[Debtor] = field(default_factory=list)
    owed: dict[int, tuple[Decimal, Decimal]] = field(default_factory=dict)
    backlog: tuple[Decimal, int, Decimal] | None = None
    stock: tuple[Decimal, int] | None = None

    def revenue_of_company(self, division: int, months: Iterable[date]) -> Decimal:
        """Revenue of one company in some months."""
        by_month = self.revenue.get(division, {})
        return sum((by_month.get(month, ZERO) for month in months), ZERO)

    def revenue_of(self, month: date) -> Decimal:
        """Revenue of all companies in a month."""
        return sum((by_month.get(month, ZERO) for by_month in self.revenue.values()), ZERO)

    def revenue_over(self, months: Iterable[date]) -> Decimal:
        """Revenue of all companies in some months."""
        return sum((self.revenue_of(month) for month in months), ZERO)

    @property
    def result(self) -> tuple[Decimal, Decimal, Decimal]:
        """The total of all sections."""
        return total_of(section.amounts for section in self.sections)

    def section_balance(self, section: str) -> Decimal:
        """Balance of one section of the balance sheet."""
        return sum((line.amount for line in self.balance if line.section == section), ZERO)

    def side(self, side: str) -> list[BalanceLine]:
        """The sections of one side of the balance sheet."""
        return [line for line in self.balance if line.side == side]


@dataclass(frozen=True)
class Stream:
    """One entity of one company after the last sync."""

    division: int
    entity: str
    status: str
    error: str | None
    code: str | None
    last_sync_at: datetime
    last_success_at: datetime | None
    last_rows: int
    rows: int


@dataclass(frozen=True)
class SyncRun:
    """One sync."""

    started_at: datetime
    ended_at: datetime
    streams: int
    companies: int
    calls: int
    rows: int
    deleted: int
    failed: int


@dataclass
class Figures:
    """Everything on the page.

    Attributes:
        day: Day of the report.
        made_at: Time at which the report was made, in UTC.
        month: First day of the last calendar month with an entry up to the day.
        books: Figures of each currency.
        streams: Streams by company and entity.
        runs: Runs, the latest first.
        calls_today: Calls by company since 00:00 UTC.
        built: Whether the figures came from tables that dbt built.
    """

    day: date
    made_at: datetime
    month: date = date.min
    books: list[Books] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    runs: list[SyncRun] = field(default_factory=list)
    calls_today: dict[int, int] = field(default_factory=dict)
    built: bool = False

    @property
    def companies(self) -> list[Company]:
        """All companies, whatever their currency."""
        return [company for books in self.books for company in books.companies]

    def months_back(self, count: int) -> list[date]:
        """The last months up to that of the day, the oldest first."""
        last = pendulum.date(self.day.year, self.day.month, 1)
        return [last.subtract(months=months) for months in reversed(range(count))]

    @property
    def month_is_over(self) -> bool:
        """Whether the day is the last of its month."""
        return (self.day + timedelta(days=1)).day == 1

    def whole_months(self, count: int) -> list[date]:
        """The last complete months, the oldest first; an incomplete month cannot be compared."""
        months = self.months_back(count + 1)
        return months[1:] if self.month_is_over else months[:-1]


class Reader:
    """Fills the figures, with one query for each group of them.

    Args:
        ask: Returns the rows of a query, given its name and the values for its template.
        ask_optional: The same, but returns ``None`` if a table is missing.
        divisions: Companies to report; empty for all.
        figures: Figures to fill; the day is set.
    """

    def __init__(
        self,
        ask: Callable[..., Rows],
        ask_optional: Callable[..., Rows | None],
        divisions: Sequence[int],
        figures: Figures,
    ) -> None:
        self._figures = figures
        codes = ", ".join(str(int(code)) for code in divisions)
        self._values: dict[str, Any] = {
            "only": f"and division in ({codes})" if codes else "",
            "only_of_b": f"and b.division in ({codes})" if codes else "",
            "only_or_all": f"and division in ({codes}, 0)" if codes else "",
            "day": literal(figures.day),
            "since": literal(figures.whole_months(12)[0]),
            "until": literal(figures.whole_months(12)[-1]),
            "today": literal(figures.made_at.astimezone(UTC).date()),
        }
        self._ask, self._ask_optional = ask, ask_optional

    def names(self) -> dict[int, str]:
        """Division -> name of the company."""
        return {division: name for division, name, _ in self._rows("companies")}

    def read(self) -> Figures:
        """Run all queries."""
        figures = self._figures
        found: dict[str, Books] = {}
        for division, name, currency in self._rows("companies"):
            books = found.setdefault(currency, Books(currency, []))
            books.companies.append(Company(division, name, currency))
        # First the currency with the most companies.
        figures.books = sorted(found.values(), key=lambda b: (-len(b.companies), b.currency))
        if found:
            self._read_books(found)
        self._read_syncs()
        return figures

    def _rows(self, query: str, **values: Any) -> Rows:
        return self._ask(query, **self._values, **values)

    def _read_books(self, found: dict[str, Books]) -> None:
        figures = self._figures
        ((month,),) = self._rows("period")
        figures.month = month or figures.day.replace(day=1)
        self._read_revenue(found)
        self._read_statements(found)
        self._read_open_items(found)
        for currency, amount, orders, late in self._optional("backlog"):
            found[currency].backlog = (exact(amount), int(orders), exact(late))
        for currency, amount, items in self._optional("stock"):
            found[currency].stock = (exact(amount), int(items))

    def _optional(self, query: str) -> Rows:
        return self._ask_optional(query, **self._values) or ()

    def _read_revenue(self, found: dict[str, Books]) -> None:
        for currency, division, month, amount in self._rows("revenue"):
            by_division = found[currency].revenue.setdefault(division, defaultdict(lambda: ZERO))
            by_division[month] += exact(amount)
        running = not self._figures.month_is_over
        months = self._figures.months_back(MONTHS + running)
        for books in found.values():
            seen = [month for by_month in books.revenue.values() for month in by_month]
            first = min(seen, default=months[-1])
            books.months = [month for month in months if month >= first]
        for currency, name, revenue, invoices, *company in self._rows("customers"):
            customer = Customer(name, exact(revenue), int(invoices), pair(company))
            found[currency].customers.append(customer)

    def _read_statements(self, found: dict[str, Books]) -> None:
        month = self._figures.month
        when = {
            "month": literal(month),
            "month_before": literal(month.replace(year=month.year - 1)),
            "this_year": literal(month.replace(month=1)),
            "year_before": literal(month.replace(year=month.year - 1, month=1)),
        }
        for currency, code, name, _, gl, gl_name, *amounts in self._rows("result", **when):
            sections = found[currency].sections
            if not sections or sections[-1].code != code:
                section = next((s for s in sections if s.code == code), None)
                sections.append(section or Section(code, name))
            now, before, all_before = (exact(amount) for amount in amounts)
            sections[-1].accounts.append(Account(gl, gl_name or "", (now, before, all_before)))
        for currency, side, code, name, _, amount in self._rows("balance", **when):
            found[currency].balance.append(BalanceLine(side, code, name, exact(amount)))

    def _read_open_items(self, found: dict[str, Books]) -> None:
        for kind in ("receivables", "payables"):
            for currency, total, *rest in self._rows("ageing", kind=kind):
                *buckets, items = rest
                ageing = Ageing(exact(total), tuple(map(exact, buckets)), int(items))
                setattr(found[currency], kind, ageing)
        for currency, name, amount, overdue, days, *company in self._rows("overdue"):
            debtor = Debtor(name, exact(amount), exact(overdue), int(days), pair(company))
            found[currency].debtors.append(debtor)
        owed = {d: (exact(amount), exact(late)) for d, amount, late in self._rows("receivables")}
        for books in found.values():
            books.owed = {c.division: owed.get(c.division, (ZERO, ZERO)) for c in books.companies}

    def _read_syncs(self) -> None:
        figures = self._figures
        for division, entity, status, error, code, at, success, last, rows in self._rows("streams"):
            figures.streams.append(
                Stream(
                    division,
                    entity,
                    status,
                    error,
                    code,
                    instant(at),
                    success and instant(success),
                    int(last),
                    int(rows),
                )
            )
        for started, ended, *counts in self._rows("runs"):
            figures.runs.append(
                SyncRun(instant(started), instant(ended), *(int(count or 0) for count in counts))
            )
        figures.calls_today = {code: int(calls or 0) for code, calls in self._rows("calls")}


def total_of(
    amounts: Iterable[tuple[Decimal, Decimal, Decimal]],
) -> tuple[Decimal, Decimal, Decimal]:
    """Sums, column by column."""
    now, before, all_before = ZERO, ZERO, ZERO
    for first, second, third in amounts:
        now, before, all_before = now + first, before + second, all_before + third
    return now, before, all_before


def pair(values: Sequence[Any]) -> tuple[int, int]:
    """Two whole numbers."""
    first, second = values
    return int(first), int(second)


def literal(day: date) -> str:
    """A date in SQL."""
    return f"cast('{day.isoformat()}' as date)"


def exact(amount: Any) -> Decimal:
    """An amount as a decimal, whatever type the driver returned."""
    return Decimal(str(amount or 0))


def instant(moment: datetime) -> datetime:
    """A time in UTC; drivers return it with the zone of the session or without a zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
