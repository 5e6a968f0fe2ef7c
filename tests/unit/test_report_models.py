"""The models of the dbt package, rendered without dbt."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import duckdb
import pytest
import sqlglot

from exact_source.errors import ConfigurationError
from exact_source.report import models
from exact_source.report.models import Models, models_folder

FOLDER = models_folder()
FILES = sorted((FOLDER / "models").rglob("*.sql"))
# What no other model reads; rendered, they hold the others. ``data_as_of`` only names them.
READ = {
    name
    for path in FILES
    if path.stem != "exact_online__data_as_of"
    for name in re.findall(r"ref\('(\w+)'\)", path.read_text())
}
LEAVES = [path.stem for path in FILES if path.stem not in READ]
DIALECTS = ("duckdb", "postgres", "bigquery")


@cache
def models_of(dialect: str) -> Models:
    """The models with all defaults, whose templates are compiled once."""
    return make(dialect)


def make(dialect: str, **settings: object) -> Models:
    return Models(FOLDER, dialect, "exact_online.{}".format, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", LEAVES)
def test_is_sql_of_each_database(name: str, dialect: str) -> None:
    sql = models_of(dialect).render(f"select * from {{{{ ref('{name}') }}}}")
    (statement,) = sqlglot.parse(sql, read=dialect)
    assert statement is not None
    assert statement.key == "select"
    # All of dbt's functions are resolved, and every model comes before those that read it.
    assert "{{" not in sql
    assert "{%" not in sql
    known: set[str] = set()
    for common in statement.args["with_"].expressions:
        assert common.alias not in known
        known.add(common.alias)


def test_amounts_never_become_floats() -> None:
    for path in (*FILES, *(FOLDER / "macros").glob("*.sql")):
        assert not re.search(r"\bas (float|double|real)", path.read_text(), re.IGNORECASE)


# What they show is true of the last sync.
UNDATED = {
    "exact_online__intercompany_balances",
    "exact_online__order_backlog_consolidated",
    "exact_online__stock_value",
    "exact_online__stock_value_consolidated",
    "exact_online__unmapped_gl_accounts",
}


def test_what_is_about_time_has_a_date() -> None:
    dated = r"- name: (?:month|day|as_of|period_start|\w+_date|\w+_at)\n"
    models: dict[str, str] = {}
    for path in (FOLDER / "models" / "marts").rglob("*.yml"):
        _, *found = path.read_text().split("\n  - name: ")
        models |= {text.split("\n", 1)[0]: text for text in found}
    assert len(models) > 30
    undated = {name for name, text in models.items() if not re.search(dated, text)}
    assert undated == UNDATED
    page = (Path(__file__).parents[2] / "docs" / "dbt.md").read_text()
    names = {name.removeprefix("exact_online__") for name in UNDATED}
    assert all(f"`{name.removesuffix('_consolidated')}" in page for name in names)


def test_combined_feeds_are_never_read() -> None:
    read = r"(?:source\('exact_online',|exact_table\() ?'(\w+)'"
    tables = {name for path in FILES for name in re.findall(read, path.read_text())}
    assert {"_exact_syncs", "gl_accounts", "transaction_lines", "receivables"} <= tables
    assert not {name for name in tables if name.startswith("sync_") or name == "payment_terms"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_settings_change_the_sql(dialect: str) -> None:
    variables = {
        "exact_processed_only": True, "exact_payable_types": [22, 25],
        "exact_excluded_entry_types": [3000], "exact_as_of": "2025-12-31",
    }  # fmt: skip
    models = make(dialect, variables=variables, is_loaded=lambda table: table != "items")
    payables = models.render("select * from {{ ref('exact_online__open_payables') }}")
    items = models.render("select * from {{ ref('exact_online__revenue_by_item_month') }}")
    for sql in (payables, items):
        assert len(sqlglot.parse(sql, read=dialect)) == 1
    assert "l.status = 50" in payables
    assert "in (22, 25)" in payables
    assert "not in (3000)" in payables
    assert "cast('2025-12-31' as date)" in payables
    assert "exact_online.items" not in items


def test_built_tables_take_the_place_of_models() -> None:
    sql = make("duckdb", built="marts.{}".format).query("companies", only="")
    assert "from marts.exact_online__dim_divisions" in sql
    assert "stg_exact" not in sql


def test_an_old_credit_does_not_make_a_customer_later_than_the_invoices_are() -> None:
    sql = make("duckdb", built="{}".format).query("overdue", only="")
    with duckdb.connect() as database:
        database.execute(
            "CREATE TABLE exact_online__open_receivables AS SELECT * FROM (VALUES "
            "('EUR', 7, 'vat 1', 'Ann', 100, 5), ('EUR', 7, 'vat 1', 'Ann', -10, 200)) "
            "AS rows(currency, division, consolidation_key, account_name, open_amount, days_overdue)"
        )
        assert database.execute(sql).fetchall() == [("EUR", "Ann", 90, 90, 5, 7, 1)]


def test_a_query_of_its_own_comes_after_the_models() -> None:
    sql = make("postgres").query("customers", only="", since="'2025-01-01'", until="'2025-12-01'")
    (statement,) = sqlglot.parse(sql, read="postgres")
    assert statement is not None
    names = [common.alias for common in statement.args["with_"].expressions]
    assert names.index("exact_online__revenue_by_customer_month") < names.index("customers")


def test_databases_that_spell_differently_get_their_own_words() -> None:
    model = "select * from {{ ref('exact_online__open_receivables') }}"
    assert "date_diff(" in make("bigquery").render(model)
    assert "date_diff(" not in make("postgres").render(model)


def test_missing_models_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(models, "PLACES", (tmp_path,))
    with pytest.raises(ConfigurationError, match="missing from this installation"):
        models_folder()
