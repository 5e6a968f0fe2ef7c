"""Breaking a single rule of the SQL makes a figure of the awkward companies wrong."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from exact_source.report.models import models_folder
from tests.support.awkward import Tables, awkward_books, build, differences

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600), pytest.mark.xdist_group("mutants")]
OPEN, VAT = "macros/ageing.sql", "models/marts/tax/exact_online__vat_return.sql"
LEDGER, MIDDLE = (
    "models/marts/ledger/exact_online__{}.sql",
    "models/intermediate/int_exact_online__{}.sql",
)
BALANCES, PERIODS = MIDDLE.format("balances"), LEDGER.format("periods")
RESULT, DIMENSIONS = LEDGER.format("profit_and_loss"), LEDGER.format("profit_and_loss_by_dimension")
CASH = LEDGER.format("cash_flow_statement")
SALES = "models/marts/sales/exact_online__{}.sql"
# File, a text that occurs once in it, and its broken replacement.
MUTANTS = [
    (MIDDLE.format("checked_lines"), "when status = 5", "when status = 4"),
    (MIDDLE.format("checked_lines"), "not in (20, 50)", "not in (20, 30, 50)"),
    ("macros/portable.sql", "_types', [310, 320, 321", "_types', [320, 321"),
    (BALANCES, "l.financial_year + 1", "l.financial_year"),
    ("macros/balances.sql", "result_of_year - carried as closing", "result_of_year as closing"),
    (
        "macros/balances.sql",
        "then s.year_number else 0 end as carried",
        "then 0 else 0 end as carried",
    ),
    ("macros/balances.sql", "lag(c.closing_balance)", "lag(c.closing_balance, 2)"),
    ("macros/balances.sql", "lag(c.debit - c.credit)", "lag(c.debit)"),
    (BALANCES, "y.year_number = c.year_number - 1", "y.year_number = c.year_number - 2"),
    (PERIODS, "or c.period_start <= {{ exact_as_of() }}", ""),
    (PERIODS, "coalesce(k.period_start, p.first_date)", "coalesce(p.first_date, k.period_start)"),
    (RESULT, "-b.movement as amount,", "b.movement as amount,"),
    (RESULT, "b.budget - b.movement as", "b.movement - b.budget as"),
    (RESULT, "-b.balance_prior_year as", "-b.movement_prior_year as"),
    (OPEN, "and m.line_id = l.offset_id", "and m.line_id = l.line_id"),
    (
        OPEN,
        "coalesce({{ exact_string('r.",
        "coalesce({{ exact_string('l.invoice_number') }}, {{ exact_string('r.",
    ),
    (OPEN, "coalesce(d.parent_id, c.parent_id, b.parent_id, a.", "coalesce(a."),
    (OPEN, "and l.line_id < m.line_id", "and false"),
    (OPEN, "else coalesce(h.home_key,", "else coalesce(null,"),
    (OPEN, "invoiced_so_far > invoiced - open_amount", "invoiced_so_far > 0"),
    (OPEN, "<= 90 then '61-90'", "<= 70 then '61-90'"),
    (MIDDLE.format("gl_account_types"), "'prepayments'", "'receivables'"),
    (VAT, "not in (10, 50)", "not in (50)"),
    (VAT, "not in (10, 50)", "not in (10)"),
    (VAT, "= b.gl_account_to_claim then true", "= b.gl_account_to_claim then false"),
    (
        "macros/portable.sql",
        "date_trunc('quarter', {{ date }}) as date",
        "date_trunc('month', {{ date }}) as date",
    ),
    (MIDDLE.format("vat_boxes"), "then '4b'", "then '2a'"),
    (MIDDLE.format("vat_boxes"), "then 1 else -1 end", "then -1 else -1 end"),
    (CASH, "gl_account_type = 35", "gl_account_type = 30"),
    (CASH, "entry_type = 10", "entry_type = 11"),
    (
        MIDDLE.format("monthly_balances"),
        "exact_add_months('month', '1')",
        "exact_add_months('month', '0')",
    ),
    (
        MIDDLE.format("postings"),
        "exact_month('l.entry_date')",
        "exact_first_of('l.financial_year', 'least(l.financial_period, 12)')",
    ),
    (DIMENSIONS, "    0, 0, -amount\n", "    0, 0, amount\n"),
    (DIMENSIONS, "financial_year + 1", "financial_year + 2"),
    (MIDDLE.format("classification_levels"), "depth - {{ n }} as level", "{{ n }} + 1 as level"),
    (LEDGER.format("unmapped_gl_accounts"), "where m.gl_account_id is null", "where true"),
    (
        LEDGER.format("working_capital"),
        "by month rows between 11 preceding and current row\n    ) as revenue",
        "by month rows between 12 preceding and current row\n    ) as revenue",
    ),
    (
        LEDGER.format("general_ledger"),
        "y.financial_year < p.financial_year",
        "y.financial_year > p.financial_year",
    ),
    (SALES.format("recurring_revenue_by_month"), "l.line_type = 1", "l.line_type in (1, 2)"),
    (
        SALES.format("recurring_revenue_by_month"),
        "from l.from_date) as integer) + 1",
        "from l.from_date) as integer)",
    ),
    (SALES.format("gross_margin_by_item_month"), "-sum(p.amount)", "sum(p.amount)"),
    (
        "models/marts/projects/exact_online__project_results.sql",
        "transaction_type = 2",
        "transaction_type = 3",
    ),
    (
        "models/marts/control/exact_online__intercompany_balances.sql",
        "when division > counterparty",
        "when division >= counterparty or true",
    ),
    ("models/marts/control/exact_online__reconciliation.sql", "else '20, 50' }}", "else '50' }}"),
]


def broken(folder: Path, file: str, old: str, new: str) -> Path:
    """A copy of the dbt package with one change."""
    shutil.copytree(models_folder(), folder, ignore=shutil.ignore_patterns("target", "logs"))
    text = (folder / file).read_text("utf-8")
    assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times"
    (folder / file).write_text(text.replace(old, new), "utf-8")
    return folder


@cache
def unbroken() -> Tables:
    return build(
        awkward_books("duckdb"), "duckdb", schema="unbroken", exact_open_items_from="ledger"
    )


@pytest.mark.parametrize(("file", "old", "new"), MUTANTS, ids=range(len(MUTANTS)))
def test_a_broken_rule_is_noticed(file: str, old: str, new: str, tmp_path: Path) -> None:
    like = unbroken()
    books = like.books
    folder = broken(tmp_path / "dbt", file, old, new)
    rows_of = build(
        books, "duckdb", folder, schema="mutant", like=like, exact_open_items_from="ledger"
    )
    found = next(differences(rows_of, books.box.divisions), None)
    unequal = [r for r in rows_of("exact_online__reconciliation") if r["difference_amount"]]
    assert found or unequal
