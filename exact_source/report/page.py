"""The page: one HTML file that needs no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..engine.result import PROBLEMS
from ..errors import UNAVAILABLE
from .charts import Chart, Column, columns_chart, shares
from .figures import BUCKETS, ZERO, Books, Company, Figures, Section, Stream, SyncRun, total_of
from .language import ENGLISH, Language

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}
WIDE, NARROW, HEIGHT = 960.0, 400.0, 250.0
NARROW_MONTHS, RUNS = 12, 10
ROOM_FOR_YEAR = 4  # columns that the label of a year needs
SERIES = 6  # number of colours; with more companies, the last colour is for all others
COMPANIES = 10  # companies that are shown before a line is opened
NAMED, MESSAGES = 3, 8
STALE = timedelta(hours=36)
DAY_LIMIT = 5_000
FAULTS = {*PROBLEMS} - {"skipped"}
# Section -> name of the subtotal after it, in the profit and loss account.
SUBTOTALS = {"cost_of_goods": "Gross margin", "depreciation": "Operating result"}


def render_page(figures: Figures, language: Language = ENGLISH) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.jinja")
    return template.render(
        figures=figures,
        names=Names(figures.companies, language),
        blocks=[Block(figures, books, language) for books in figures.books],
        sync=SyncBlock(figures, language),
        style=Markup((Path(__file__).parent / "page.css").read_text("utf-8")),  # noqa: S704 (ours)
        buckets=[language.text(bucket) for bucket in BUCKETS],
        shown=COMPANIES,
        language=language,
        t=language.text,
    )


class Names:
    """Companies by name."""

    def __init__(self, companies: Sequence[Company], language: Language) -> None:
        self._names = {c.division: c.name for c in companies}
        self._language = language

    def of(self, division: int) -> str:
        """Name of a company, or its code if it has none."""
        return self._names.get(division, str(division))

    def of_pair(self, company: tuple[int, int]) -> str:
        """The name of a company, or the number of companies."""
        code, count = company
        return self.of(code) if count == 1 else self.several(count)

    def several(self, count: int) -> str:
        """``300 companies``."""
        return self._language.text("{count} companies", count=self._language.number(count))

    @property
    def heading(self) -> str:
        """The name of the only company, or the number of companies."""
        if len(self._names) == 1:
            return next(iter(self._names.values()))
        return self._language.text("Books of {count} companies", count=len(self._names))

    def some(self, divisions: Sequence[int]) -> str:
        """The names of the first companies, and the number of others."""
        shown = [self.of(code) for code in divisions[:NAMED]]
        more = len(divisions) - len(shown)
        tail = [self._language.text("and {count} more", count=more)] if more else []
        return ", ".join([*shown, *tail])


@dataclass(frozen=True)
class CompanyLine:
    """Key figures of one company."""

    division: int
    name: str
    revenue: Decimal
    share: Decimal | None
    open: Decimal
    overdue: Decimal


class Block:
    """The part of the page about the companies with one currency."""

    def __init__(self, figures: Figures, books: Books, language: Language) -> None:
        self.books = books
        self.figures = figures
        self.symbol = SYMBOLS.get(books.currency, books.currency)
        self.year = figures.month.year
        self.period = language.short_month(figures.month)
        self._language = language
        self._last = figures.whole_months(12)
        self._before = [date(m.year - 1, m.month, 1) for m in self._last]
        revenue = {
            c.division: books.revenue_of_company(c.division, self._last) for c in books.companies
        }
        self._ranked = sorted(books.companies, key=lambda c: (-revenue[c.division], c.division))
        self._revenue = revenue

    @property
    def codes(self) -> list[int]:
        """Codes of the companies, by revenue."""
        return [c.division for c in self._ranked]

    def money(self, amount: Decimal) -> str:
        """A whole amount in this currency."""
        return self._language.money(amount, self.symbol)

    def figure(self, amount: Decimal) -> str:
        """An amount for a small card."""
        return self._language.figure(amount, self.symbol)

    # -- companies -----------------------------------------------------------------------------

    @property
    def _groups(self) -> list[tuple[str, list[Company]]]:
        """The companies with their own colour, and all others as one group."""
        if len(self._ranked) <= SERIES:
            return [(c.name, [c]) for c in self.books.companies]
        first, rest = self._ranked[: SERIES - 1], self._ranked[SERIES - 1 :]
        others = self._language.text("{count} others", count=len(rest))
        return [*((c.name, [c]) for c in first), (others, rest)]

    @property
    def series(self) -> list[tuple[int, str]]:
        """Colour and name of each part of the columns."""
        return [(i, name) for i, (name, _) in enumerate(self._groups)]

    @property
    def companies(self) -> list[CompanyLine]:
        """A line for each company, the one with most revenue first."""
        return [
            CompanyLine(
                c.division,
                c.name,
                self._revenue[c.division],
                self.share(self._revenue[c.division]),
                *self.books.owed.get(c.division, (ZERO, ZERO)),
            )
            for c in self._ranked
        ]

    # -- revenue -------------------------------------------------------------------------------

    @property
    def revenue(self) -> Decimal:
        """Revenue of the last twelve whole months."""
        return self.books.revenue_over(self._last)

    @property
    def revenue_change(self) -> Decimal | None:
        """Growth over the previous twelve months, if all of them are known."""
        if not self.books.months or self.books.months[0] > self._before[0]:
            return None
        return change(self.revenue, self.books.revenue_over(self._before))

    @property
    def months_text(self) -> str:
        """The last twelve months in words."""
        return f"{self._language.month(self._last[0])} – {self._language.month(self._last[-1])}"

    def revenue_chart(self, *, narrow: bool = False) -> Chart:
        """Revenue by month, companies on top of each other."""
        books, language = self.books, self._language
        months = books.months[-NARROW_MONTHS:] if narrow else books.months
        columns = []
        for month in months:
            values = [
                sum((books.revenue_of_company(c.division, [month]) for c in group), ZERO)
                for _, group in self._groups
            ]
            titles = [
                f"{language.month(month)}, {name}: {self.money(value)}"
                for (name, _), value in zip(self._groups, values, strict=True)
            ]
            running = month == months[-1] and not self.figures.month_is_over
            ticks = month_ticks(month, months, language)
            columns.append(Column(*ticks, values, titles, faint=running))
        width = NARROW if narrow else WIDE
        return columns_chart(columns, width=width, height=HEIGHT, short=language.short)

    # -- statements ----------------------------------------------------------------------------

    @property
    def statement(self) -> list[tuple[str, Any]]:
        """Rows of the profit and loss account: ("section", section) or ("subtotal", (name, amounts))."""
        rows: list[tuple[str, Any]] = []
        done: list[Section] = []
        order = list(self.books.sections)
        names = {section.code for section in order}
        for section in order:
            rows.append(("section", section))
            done.append(section)
            subtotal = SUBTOTALS.get(section.code)
            if subtotal and len(names) > len(done):
                rows.append(("subtotal", (subtotal, total_of(s.amounts for s in done))))
        rows.append(("total", ("Result", self.books.result)))
        return rows

    @property
    def ageing(self) -> list[tuple[str, Any, Any]]:
        """Receivables and payables: name, ageing, segments of the bar."""
        found = []
        for name in ("receivables", "payables"):
            ageing = getattr(self.books, name)
            titles = [
                f"{self._language.text(bucket)}: {self.money(amount)}"
                for bucket, amount in zip(BUCKETS, ageing.buckets, strict=True)
            ]
            found.append((name.capitalize(), ageing, shares(ageing.buckets, titles)))
        return found

    @property
    def customers(self) -> list[tuple[Any, float]]:
        """Customers with most revenue, each with the length of its bar in percent."""
        longest = max((c.revenue for c in self.books.customers), default=Decimal(1))
        return [(c, float(c.revenue / longest) * 100) for c in self.books.customers]

    def share(self, amount: Decimal) -> Decimal | None:
        """Part of the revenue of twelve months."""
        return amount / self.revenue if self.revenue > 0 else None


@dataclass(frozen=True)
class Trouble:
    """A message about streams that did not complete."""

    streams: str
    status: str
    error: str


class SyncBlock:
    """How fresh the tables are, and the calls of the syncs."""

    def __init__(self, figures: Figures, language: Language) -> None:
        self.figures = figures
        self.limit = DAY_LIMIT
        self._language = language
        self._names = Names(figures.companies, language)
        self._by_company: dict[int, list[Stream]] = defaultdict(list)
        for stream in figures.streams:
            self._by_company[stream.division].append(stream)

    @property
    def companies(self) -> list[dict[str, Any]]:
        """A line for each company, the one that is furthest behind first."""
        lines = [self._company(code) for code in sorted(self._by_company) if code]
        return sorted(lines, key=lambda line: (line["since"] is not None, line["since"]))

    def _company(self, code: int) -> dict[str, Any]:
        streams = self._by_company[code]
        known = [s.last_success_at for s in streams if s.last_success_at]
        oldest = min(known, default=None)
        age = None if oldest is None else self.figures.made_at - oldest
        return {
            "code": code,
            "name": self._names.of(code),
            "tables": len(streams),
            "rows": sum(s.last_rows for s in streams),
            "since": None if oldest is None else oldest.timestamp(),
            "age": self._language.text("never") if age is None else self._language.ago(age),
            "never": sum(not s.last_success_at and s.code != UNAVAILABLE for s in streams),
            "stale": age is None or age > STALE,
            "calls": self.figures.calls_today.get(code, 0),
        }

    @property
    def _troubles(self) -> list[Trouble]:
        groups: dict[tuple[str, str], list[Stream]] = defaultdict(list)
        for stream in self.figures.streams:
            if stream.status in FAULTS and stream.code != UNAVAILABLE:
                groups[stream.status, message_of(stream)].append(stream)
        return [
            Trouble(self._streams_in_words(group), status, error)
            for (status, error), group in groups.items()
        ]

    def _streams_in_words(self, group: Sequence[Stream]) -> str:
        """Some entities of some companies."""
        companies, entities = self._companies(group), self._entities(group)
        if not companies:
            return entities
        return self._language.text(
            "{entities} of {companies}", entities=entities, companies=companies
        )

    def _entities(self, group: Sequence[Stream]) -> str:
        names = list(dict.fromkeys(s.entity for s in group))
        more = len(names) - MESSAGES
        tail = [self._language.text("and {count} more", count=more)] if more > 0 else []
        return ", ".join([*names[:MESSAGES], *tail])

    def _companies(self, group: Sequence[Stream]) -> str:
        codes = sorted({s.division for s in group} - {0})
        return self._names.some(codes) if len(codes) <= NAMED else self._names.several(len(codes))

    @property
    def unavailable(self) -> str:
        """Entities that Exact does not offer, and to how many companies; empty if there are none."""
        group = [s for s in self.figures.streams if s.code == UNAVAILABLE]
        return self._streams_in_words(group) if group else ""

    @property
    def troubles(self) -> list[Trouble]:
        """Messages about streams whose last sync did not complete; equal messages are joined."""
        return self._troubles[:MESSAGES]

    @property
    def more_troubles(self) -> int:
        """The number of messages that are not shown."""
        return max(0, len(self._troubles) - MESSAGES)

    @property
    def latest(self) -> SyncRun | None:
        """The last run."""
        return self.figures.runs[0] if self.figures.runs else None

    @property
    def latest_ago(self) -> str:
        """How long ago the last run ended."""
        if self.latest is None:
            return self._language.text("never")
        return self._language.ago(self.figures.made_at - self.latest.ended_at)

    @property
    def runs(self) -> Sequence[SyncRun]:
        """The latest runs, the newest first."""
        return self.figures.runs[:RUNS]


def message_of(stream: Stream) -> str:
    """The message of a stream without the place that it begins with."""
    error = stream.error or ""
    for where in (f"{stream.entity} of division {stream.division}: ", f"{stream.entity}: "):
        error = error.removeprefix(where)
    return error


def month_ticks(
    month: date, months: Sequence[date], language: Language = ENGLISH
) -> tuple[str, str]:
    """Labels below a month: its letter, and the year below its first month in the chart."""
    index = months.index(month)
    room = all(m.month != 1 for m in months[1:ROOM_FOR_YEAR])
    year = month.month == 1 or (index == 0 and room)
    return language.short_month(month)[0].upper(), str(month.year) if year else ""


def change(now: Decimal, before: Decimal) -> Decimal | None:
    """Growth as a fraction; ``None`` if the earlier amount is not positive."""
    return (now - before) / before if before > 0 else None
