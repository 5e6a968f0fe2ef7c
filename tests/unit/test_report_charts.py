"""Geometry and texts of the report."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.report.charts import Column, columns_chart, nice_step, shares
from exact_source.report.language import _DUTCH, DUTCH, ENGLISH
from exact_source.report.page import change, month_ticks
from tests.support.time_zones import in_zone

money, figure, percent = ENGLISH.money, ENGLISH.figure, ENGLISH.percent
ago, span, short = ENGLISH.ago, ENGLISH.span, ENGLISH.short

amounts = st.decimals(-(10**9), 10**9, places=2, allow_nan=False)


def chart_of(*values: Decimal | int) -> object:
    return columns_chart(
        [Column("", "", [Decimal(v)], [""]) for v in values], width=400, height=200
    )


@given(st.lists(st.lists(amounts, min_size=1, max_size=4), max_size=24))
def test_every_bar_is_inside_the_drawing_and_to_scale(rows: list[list[Decimal]]) -> None:
    columns = [Column("", "", row, ["" for _ in row]) for row in rows]
    chart = columns_chart(columns, width=400, height=200)
    assert 0 <= chart.base <= 200
    for bar in chart.bars:
        assert chart.left <= bar.x
        assert bar.x + bar.width <= chart.right + 1e-6
        assert bar.y >= -1e-6
        assert bar.y + bar.height <= 200 + 1e-6
    drawn = [v for row in rows for v in row if v]
    assert len(chart.bars) == len(drawn)
    if drawn:
        scale = max(b.height for b in chart.bars) / float(max(abs(v) for v in drawn))
        assert sum(b.height for b in chart.bars) == pytest.approx(
            scale * float(sum(abs(v) for v in drawn)), rel=1e-6
        )


@given(st.floats(1e-6, 1e12))
def test_steps_are_round_and_not_too_small(rough: float) -> None:
    step = nice_step(rough)
    assert rough * (1 - 1e-6) <= step <= rough * 2.5 * (1 + 1e-6)


def test_a_chart_of_nothing_has_a_scale() -> None:
    chart = columns_chart([], width=400, height=200)
    assert chart.bars == ()
    assert [line.text for line in chart.lines] == ["0", "1"]


def test_stacks_do_not_overlap() -> None:
    column = Column("", "", [Decimal(3), Decimal(-2), Decimal(4)], ["a", "b", "c"])
    chart = columns_chart([column], width=400, height=200)
    first, below, second = chart.bars
    assert second.y + second.height == pytest.approx(first.y)
    assert first.y + first.height == pytest.approx(chart.base)
    assert below.y == pytest.approx(chart.base)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (1500, "1.5k"), (-2_000_000, "−2M"), (3.2e9, "3.2bn"), (0.5, "0.5")],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_shares_fill_the_bar_and_leave_credits_out() -> None:
    parts = shares([Decimal(30), Decimal(-5), Decimal(10)], ["a", "b", "c"])
    assert [(p.start, p.width, p.series) for p in parts] == [(0, 75, 0), (75, 25, 2)]
    assert shares([Decimal(0), Decimal(-1)], ["", ""]) == []


def test_texts() -> None:
    assert money(Decimal("1234567.50"), "€") == "€1,234,568"
    assert money(Decimal("-0.4"), "€") == "€0"
    assert money(Decimal(-1200), "CHF") == "−CHF\N{NO-BREAK SPACE}1,200"
    assert figure(Decimal(9_999_999), "€") == "€9,999,999"
    assert figure(Decimal(-12_340_000), "€") == "−€12.3M"
    assert ago(timedelta(minutes=59)) == "59 min ago"
    assert percent(Decimal("-0.054"), sign=True) == "−5.4%"
    assert percent(Decimal("0.12")) == "12.0%"
    assert change(Decimal(3), Decimal(2)) == Decimal("0.5")
    assert change(Decimal(3), Decimal(0)) is None
    assert ago(timedelta(seconds=20)) == "just now"
    assert ago(timedelta(minutes=61)) == "1 hour ago"
    assert ago(timedelta(days=3)) == "3 days ago"
    assert ago(timedelta(seconds=-5)) == "just now"
    assert [span(timedelta(seconds=s)) for s in (4, 185, 7500)] == ["4 s", "3 min", "2 h 5 min"]


def test_years_stand_where_they_begin_and_have_room() -> None:
    months = [date(2024 + n // 12, n % 12 + 1, 1) for n in range(10, 26)]  # Nov 2024 - Feb 2026
    ticks = [month_ticks(month, months) for month in months]
    assert [below for _, below in ticks if below] == ["2025", "2026"]
    assert [below for _, below in (month_ticks(m, months[4:]) for m in months[4:]) if below] == [
        "2025", "2026",
    ]  # fmt: skip
    assert ticks[0] == ("N", "")


def test_dutch_texts() -> None:
    space = "\N{NO-BREAK SPACE}"
    assert DUTCH.money(Decimal("1234567.50"), "€") == f"€{space}1.234.568"
    assert DUTCH.figure(Decimal(-12_340_000), "€") == f"−€{space}12,3M"
    assert DUTCH.percent(Decimal("-0.054"), sign=True) == "−5,4%"
    assert DUTCH.short(1_500_000) == "1,5M"
    assert DUTCH.day(date(2026, 3, 10)) == "10 maart 2026"
    assert DUTCH.ago(timedelta(days=3)) == "3 dagen geleden"
    assert DUTCH.text("Balance sheet") == "Balans"


@pytest.mark.parametrize(
    ("zone", "began", "moment"),
    [
        ("Europe/Amsterdam", "29 mrt 03:05", "29 mrt 2026 03:05 CEST"),
        ("UTC", "29 mrt 01:05", "29 mrt 2026 01:05 UTC"),
    ],
)
def test_times_are_in_the_local_zone(zone: str, began: str, moment: str) -> None:
    at = datetime(2026, 3, 29, 1, 5, tzinfo=UTC)  # five minutes into summer time
    with in_zone(zone):
        assert DUTCH.began(at) == began
        assert DUTCH.moment(at) == moment


def test_months_have_their_names() -> None:
    year = [date(2026, month, 1) for month in range(1, 13)]
    assert [DUTCH.short_month(m) for m in year] == [
        "jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec",
    ]  # fmt: skip
    assert ENGLISH.month(year[8]) == "Sep 2026"
    assert ENGLISH.day(year[8]) == "1 September 2026"


def test_every_text_of_the_page_is_translated() -> None:
    """The template, the sections of the dbt package, and the texts in the code."""
    package = Path(__file__).parents[2] / "exact_source" / "report"
    template = (package / "page.html.jinja").read_text("utf-8")
    code = (package / "page.py").read_text("utf-8")
    found = {a or b for a, b in re.findall(r"""\bt\((?:'([^']+)'|"([^"]+)")""", template)}
    found |= set(re.findall(r'\.text\(\s*"([^"]+)"', code))
    found |= {name.capitalize() for name in ("receivables", "payables")}
    sections = Path(__file__).parents[2] / "pipelines/dbt/models/intermediate"
    text = (sections / "int_exact_online__statement_sections.sql").read_text("utf-8")
    found |= set(re.findall(r"\('\w+', '([^']+)', '[BW]'", text))
    assert len(found) > 60
    assert found - set(_DUTCH) == set()
    for english, dutch in _DUTCH.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", dutch)), english
