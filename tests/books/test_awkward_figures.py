"""Every figure of every awkward company is what an accountant expects (``awkward_figures.csv``)."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from exact_source.report.models import models_folder
from exact_source.sandbox.data.company.awkward import COMPANIES
from tests.support.awkward import (
    AS_OF,
    KINDS,
    SCHEMA,
    Tables,
    ask,
    awkward_books,
    build,
    built,
    differences,
    figures,
    read,
)
from tests.support.books import Dbt
from tests.support.world import DATASET

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    awkward_books(request.param).destination(request.param)  # skips if there is none
    return str(request.param)


@pytest.fixture(scope="module")
def rows_of(kind: str) -> Tables:
    return build(awkward_books(kind), kind)


def test_every_figure_is_the_expected_one(kind: str, rows_of: Tables) -> None:
    assert len(figures()) > 200
    items = [rows_of(f"exact_online__open_{side}") for side in ("receivables", "payables")]
    assert {row["taken_from"] for rows in items for row in rows} == {"exact"}
    assert not list(differences(rows_of, awkward_books(kind).box.divisions))


def test_nothing_differs_from_exacts_own_figures(rows_of: Tables) -> None:
    rows = rows_of("exact_online__reconciliation")
    assert {row["compared"] for row in rows} == {
        "reporting_balance", "receivables", "payments", "returns",
    }  # fmt: skip
    assert not [row for row in rows if row["difference_amount"]]


def test_the_report_goes_by_dates_and_shows_one_figure_for_what_customers_owe(
    kind: str, rows_of: Tables
) -> None:
    """One company's year began in July, another has four-week periods; a third has prepayments."""
    assert rows_of("exact_online__data_as_of")
    figures = read(awkward_books(kind), kind, SCHEMA)
    assert figures.built
    assert figures.month == date(2026, 3, 1)
    euros, dollars = figures.books
    # july 170, shortyear 100, currency 22, matching 280, dimensions 130, vat 39.50, stock 82,
    # parent 140, daughter -100
    assert euros.result[0] == Decimal("863.5")
    assert dollars.result[0] == 500
    assert euros.section_balance("receivables") == euros.receivables.total
    assert euros.section_balance("prepayments") == 300


def test_open_items_of_the_ledger_are_the_same_without_exacts_lists(
    kind: str, rows_of: Tables
) -> None:
    books = awkward_books(kind)
    without = build(
        books, kind, schema="without_lists", like=rows_of, exact_open_items_from="ledger"
    )
    assert {"exact_online__open_receivables", "exact_online__open_payables"} < without.own
    taken = {row["taken_from"] for row in without("exact_online__open_receivables")}
    assert taken == {"ledger"}
    assert not list(differences(without, books.box.divisions))


def division_of(company: str) -> int:
    return awkward_books("duckdb").box.divisions[COMPANIES.index(company)]


@pytest.mark.xdist_group("awkward on duckdb")
def test_boxes_of_ones_own_take_precedence(tmp_path: Path) -> None:
    folder = tmp_path / "dbt"
    shutil.copytree(models_folder(), folder, ignore=shutil.ignore_patterns("target", "logs"))
    own = "select 'VEU' as vat_code, '3a' as box"
    (folder / "models" / "own_boxes.sql").write_text(own)
    sql = (
        "select box, sum(turnover_amount) as turnover from {{ ref('exact_online__vat_return') }} "
        f"where division = {division_of('vat')} and quarter_start = '2025-10-01' group by box"
    )
    for variables, box in (({}, "3b"), ({"exact_vat_boxes_from": "own_boxes"}, "3a")):
        rows = ask(awkward_books("duckdb"), sql, folder, **variables)
        assert {row["box"]: row["turnover"] for row in rows} == {
            "1a": 100, "1b": 100, box: 300, "5b": 200,
        }  # fmt: skip


@pytest.mark.xdist_group("awkward on duckdb")
@pytest.mark.parametrize("processed_only", [False, True])
def test_drafts_can_be_left_out(processed_only: bool) -> None:
    rows = [
        ask(
            awkward_books("duckdb"),
            f"select sum({column}) as total from {{{{ ref('exact_online__{model}') }}}} "
            f"where division = {division_of('drafts')}",
            exact_processed_only=processed_only,
        )
        for model, column in (
            ("revenue_by_customer_month", "revenue"),
            ("open_receivables", "open_amount"),
        )
    ]
    assert [row["total"] for (row,) in rows] == ([100, 121] if processed_only else [300, 363])


@pytest.mark.nightly
def test_dbt_builds_them_with_all_its_tests_passed(kind: str, dbt: Dbt) -> None:
    books = awkward_books(kind)
    made = dbt(books, kind, "build", exact_as_of=AS_OF)
    assert made.code == 0, made.output
    assert made.with_status("error", "fail", "skipped") == set()
    assert made.with_status("warn") == {"no_entry_is_quarantined"}
    assert not list(differences(built(books, kind), books.box.divisions))


@pytest.mark.nightly
@pytest.mark.xdist_group("awkward on duckdb")
def test_differences_from_exact_are_warnings_unless_they_must_be_errors(
    dbt: Dbt, tmp_path: Path
) -> None:
    books = awkward_books("duckdb").copy(tmp_path)
    tables = [
        ("reporting_balance", "amount", "status = 50"),
        ("payments", "amount_dc", "status < 50"),
    ]
    tables += [("receivables", "amount_dc", "status < 50"), ("returns", "amount", "amount <> 0")]
    for table, column, where in tables:
        books.run("duckdb", [f"UPDATE {DATASET}.{table} SET {column} = {column} + 1 WHERE {where}"])
    models = ["reconciliation", "open_receivables", "open_payables"]
    select = ["--indirect-selection", "cautious"]
    select += ["--select", *(f"+exact_online__{model}" for model in models)]
    differ = {
        "figures_are_those_of_exact",
        "open_payables_of_exact_equal_the_ledger",
        "open_receivables_of_exact_equal_the_ledger",
    }
    lenient = dbt(books, "duckdb", "build", *select, exact_as_of=AS_OF)
    assert lenient.code == 0, lenient.output
    assert lenient.with_status("warn") - {"no_entry_is_quarantined"} == differ
    rows = built(books, "duckdb")("exact_online__reconciliation")
    assert {row["compared"] for row in rows if row["difference_amount"]} == {t for t, *_ in tables}
    strict = dbt(books, "duckdb", "test", *select, exact_as_of=AS_OF, exact_strict=True)
    assert strict.code == 1
    assert strict.with_status("fail") == differ
