"""The page with hundreds of companies: the largest by name, the rest together, all of them on demand."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from exact_source.report.figures import Books, Company, Customer, Debtor, Figures, Stream, SyncRun
from exact_source.report.language import DUTCH, ENGLISH, Language
from exact_source.report.page import render_page

DAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MANY = 300


def figures(count: int, code: str = "refused") -> Figures:
    companies = [Company(n, f"Company {n:03}", "EUR") for n in range(1, count + 1)]
    found = Figures(day=DAY, made_at=NOW, month=date(2026, 3, 1))
    books = Books("EUR", companies, months=found.months_back(12))
    for company in companies:
        books.revenue[company.division] = dict.fromkeys(books.months, Decimal(company.division))
    books.customers = [
        Customer("Jansen", Decimal(1500), 3, (2, 1)),
        Customer("Bakker", Decimal(9), 1, (1, 2)),
    ]
    books.debtors = [Debtor("Jansen", Decimal(1500), Decimal(1200), 40, (2, 1))]
    found.books = [books]
    for company in companies:
        at = NOW - timedelta(hours=company.division)
        error = f"projects of division {company.division}: refused"
        found.streams += [
            Stream(company.division, "accounts", "complete", None, None, at, at, 1, 10),
            Stream(company.division, "projects", "refused", error, code, NOW, None, 0, 0),
        ]
    found.runs = [SyncRun(NOW - timedelta(hours=2), NOW, 2 * count, count, 4806, 41466, 0, 0)]
    return found


def visible(page: str) -> str:
    """The page as it is before a line is opened."""
    return re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("language", [ENGLISH, DUTCH], ids=["en", "nl"])
def test_hundreds_of_companies_are_ten_lines_and_the_rest_on_demand(language: Language) -> None:
    page = render_page(figures(MANY), language)

    shown = visible(page)
    assert page.count('<span class="dot s') == 6
    assert language.text("{count} others", count=MANY - 5) in shown
    assert len(re.findall(r"<rect", page)) < 300
    assert len(re.findall(r'<th scope="row">Company \d', shown)) == 2 * 10
    assert all(f"Company {n:03} " in page for n in range(1, MANY + 1))
    assert language.text("All {count} companies", count=MANY) in page
    assert len(page) < 250_000


def test_the_last_sync_is_that_of_all_companies() -> None:
    page = render_page(figures(MANY))

    assert "4,806 calls, 41,466 rows" in page
    assert "just now" in page
    (latest,) = re.findall(r"<h3>Latest syncs</h3>.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert latest.count("<tr>") == 1


def test_streams_with_the_same_trouble_are_one_line() -> None:
    page = render_page(figures(MANY))

    troubles = re.findall(r'<p class="trouble">(.*?)</p>', page)
    assert len(troubles) == 1
    assert "300 companies" in troubles[0]


@pytest.mark.parametrize("language", [ENGLISH, DUTCH], ids=["en", "nl"])
def test_what_exact_does_not_offer_is_not_a_trouble(language: Language) -> None:
    page = render_page(figures(MANY, "unavailable"), language)

    assert 'class="trouble"' not in page
    assert language.text("{count} never", count=1) not in page
    (note,) = re.findall(r'<p class="note">([^<]*projects[^<]*)</p>', page)
    assert language.text("{count} companies", count=MANY) in note


def test_problems_are_shown_in_the_language_of_the_page() -> None:
    (trouble,) = re.findall(r'<p class="trouble">(.*?)</p>', render_page(figures(MANY), DUTCH))

    assert "projects van 300 administraties" in trouble
    assert "geweigerd" in trouble


def test_one_thing_is_not_several() -> None:
    assert ENGLISH.counted(1, "{count} row", "{count} rows") == "1 row"
    assert ENGLISH.counted(1200, "{count} row", "{count} rows") == "1,200 rows"
    assert DUTCH.counted(1, "{count} row", "{count} rows") == "1 regel"
    assert DUTCH.counted(0, "{count} row", "{count} rows") == "0 regels"
    for page in (render_page(figures(1)), render_page(figures(1), DUTCH)):
        assert not re.search(r"\b1 (rows|calls|items|orders|regels|aanroepen|artikelen)\b", page)


def test_the_company_that_is_furthest_behind_comes_first() -> None:
    _, _, health = visible(render_page(figures(MANY))).partition("Sync health")

    names = re.findall(r'<th scope="row">(Company \d+)', health)
    assert names[:2] == ["Company 300", "Company 299"]


def test_every_table_names_the_company() -> None:
    page = render_page(figures(3))

    for title in ("Customers with most revenue", "Overdue customers"):
        _, _, after = page.partition(f"<h2>{title}</h2>")
        assert re.search(r'Jansen<br><span class="soft">Company 002</span>', after)
    assert re.search(r'Bakker<br><span class="soft">2 companies</span>', page)


def test_one_company_is_the_title_and_needs_no_column() -> None:
    page = render_page(figures(1))

    assert "<h1>Company 001</h1>" in page
    assert "Jansen<br>" not in page


def test_dates_and_numbers_are_those_of_the_language() -> None:
    page = render_page(figures(3), DUTCH)

    assert '<html lang="nl">' in page
    assert "10 maart 2026" in page
    assert "€\N{NO-BREAK SPACE}1.500" in page
    assert "Omzet per maand" in page
