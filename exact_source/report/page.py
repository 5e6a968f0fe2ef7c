"""The page: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .charts import Chart, Column, columns_chart, shares
from .figures import BUCKETS, Books, Figures, Section, Stream, SyncRun, total_of

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WIDE, NARROW, HEIGHT = 960.0, 400.0, 250.0
NARROW_MONTHS, RUNS = 12, 10
ROOM_FOR_YEAR = 4  # columns of a year
SERIES = 6  # colours; further companies share the last one
STALE = timedelta(hours=36)
DAY_LIMIT = 5_000
TEN_MILLION = 10_000_000
FAULTS = {"failed", "refused", "incomplete", "waiting"}
# Subtotals of the profit and loss account: section -> name of the subtotal after it.
SUBTOTALS = {"cost_of_goods": "Gross margin", "depreciation": "Operating result"}


def render_page(figures: Figures) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": figure,
        "money": money,
        "whole": whole,
        "percent": percent,
        "moment": moment,
        "span": span,
    }
    template = environment.get_template("page.html.jinja")
    return template.render(
        figures=figures,
        blocks=[Block(figures, books) for books in figures.books],
        sync=SyncBlock(figures),
        style=Markup((Path(__file__).parent / "page.css").read_text("utf-8")),  # noqa: S704 (ours)
        buckets=BUCKETS,
    )


class Block:
    """The part of the page about the companies with one currency."""

    def __init__(self, figures: Figures, books: Books) -> None:
        self.books = books
        self.figures = figures
        self.symbol = SYMBOLS.get(books.currency, books.currency)
        self.year, self.period = figures.month.year, MONTHS[figures.month.month - 1]
        self._last = figures.whole_months(12)
        self._before = [date(m.year - 1, m.month, 1) for m in self._last]

    @property
    def series(self) -> list[tuple[int, str]]:
        """Colour and name of each company in the charts."""
        return [
            (min(i, SERIES - 1), company.name) for i, company in enumerate(self.books.companies)
        ]

    @property
    def revenue(self) -> Decimal:
        """Revenue of the last twelve whole months."""
        return self.books.revenue_over(self._last)

    @property
    def revenue_change(self) -> Decimal | None:
        """Change from the twelve months before, if all of them are known."""
        if not self.books.months or self.books.months[0] > self._before[0]:
            return None
        return change(self.revenue, self.books.revenue_over(self._before))

    @property
    def months_text(self) -> str:
        """The last twelve months in words."""
        return f"{month_name(self._last[0])} – {month_name(self._last[-1])}"

    def revenue_chart(self, *, narrow: bool = False) -> Chart:
        """Revenue by month, stacked by company."""
        books = self.books
        months = books.months[-NARROW_MONTHS:] if narrow else books.months
        columns = []
        for month in months:
            values = [
                books.revenue.get(c.division, {}).get(month, Decimal(0)) for c in books.companies
            ]
            titles = [
                f"{month_name(month)}, {company.name}: {money(value, self.symbol)}"
                for company, value in zip(books.companies, values, strict=True)
            ]
            running = month == months[-1] and not self.figures.month_is_over
            columns.append(Column(*month_ticks(month, months), values, titles, faint=running))
        chart = columns_chart(columns, width=NARROW if narrow else WIDE, height=HEIGHT)
        return _with_series(chart)

    @property
    def statement(self) -> list[tuple[str, Any]]:
        """Rows of the profit and loss account: ("section", it) and ("subtotal", (name, amounts))."""
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
        """Receivables and payables: name, ageing, parts of a bar."""
        found = []
        for name in ("receivables", "payables"):
            ageing = getattr(self.books, name)
            titles = [
                f"{bucket}: {money(amount, self.symbol)}"
                for bucket, amount in zip(BUCKETS, ageing.buckets, strict=True)
            ]
            found.append((name.capitalize(), ageing, shares(ageing.buckets, titles)))
        return found

    @property
    def customers(self) -> list[tuple[Any, float]]:
        """Top customers, each with the length of its bar in percent."""
        longest = max((c.revenue for c in self.books.customers), default=Decimal(1))
        return [(c, float(c.revenue / longest) * 100) for c in self.books.customers]

    def share(self, amount: Decimal) -> Decimal | None:
        """Share of the revenue of twelve months."""
        return amount / self.revenue if self.revenue > 0 else None


class SyncBlock:
    """The age of the tables and the calls of the syncs."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self.limit = DAY_LIMIT

    @property
    def companies(self) -> list[dict[str, Any]]:
        """A line per company: its stalest table, its calls, its streams that are not complete."""
        names = {c.division: c.name for c in self.figures.companies}
        codes = sorted({s.division for s in self.figures.streams if s.division})
        return [self._company(code, names.get(code, str(code))) for code in codes]

    def _company(self, code: int, name: str) -> dict[str, Any]:
        streams = [s for s in self.figures.streams if s.division == code]
        known = [s.last_success_at for s in streams if s.last_success_at]
        oldest = min(known, default=None)
        calls = self.figures.calls_today.get(code, 0)
        age = None if oldest is None else self.figures.made_at - oldest
        return {
            "code": code,
            "name": name,
            "tables": len(streams),
            "rows": sum(s.last_rows for s in streams),
            "age": "never" if age is None else ago(age),
            "never": len(streams) - len(known),
            "stale": age is None or age > STALE,
            "calls": calls,
            "calls_percent": min(100.0, 100 * calls / DAY_LIMIT),
        }

    @property
    def troubles(self) -> list[Stream]:
        """Streams whose last sync did not complete."""
        return [s for s in self.figures.streams if s.status in FAULTS]

    @property
    def latest(self) -> SyncRun | None:
        """The last run."""
        return self.figures.runs[0] if self.figures.runs else None

    @property
    def latest_ago(self) -> str:
        """How long ago the last run ended."""
        latest = self.latest
        return "never" if latest is None else ago(self.figures.made_at - latest.ended_at)

    @property
    def runs(self) -> Sequence[SyncRun]:
        """The latest runs, the newest first."""
        return self.figures.runs[:RUNS]


