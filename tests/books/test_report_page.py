"""``exact-source report``: the page says what the books say, from either kind of table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer

from exact_source.cli.report import report
from exact_source.errors import ConfigurationError
from exact_source.report.figures import Figures
from exact_source.report.page import render_page
from exact_source.report.reading import read_figures
from exact_source.sandbox import SandboxClock
from tests.support.books import (
    BUILT_KINDS,
    LINES,
    MARTS,
    ON_DUCKDB,
    TODAY,
    Books,
    Built,
    built_books,
)
from tests.support.browser import Browser, colours, png_size
from tests.support.world import MIDDAY, Clock
from tests.unit.test_report_many import MANY, figures

pytestmark = [pytest.mark.timeout(300), ON_DUCKDB]
FOOTER = re.compile(r"<footer>.*?</footer>", re.DOTALL)
VOID = {"meta", "line", "rect", "br"}
DARK = "@media (prefers-color-scheme: dark)"
NO_MARTS = f"DROP SCHEMA IF EXISTS {MARTS} CASCADE"
Report = Callable[..., Path]


@pytest.fixture
def make_report(tmp_path: Path) -> Report:
    """Runs the command as the terminal would; gives the file."""
    app = typer.Typer()
    app.command()(report)
    command = typer.main.get_command(app)

    def make(place: str, *arguments: str, name: str = "books.html") -> Path:
        output = tmp_path / name
        command.main(
            [f"--destination={place}", f"--output={output}", *arguments],
            standalone_mode=False,
            obj=Clock(SandboxClock(MIDDAY + timedelta(hours=1), frozen=True)),
        )
        return output

    return make


@pytest.fixture(params=BUILT_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def figures_of(books: Books, kind: str = "duckdb", **settings: object) -> Figures:
    return read_figures(
        books.pipeline(kind), **{"day": TODAY, "made_at": MIDDAY, **settings}  # type: ignore[arg-type]
    )  # fmt: skip


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [
            v or "" for k, v in attrs if k in {"src", "href", "srcset", "action", "data"}
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title"} and data.strip():
            self.texts.append(data.strip())

    @property
    def words(self) -> str:
        return " ".join(self.texts)


def page(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


# -- what it says ------------------------------------------------------------------------------------


def test_figures_are_those_of_the_books(books: Books, kind: str) -> None:
    figures = figures_of(books, kind)
    (found,) = figures.books
    lines = [
        row | {"division": division}
        for division in books.box.divisions
        for row in books.box.rows(LINES, division)
    ]

    def total(code: str, year: int | None = None) -> Decimal:
        return sum(
            (
                Decimal(str(row["AmountDC"]))
                for row in lines
                if row["GLAccountCode"].startswith(code) and year in {None, row["FinancialYear"]}
            ),
            Decimal(0),
        )

    assert figures.month == date(2026, 3, 1)
    assert [c.division for c in found.companies] == list(books.box.divisions)
    assert found.receivables.total == total("13")
    assert found.payables.total == -total("16")
    assert found.section_balance("cash") == total("11")
    assert found.result[0] == -total("4", 2026) - total("7", 2026) - total("8", 2026)
    assert found.result[2] == -total("4", 2025) - total("7", 2025) - total("8", 2025)
    assert found.revenue_over(found.months) == -total("8")
    assert sum(line.amount for line in found.side("assets")) == sum(
        line.amount for line in found.side("liabilities")
    )
    assert sum(found.receivables.buckets) == found.receivables.total
    assert len(found.customers) == 10
    assert found.customers == sorted(found.customers, key=lambda c: -c.revenue)
    assert found.debtors == sorted(found.debtors, key=lambda d: -d.overdue)
    assert found.backlog is not None
    assert found.stock is not None
    assert len(figures.runs) == 2
    assert {s.status for s in figures.streams} == {"complete"}
    assert set(figures.calls_today) >= set(books.box.divisions)


def test_the_command_writes_a_page(books: Books, kind: str, make_report: Report) -> None:
    path = make_report(books.place(kind))
    found = page(path)
    receivables = figures_of(books, kind).books[0].receivables.total

    assert f"€{receivables:,.0f}" in found.words
    assert "10 March 2026" in found.words
    for name in ("Revenue by month", "Profit and loss", "Receivables by age", "Customers with most revenue",
                 "Sync health", "Balance sheet", "Latest syncs"):  # fmt: skip
        assert name in found.words
    assert list(path.parent.glob(".*.new")) == []


def test_the_page_needs_nothing_from_elsewhere(books: Books, make_report: Report) -> None:
    path = make_report(books.place("duckdb"))
    text, found = path.read_text("utf-8"), page(path)
    assert found.links == []
    assert "script" not in found.tags
    assert not re.search(r"https?:|url\(|@import|//[a-z]", text)
    assert "default-src 'none'" in text
    assert len(text) < 100_000


@pytest.mark.parametrize("kind", BUILT_KINDS)
def test_built_tables_give_the_same_page(books: Books, kind: str, make_report: Report) -> None:
    computed = make_report(books.place(kind), "--marts", "elsewhere")
    assert "from the loaded tables" in computed.read_text("utf-8")
    built: Built = built_books(kind)
    assert built.code == 0, built.output
    shown = make_report(books.place(kind), name="built.html")
    assert "from the tables that dbt built" in shown.read_text("utf-8")
    assert FOOTER.sub("", shown.read_text("utf-8")) == FOOTER.sub("", computed.read_text("utf-8"))


@pytest.mark.nightly
def test_built_tables_of_another_load_or_day_are_not_read(books: Books, tmp_path: Path) -> None:
    built_books("duckdb")
    copy = books.copy(tmp_path)
    assert figures_of(copy, marts=MARTS).built
    assert not figures_of(copy, marts=MARTS, day=TODAY - timedelta(days=1)).built
    change(copy, "UPDATE exact_online._exact_syncs SET ended_at = ended_at + INTERVAL 1 SECOND")
    assert not figures_of(copy, marts=MARTS).built


NO_LONGER = {
    "a load of another worker that was read earlier": "INSERT INTO exact_online._exact_syncs SELECT "
    "* REPLACE (ended_at - INTERVAL 1 HOUR AS ended_at) FROM exact_online._exact_syncs LIMIT 1",
    "another setting of dbt": f"UPDATE {MARTS}.exact_online__data_as_of SET settings = "
    "replace(settings, 'processed only False', 'processed only True')",
    "an entry after the day": f"UPDATE {MARTS}.int_exact_online__postings SET entry_date = "
    f"DATE '{TODAY + timedelta(days=1)}' WHERE line_id = "
    f"(SELECT max(line_id) FROM {MARTS}.int_exact_online__postings)",
    "tables of another release": f"ALTER TABLE {MARTS}.exact_online__data_as_of DROP settings",
}


@pytest.mark.parametrize("statement", NO_LONGER.values(), ids=NO_LONGER)
def test_built_tables_that_show_something_else_are_not_read(
    books: Books, tmp_path: Path, statement: str
) -> None:
    assert built_books("duckdb").code == 0
    copy = books.copy(tmp_path)
    change(copy, statement)
    assert not figures_of(copy, marts=MARTS).built


@pytest.mark.nightly
@pytest.mark.parametrize("day", [date(2025, 6, 17), date(2025, 11, 13)])
def test_a_day_within_a_month_ends_with_that_day(books: Books, day: date) -> None:
    """Revenue, result and balance know nothing of entries that came later in the month."""
    lines = [row for d in books.box.divisions for row in books.box.rows(LINES, d)]
    until = [row for row in lines if row["Date"].date() <= day]
    later = [row for row in lines if row not in until and row["Date"].date() <= day + timedelta(30)]
    assert any(row["GLAccountCode"].startswith("8") for row in later)

    def total(codes: tuple[str, ...], rows: list[dict[str, Any]] = until) -> Decimal:
        mine = [Decimal(str(r["AmountDC"])) for r in rows if r["GLAccountCode"].startswith(codes)]
        return sum(mine, Decimal(0))

    (found,) = figures_of(books, day=day, marts=MARTS).books
    month = [r for r in until if (r["Date"].year, r["Date"].month) == (day.year, day.month)]
    assert found.revenue_of(day.replace(day=1)) == -total(("8",), month)
    year = [row for row in until if row["FinancialYear"] == day.year]
    assert found.result[0] == -total(("4", "7", "8"), year)
    assert found.section_balance("cash") == total(("11",))
    assert found.section_balance("receivables") == total(("13",)) == found.receivables.total


def test_another_day(books: Books) -> None:
    """Ageing, months and periods are those of the day."""
    figures = figures_of(books, day=date(2025, 6, 30))
    (found,) = figures.books
    assert figures.month == date(2025, 6, 1)
    assert found.months[-1] == date(2025, 6, 1)
    assert figures.whole_months(12)[-1] == date(2025, 6, 1)
    posted = [
        Decimal(str(row["AmountDC"]))
        for division in books.box.divisions
        for row in books.box.rows(LINES, division)
        if row["GLAccountCode"] == "1300" and row["Date"].date() <= date(2025, 6, 30)
    ]
    assert found.receivables.total == sum(posted)


def test_one_company_by_its_code_in_english_or_by_its_name_in_dutch(
    books: Books, make_report: Report
) -> None:
    first, second = books.box.divisions
    names = {c.division: c.name for c in figures_of(books).companies}
    pattern = f"{names[second].split()[0]}*"
    for company, language in ((str(second), "en"), (pattern, "nl")):
        path = make_report(
            books.place("duckdb"), f"--divisions={company}", f"--language={language}"
        )
        words = page(path).words
        assert names[second] in words
        assert names[first] not in words
        assert f'<html lang="{language}">' in path.read_text("utf-8")
        assert ("Omzet per maand" in words) is (language == "nl")


def test_a_company_that_is_not_in_the_tables_is_refused(books: Books, make_report: Report) -> None:
    with pytest.raises(ConfigurationError):
        make_report(books.place("duckdb"), "--divisions=77")


# -- what may go wrong -------------------------------------------------------------------------------


def change(books: Books, *statements: str) -> None:
    with duckdb.connect(str(books.folder / "exact.duckdb")) as database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.nightly
def test_currencies_are_never_added_up(books: Books, tmp_path: Path, make_report: Report) -> None:
    copy = books.copy(tmp_path)
    second = books.box.divisions[1]
    change(
        copy, f"UPDATE exact_online.divisions SET currency = 'USD' WHERE code = {second}", NO_MARTS
    )
    figures = figures_of(copy)
    whole = figures_of(books).books[0]
    assert [b.currency for b in figures.books] == ["EUR", "USD"]
    parts = [b.receivables.total for b in figures.books]
    assert sum(parts) == whole.receivables.total
    words = page(make_report(copy.place("duckdb"))).words
    assert "Companies in USD" in words
    assert f"${parts[1]:,.0f}" in words


def test_a_company_without_entries_is_left_out_with_its_stock(books: Books, tmp_path: Path) -> None:
    copy = books.copy(tmp_path)
    second = books.box.divisions[1]
    change(
        copy,
        NO_MARTS,
        f"UPDATE exact_online.divisions SET currency = 'USD' WHERE code = {second}",
        f"DELETE FROM exact_online.transaction_lines WHERE division = {second}",
    )
    (found,) = figures_of(copy).books
    (first,) = (b for b in figures_of(books, divisions=[books.box.divisions[0]]).books)
    assert (found.stock, found.backlog) == (first.stock, first.backlog)


def test_a_table_that_was_never_loaded_hides_no_other(
    books: Books, tmp_path: Path, make_report: Report
) -> None:
    copy = books.copy(tmp_path)
    change(
        copy,
        "INSERT INTO exact_online._exact_syncs SELECT * REPLACE ('refused' AS status, "
        "'no right' AS error, 'contacts' AS entity) FROM exact_online._exact_syncs "
        f"WHERE entity = 'items' AND division = {books.box.divisions[0]} LIMIT 1",
    )
    words = page(make_report(copy.place("duckdb"))).words
    assert "contacts of" in words
    health = words.partition("Sync health")[2]
    first, second = (re.search(rf"{d} (.+? ago)( 1 never)? ", health) for d in books.box.divisions)
    assert first is not None
    assert second is not None
    assert first[2]
    assert not second[2]
    assert first[1] == second[1]


def test_names_are_shown_as_they_are(books: Books, tmp_path: Path, make_report: Report) -> None:
    copy = books.copy(tmp_path)
    change(
        copy,
        "UPDATE exact_online.accounts SET name = '<script>alert(1)</script> & \"Zn\"'",
        "INSERT INTO exact_online._exact_syncs SELECT * REPLACE ('failed' AS status, "
        "'<b>no</b>' AS error, ended_at + INTERVAL 1 HOUR AS ended_at) "
        "FROM exact_online._exact_syncs WHERE entity = 'items' LIMIT 1",
    )
    found = page(make_report(copy.place("duckdb")))
    assert "script" not in found.tags
    assert '<script>alert(1)</script> & "Zn"' in found.words
    assert "failed. <b>no</b>" in found.words


def test_tables_of_other_modules_may_be_missing(
    books: Books, tmp_path: Path, make_report: Report
) -> None:
    copy = books.copy(tmp_path)
    change(copy, "DROP TABLE exact_online.sales_orders", "DROP TABLE exact_online.items",
           NO_MARTS)  # fmt: skip
    words = page(make_report(copy.place("duckdb"))).words
    assert "Order backlog" not in words
    assert "Stock at cost" not in words
    assert "Revenue by month" in words


def test_says_what_to_load(books: Books, tmp_path: Path, make_report: Report) -> None:
    copy = books.copy(tmp_path)
    change(copy, NO_MARTS, "DROP TABLE exact_online.gl_accounts")
    with pytest.raises(ConfigurationError, match="gl_accounts"):
        make_report(copy.place("duckdb"))


def test_companies_without_entries_give_a_page(
    books: Books, tmp_path: Path, make_report: Report
) -> None:
    copy = books.copy(tmp_path)
    change(copy, NO_MARTS, "DELETE FROM exact_online.transaction_lines")
    assert "No journal entries are loaded yet" in page(make_report(copy.place("duckdb"))).words


def test_nothing_is_made_where_nothing_is(tmp_path: Path, make_report: Report) -> None:
    with pytest.raises(ConfigurationError, match="run a sync first"):
        make_report(f"duckdb:{tmp_path / 'none.duckdb'}")
    assert not (tmp_path / "none.duckdb").exists()
    assert not (tmp_path / "books.html").exists()


def test_wrong_options_are_named(books: Books, tmp_path: Path, make_report: Report) -> None:
    with pytest.raises(ConfigurationError, match="--as-of"):
        make_report(books.place("duckdb"), "--as-of=31-03-2026")
    with pytest.raises(ConfigurationError, match="--output"):
        make_report(books.place("duckdb"), f"--output={tmp_path / 'no' / 'folder.html'}")


# -- how it looks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "width", [320, 1280, *(pytest.param(w, marks=pytest.mark.nightly) for w in (412, 768))]
)
def test_fits_the_screen(books: Books, make_report: Report, browser: Browser, width: int) -> None:
    assert_fits(browser, make_report(books.place("duckdb")), width)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """The page of 300 companies."""
    path = tmp_path / "many.html"
    path.write_text(render_page(figures(MANY)), "utf-8")
    return path


@pytest.mark.nightly
@pytest.mark.parametrize("width", [320, 412, 1280])
def test_hundreds_of_companies_fit_the_screen(browser: Browser, many: Path, width: int) -> None:
    assert_fits(browser, many, width)


def assert_fits(browser: Browser, path: Path, width: int) -> None:
    found = json.loads(browser.measure(path, width))
    assert found["inner"] == width
    assert found["page"] <= width
    assert found["outside"] == []
    assert found["cut"] == []
    assert found["broken"] == []
    assert found["hits"] == 0
    assert found["bars"] > 20
    assert found["font"] >= 9  # pixels: still to be read on a phone


@pytest.mark.nightly
def test_is_drawn(books: Books, make_report: Report, browser: Browser) -> None:
    path = make_report(books.place("duckdb"))
    phone, desktop = browser.picture(path, 412, 915), browser.picture(path, 1280, 900)
    assert png_size(phone) == (412, 915)
    assert png_size(desktop) == (1280, 900)
    drawn = colours(phone)
    for name, colour in palette(path.read_text("utf-8")).items():
        assert drawn[colour] > 500, name
    assert desktop.stat().st_size > 40_000  # an empty page is a tenth of that


def palette(styles: str) -> dict[str, str]:
    """Colours of the text, of its cards, and of the bars of two companies."""
    names = ("ink", "card", "s0", "s1")
    return {n: re.findall(rf"--{n}: (#[0-9a-f]{{6}})", styles)[0] for n in names}


@pytest.mark.nightly
@pytest.mark.parametrize("width", [412, 1280])
def test_is_drawn_in_dark_colours(browser: Browser, many: Path, width: int) -> None:
    """The browser has no option for a dark screen, so the rule for one is made to hold on any."""
    text = many.read_text("utf-8")
    light, rule, dark = text.partition(DARK)
    assert rule
    many.write_text(text.replace(DARK, "@media all"), "utf-8")

    drawn = colours(browser.picture(many, width, 900))

    for name, colour in palette(dark).items():
        assert drawn[colour] > 50, name  # the bars of two companies among 300 are thin
    assert drawn[palette(light)["card"]] < 50


def test_with_json_the_file_is_named_for_machines(
    books: Books, make_report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    page = make_report(books.place("duckdb"), "--json")

    assert page.exists()
    said = json.loads(capsys.readouterr().out)
    assert (said["file"], said["companies"]) == (str(page), 2)