def _with_series(chart: Chart) -> Chart:
    bars = tuple(replace(bar, series=min(bar.series, SERIES - 1)) for bar in chart.bars)
    return replace(chart, bars=bars)


def month_name(month: date) -> str:
    """``Mar 2026``."""
    return f"{MONTHS[month.month - 1]} {month.year}"


def month_ticks(month: date, months: Sequence[date]) -> tuple[str, str]:
    """The label below a month: its letter, and the year at its start and at the start of the chart."""
    index = months.index(month)
    room = all(m.month != 1 for m in months[1:ROOM_FOR_YEAR])
    year = month.month == 1 or (index == 0 and room)
    return MONTHS[month.month - 1][0], str(month.year) if year else ""


def change(now: Decimal, before: Decimal) -> Decimal | None:
    """Growth as a fraction; ``None`` if it is not meaningful."""
    return (now - before) / before if before > 0 else None


def money(amount: Decimal, symbol: str = "") -> str:
    """A whole amount with separators and a real minus sign."""
    text = f"{abs(amount):,.0f}"
    sign = "−" if amount < 0 and text != "0" else ""
    return f"{sign}{symbol}{' ' if len(symbol) > 1 else ''}{text}"


def figure(amount: Decimal, symbol: str = "") -> str:
    """An amount for a small card: in millions from ten million on."""
    if abs(amount) < TEN_MILLION:
        return money(amount, symbol)
    millions = f"{abs(amount) / 1_000_000:,.1f}M"
    return f"{'−' if amount < 0 else ''}{symbol}{' ' if len(symbol) > 1 else ''}{millions}"


def whole(number: int) -> str:
    """A count with separators."""
    return f"{number:,}"


def percent(fraction: Decimal, *, sign: bool = False) -> str:
    """A fraction in percent."""
    text = f"{fraction * 100:+.1f}%" if sign else f"{fraction * 100:.1f}%"
    return text.replace("-", "−")


def moment(at: datetime) -> str:
    """A time in UTC, to the minute."""
    return at.strftime("%d %b %Y %H:%M UTC").lstrip("0")


def span(length: timedelta) -> str:
    """A duration: ``45 s``, ``3 min``, ``2 h 5 min``."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:  # noqa: PLR2004 (a minute)
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def ago(age: timedelta) -> str:
    """A duration in its largest unit."""
    seconds = max(0.0, age.total_seconds())
    for size, name in ((86_400, "day"), (3_600, "hour")):
        count = int(seconds // size)
        if count:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    minutes = int(seconds // 60)
    return f"{minutes} min ago" if minutes else "just now"
