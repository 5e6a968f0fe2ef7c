"""The dbt package builds on what was loaded, adds up, and says so when the books do not."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exact_source.cli.app import run
from tests.support.books import (
    BUILT_KINDS,
    ENTITIES,
    LINES,
    MARTS,
    ON_DUCKDB,
    REGISTER,
    ROOT,
    TODAY,
    VAT_NUMBER,
    Books,
    Built,
    Dbt,
    built_books,
    loaded_books,
    parties,
)  # fmt: skip

pytestmark = [pytest.mark.timeout(600), ON_DUCKDB]
Line = dict[str, Any]
CENT = Decimal("0.01")


GROUPS = [
    *BUILT_KINDS,
    pytest.param(
        "bigquery",
        marks=[
            pytest.mark.xdist_group("bigquery"),
            pytest.mark.skipif(
                "EXACT_TEST_PROOFS" not in os.environ, reason="takes minutes: make proofs"
            ),
        ],
    ),
]


@pytest.fixture(scope="module", params=GROUPS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def books(kind: str) -> Books:
    return loaded_books(kind)


@pytest.fixture(scope="module")
def built(books: Books, kind: str) -> Built:
    return built_books(kind)


# -- it builds ---------------------------------------------------------------------------------------


def test_builds_with_all_tests_passed(built: Built, kind: str) -> None:
    assert built.code == 0, built.output
    assert built.with_status("error", "fail", "skipped") == set()
    assert built.with_status("warn") == {
        "periods_have_dates_of_the_calendar",  # their table is not loaded
        "transaction_lines_have_an_account_that_still_exists",
    }
    assert len(built.with_status("success")) > 40
    assert len(built.with_status("pass")) > 150


def test_models_and_columns_are_the_documented_ones(books: Books, built: Built, kind: str) -> None:
    assert built.code == 0
    manifest = json.loads((books.folder / f"dbt_{kind}" / "manifest.json").read_text())
    models = [n for n in manifest["nodes"].values() if n["resource_type"] == "model"]
    documented = {n["name"]: {c["name"] for c in n["columns"].values()} for n in models}
    assert books.columns(kind, MARTS) == documented
    assert all(n["description"] for n in models)
    assert all(c["description"] for n in models for c in n["columns"].values())
    tested = {
        node
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test"
        for node in test["depends_on"]["nodes"]
    }
    assert {n["unique_id"] for n in models} <= tested
    first = "model.exact_online.stg_exact_online__loaded_until"
    for node in models:  # else a load that arrives meanwhile would count as shown
        reads = [n for n in node["depends_on"]["nodes"] if n.startswith("source.")]
        assert not reads or first in {node["unique_id"], *node["depends_on"]["nodes"]}


def test_amounts_are_exact_decimals_and_days_are_dates(
    books: Books, built: Built, kind: str
) -> None:
    assert built.code == 0
    found = books.types(kind, MARTS)
    assert found
    money = ("amount", "balance", "debit", "credit", "movement", "revenue", "cost", "not_due")
    for _, column, data_type in found:
        if column.endswith(("due_date", "order_date", "entry_date", "invoice_date")) or column in {
            "month",
            "day",
            "as_of",
        }:
            assert data_type.lower() == "date", column
        elif column.endswith(money) or "overdue_" in column:
            assert data_type.lower().startswith(("decimal", "numeric")), (column, data_type)
        assert data_type.lower() not in {"double", "double precision", "real", "float64"}, column


# -- it says what the companies say ------------------------------------------------------------------


def lines_of(books: Books) -> Iterator[Line]:
    for division in books.box.divisions:
        for row in books.box.rows(LINES, division):
            yield row | {"division": division, "cents": cents(row["AmountDC"])}


def cents(amount: float) -> Decimal:
    return Decimal(str(amount))


def balance_types(books: Books) -> dict[str, tuple[str, int]]:
    return {
        row["ID"]: (row["BalanceType"], row["Type"])
        for division in books.box.divisions
        for row in books.box.rows("financial/GLAccounts", division)
    }


def sums(lines: Iterator[Line], by: Callable[[Line], Any]) -> dict[Any, Decimal]:
    found: defaultdict[Any, Decimal] = defaultdict(Decimal)
    for line in lines:
        found[by(line)] += line["cents"]
    return {key: total for key, total in found.items() if total}


def mart(books: Books, kind: str, table: str, columns: str, where: str = "1 = 1") -> Any:
    return books.sql(kind, f"SELECT {columns} FROM {MARTS}.{table} WHERE {where}")


def test_trial_balance_closes_as_the_lines_do(books: Books, built: Built, kind: str) -> None:
    assert built.code == 0
    types = balance_types(books)

    def counts(line: Line) -> bool:
        before = (line["FinancialYear"], line["FinancialPeriod"]) <= (2025, 9)
        same_year = line["FinancialYear"] == 2025 or types[line["GLAccount"]][0] == "B"
        return bool(before and same_year)

    wanted = sums(
        (line for line in lines_of(books) if counts(line)),
        lambda line: (line["division"], line["GLAccountCode"]),
    )
    found = mart(
        books, kind, "exact_online__trial_balance", "division, gl_account_code, closing_balance",
        "financial_year = 2025 AND financial_period = 9 AND row_type = 'account'",
    )  # fmt: skip
    assert {(d, code): amount for d, code, amount in found if amount} == wanted
    assert len(wanted) > 10


def test_soft_deleted_rows_count_nowhere(books: Books, built: Built, kind: str) -> None:
    assert built.code == 0
    marked = books.sql(
        kind, "SELECT count(*) FROM exact_online.transaction_lines WHERE _deleted_at IS NOT NULL"
    )
    assert marked[0][0] >= 3
    ((lines, amount),) = mart(
        books, kind, "exact_online__general_ledger", "count(*), sum(abs(amount))"
    )
    wanted = [abs(line["cents"]) for line in lines_of(books)]
    assert (lines, amount) == (len(wanted), sum(wanted))


def test_lines_0_and_9999_are_named_and_count_once(books: Books, built: Built, kind: str) -> None:
    """They are postings: each entry balances with them, and would not without."""
    assert built.code == 0
    wanted: defaultdict[str, list[Decimal]] = defaultdict(list)
    for line in lines_of(books):
        name = {0: "header", 9999: "automatic"}.get(line["LineNumber"], "line")
        wanted[name].append(line["cents"])
    assert set(wanted) == {"header", "automatic", "line"}
    found = mart(
        books, kind, "stg_exact_online__transaction_lines", "line_kind, count(*), sum(amount)",
        "1 = 1 GROUP BY line_kind",
    )  # fmt: skip
    assert {name: (count, total) for name, count, total in found} == {
        name: (len(amounts), sum(amounts)) for name, amounts in wanted.items()
    }
    count = sum(map(len, wanted.values()))
    assert mart(books, kind, "exact_online__general_ledger", "count(*), sum(amount)") == [
        (count, 0)
    ]


@pytest.mark.parametrize(
    ("entry_type", "table", "amount", "sign"),
    [
        (20, "exact_online__open_receivables", "open_amount", 1),
        (20, "exact_online__revenue_by_customer_month", "revenue", -1),
        (30, "exact_online__open_payables", "open_amount", -1),
    ],
)
def test_a_party_of_two_companies_is_one_when_consolidated(
    books: Books, built: Built, kind: str, entry_type: int, table: str, amount: str, sign: int
) -> None:
    assert built.code == 0
    types = {20: 20, 30: 22} if amount == "open_amount" else {20: 110}
    shared = [(d, parties(books.box, d, entry_type)[-1]) for d in books.box.divisions]
    charts = balance_types(books)
    wanted = sum(
        sign * line["cents"]
        for line in lines_of(books)
        if (line["division"], line["Account"]) in shared
        and charts[line["GLAccount"]][1] == types[entry_type]
    )
    key = f"vat {VAT_NUMBER}" if entry_type == 20 else f"register NL {REGISTER[0]}"
    known = mart(
        books,
        kind,
        "exact_online__dim_accounts",
        "division, account_id",
        f"consolidation_key = '{key}'",
    )
    assert sorted(known) == sorted(shared)
    found = mart(
        books, kind, f"{table}_consolidated", f"coalesce(sum({amount}), 0)",
        f"consolidation_key = '{key}'",
    )  # fmt: skip
    assert found == [(wanted,)]
    if table == "exact_online__revenue_by_customer_month":
        assert wanted > 0


def test_profit_and_loss_is_that_of_the_lines(books: Books, built: Built, kind: str) -> None:
    assert built.code == 0
    types = balance_types(books)
    wanted = sums(
        (line for line in lines_of(books) if types[line["GLAccount"]][0] == "W"),
        lambda line: (line["division"], line["FinancialYear"], line["FinancialPeriod"]),
    )
    found = mart(
        books, kind, "exact_online__profit_and_loss",
        "division, financial_year, financial_period, sum(amount)",
        "amount <> 0 GROUP BY division, financial_year, financial_period",
    )  # fmt: skip
    assert {key: -amount for *keys, amount in found for key in [tuple(keys)] if amount} == wanted


def test_open_items_are_those_of_exact(books: Books, built: Built, kind: str) -> None:
    """Exact's own lists of open items say the same, invoice by invoice."""
    assert built.code == 0
    for table, path in (("receivables", "cashflow/Receivables"), ("payables", "cashflow/Payments")):
        wanted: defaultdict[tuple[int, int], Decimal] = defaultdict(Decimal)
        for division in books.box.divisions:
            live = {row["ID"] for row in books.box.rows(LINES, division)}
            for row in books.box.rows(path, division):
                if row["Status"] == 20 and row["TransactionID"] in live:
                    wanted[division, row["InvoiceNumber"]] += cents(row["AmountDC"])
        found = mart(
            books, kind, f"exact_online__open_{table}", "division, invoice_number, open_amount"
        )
        assert {(d, number): amount for d, number, amount in found} == dict(wanted)
        assert wanted


def test_open_items_are_as_old_as_their_due_dates_say(
    books: Books, built: Built, kind: str
) -> None:
    assert built.code == 0
    due = {
        (row["division"], row["InvoiceNumber"]): row["DueDate"].date()
        for row in lines_of(books)
        if row.get("DueDate")
    }
    found = mart(
        books, kind, "exact_online__open_receivables",
        "division, invoice_number, due_date, days_overdue, ageing_bucket, as_of",
    )  # fmt: skip
    for division, number, due_date, days, bucket, as_of in found:
        assert as_of == TODAY
        assert due_date == due[division, number]
        assert days == (TODAY - due_date).days
        assert bucket == bucket_of(days)


def bucket_of(days: int) -> str:
    for most, name in ((0, "not due"), (30, "1-30"), (60, "31-60"), (90, "61-90")):
        if days <= most:
            return name
    return "over 90"


def test_revenue_of_a_customer_is_that_of_the_invoices(
    books: Books, built: Built, kind: str
) -> None:
    assert built.code == 0
    wanted: defaultdict[tuple[int, str, date], Decimal] = defaultdict(Decimal)
    for division in books.box.divisions:
        for row in books.box.rows("salesinvoice/SalesInvoices", division):
            month = row["InvoiceDate"].date().replace(day=1)
            wanted[division, row["OrderedBy"], month] += cents(row["AmountFCExclVat"])
    found = mart(
        books,
        kind,
        "exact_online__revenue_by_customer_month",
        "division, account_id, month, revenue",
    )
    assert {(d, account, m): revenue for d, account, m, revenue in found} == dict(wanted)


def test_names_come_from_the_customers_and_outlive_them(
    books: Books, built: Built, kind: str
) -> None:
    assert built.code == 0
    names = mart(
        books,
        kind,
        "exact_online__dim_accounts",
        "account_name, is_gone",
        "is_gone OR account_code = ''",
    )
    assert len(names) == 1
    assert names[0][0]
    renamed = mart(
        books,
        kind,
        "exact_online__revenue_by_customer_month",
        "count(*)",
        "account_name = 'Renamed & Co'",
    )
    assert renamed[0][0] > 0


def test_backlog_is_what_is_not_delivered(books: Books, built: Built, kind: str) -> None:
    assert built.code == 0
    wanted: Decimal = Decimal(0)
    for division in books.box.divisions:
        status = {
            r["OrderID"]: r["Status"] for r in books.box.rows("salesorder/SalesOrders", division)
        }
        for row in books.box.rows("salesorder/SalesOrderLines", division):
            if status[row["OrderID"]] in {12, 20} and row["QuantityDelivered"] < row["Quantity"]:
                wanted += cents(row["AmountDC"])
    assert mart(books, kind, "exact_online__order_backlog", "sum(amount_open)") == [(wanted,)]
    assert wanted > 0


def test_stock_is_valued_at_cost(books: Books, built: Built, kind: str) -> None:
    assert built.code == 0
    wanted = sum(
        (cents(row["Stock"]) * cents(row["CostPriceStandard"])).quantize(CENT)
        for division in books.box.divisions
        for row in books.box.rows("logistics/Items", division)
        if row["IsStockItem"]
    )
    assert mart(books, kind, "exact_online__stock_value", "sum(stock_value)") == [(wanted,)]
    assert wanted > 0


def test_sync_health_tells_of_both_syncs(books: Books, built: Built, kind: str) -> None:
    assert built.code == 0
    runs = mart(
        books,
        kind,
        "exact_online__sync_runs",
        "streams, rows_loaded, failed_streams",
        "1 = 1 ORDER BY 1",
    )
    assert len(runs) == 2
    streams = books.sql(
        kind, "SELECT count(*), sum(calls + shared_calls) FROM exact_online._exact_syncs"
    )
    assert sum(run[0] for run in runs) == streams[0][0]
    health = mart(
        books, kind, "exact_online__sync_health", "count(*), sum(syncs), min(last_status)"
    )
    assert health[0][1:] == (streams[0][0], "complete")
    assert health[0][0] * 2 == streams[0][0]
    companies = {row["Code"]: row["Description"] for row in books.box.rows("system/Divisions", 0)}
    named = mart(
        books, kind, "stg_exact_online__syncs", "DISTINCT division, division_name", "division <> 0"
    )
    assert dict(named) == companies


NEEDED = {"_exact_syncs", "gl_accounts", "transaction_lines"}


@pytest.mark.nightly
def test_builds_on_the_least_that_can_be_loaded(dbt: Dbt, tmp_path: Path) -> None:
    """What was not loaded counts as empty; ``dbt source freshness`` tells of syncs that stopped."""
    copy = loaded_books("duckdb").copy(tmp_path)
    with duckdb.connect(str(tmp_path / "exact.duckdb")) as database:
        database.execute(f"DROP SCHEMA IF EXISTS {MARTS} CASCADE")
        for table in set(ENTITIES) - NEEDED:
            database.execute(f"DROP TABLE exact_online.{table}")
    some = {"exact_entries_until": "2025-06-30", "exact_processed_only": True}
    built = dbt(copy, "duckdb", "build", **some)
    assert built.code == 0, built.output
    assert built.results["trial_balance_has_every_posting"] == "pass"
    assert mart(
        copy, "duckdb", "exact_online__general_ledger", "max(entry_date) <= '2025-06-30'"
    ) == [(True,)]
    for empty in ("exact_online__stock_value", "exact_online__order_backlog"):
        assert mart(copy, "duckdb", empty, "count(*)") == [(0,)]
    assert mart(copy, "duckdb", "exact_online__revenue_by_item_month", "count(*)") > [(0,)]

    assert dbt(copy, "duckdb", "source", "freshness").code == 1  # of March
    with duckdb.connect(str(tmp_path / "exact.duckdb")) as database:
        database.execute("UPDATE exact_online._exact_syncs SET ended_at = now()")
    assert dbt(copy, "duckdb", "source", "freshness").code == 0


PAGE = (ROOT / "docs" / "dbt.md").read_text()
IN_PACKAGES, VARS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OWN_PROJECT = {
    "packages.yml": IN_PACKAGES,
    "dbt_project.yml": (
        "name: own\nversion: 1.0.0\nprofile: own\nmodel-paths: [models]\n"
        + VARS
        + "    exact_sections_from: sections\n"
        + "models:\n  exact_online:\n    +schema: finance\n"
    ),
    "seeds/sections.csv": "gl_account_code,gl_account_type,section\n,20,other_assets\n",
    "models/dim_accounts.sql": "select 'mine' as dim_accounts\n",
    "profiles.yml": (
        "own: {target: dev, outputs: {dev: {type: duckdb, path: demo/exact.duckdb, schema: own}}}"
    ),
    "models/owed.sql": (
        "select division, sum(open_amount) as owed\n"
        "from {{ ref('exact_online__open_receivables') }} group by division\n"
    ),
}


@pytest.mark.nightly
def test_a_project_of_ones_own_uses_it_as_a_package_on_what_the_demo_loaded(
    dbt: Dbt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    (tmp_path / "exact-source").symlink_to(ROOT)
    for folder in ("models", "seeds"):
        (project / folder).mkdir(parents=True)
    for name, text in OWN_PROJECT.items():
        (project / name).write_text(text)
    assert run(["demo", "--folder", str(project / "demo"), "--invoices", "40"]) == 0
    capsys.readouterr()

    dbt.own(project, "deps")
    dbt.own(project, "build", "--select", "+owed", "--indirect-selection", "buildable")

    with duckdb.connect(str(project / "demo" / "exact.duckdb")) as database:
        wanted = database.execute(
            "SELECT division, sum(amount_dc) FROM exact_online.transaction_lines "
            "WHERE gl_account_code = '1300' GROUP BY 1 HAVING sum(amount_dc) <> 0"
        ).fetchall()
        assert sorted(database.execute("SELECT * FROM own.owed").fetchall()) == sorted(wanted)
        sections = database.execute(
            "SELECT DISTINCT section FROM own_finance.exact_online__dim_gl_accounts "
            "WHERE gl_account_type = 20"
        )
        assert sections.fetchall() == [("other_assets",)]
    assert wanted
    built = json.loads((project / "target" / "run_results.json").read_text())["results"]
    assert any("in (20, 21)" in (result["compiled_code"] or "") for result in built)


# -- it notices --------------------------------------------------------------------------------------

BREAKS = {
    "UPDATE exact_online.transaction_lines SET amount_dc = amount_dc + 0.01 "
    "WHERE id = (SELECT min(id) FROM exact_online.transaction_lines WHERE _deleted_at IS NULL)": (
        "debit_equals_credit_per_entry"
    ),
    "INSERT INTO exact_online.transaction_lines SELECT * FROM exact_online.transaction_lines "
    "WHERE entry_id = (SELECT max(entry_id) FROM exact_online.transaction_lines "
    "WHERE _deleted_at IS NULL)": "lines_are_unique",
    "DELETE FROM exact_online.gl_accounts WHERE code = '8000'": (
        "transaction_lines_have_a_ledger_account"
    ),
    "DELETE FROM exact_online.divisions WHERE code = (SELECT max(code) FROM "
    "exact_online.divisions)": "transaction_lines_have_a_company",
    "DELETE FROM exact_online.sales_orders WHERE status = 12": "sales_order_lines_have_an_order",
    "UPDATE exact_online.gl_accounts SET balance_type = 'X' WHERE code = '1100'": (
        "balance_types_are_known"
    ),
}


@pytest.mark.nightly
def test_fails_on_broken_books(dbt: Dbt, tmp_path: Path) -> None:
    """Each fault is found by the test that is there for it, and nothing is built on it."""
    broken = loaded_books("duckdb").copy(tmp_path)
    with duckdb.connect(str(tmp_path / "exact.duckdb")) as database:
        database.execute(f"DROP SCHEMA IF EXISTS {MARTS} CASCADE")
        for statement in BREAKS:
            database.execute(statement)
    built = dbt(
        broken,
        "duckdb",
        "build",
        "--select",
        "+exact_online__profit_and_loss",
        "+exact_online__order_backlog",
    )
    assert built.code == 1
    assert set(BREAKS.values()) <= built.with_status("fail")
    assert {
        "exact_online__profit_and_loss",
        "exact_online__order_backlog",
    } <= built.with_status("skipped")
    assert "exact_online__profit_and_loss" not in broken.columns("duckdb", MARTS)


MART_BREAKS = {
    "UPDATE {m}.exact_online__trial_balance SET closing_balance = closing_balance + 0.01 "
    "WHERE gl_account_code = '1100' AND financial_year = 2025": {
        "trial_balance_closes_at_zero",
        "balance_sheet_ties_to_the_trial_balance",
    },
    "DELETE FROM {m}.exact_online__open_receivables WHERE item_key = (SELECT max(item_key) FROM "
    "{m}.exact_online__open_receivables)": {"open_receivables_equal_the_ledger"},
    "DELETE FROM {m}.exact_online__general_ledger WHERE line_id = (SELECT max(line_id) FROM "
    "{m}.exact_online__general_ledger)": {
        "general_ledger_balances_per_entry",
        "general_ledger_equals_the_trial_balance",
    },
    "UPDATE {m}.exact_online__revenue_by_item_month SET revenue = revenue * 2": {
        "revenue_by_item_is_that_of_profit_and_loss"
    },
    "UPDATE {m}.exact_online__profit_and_loss SET amount = 0, amount_year_to_date = 0 "
    "WHERE section = 'revenue'": {
        "profit_and_loss_and_balance_sheet_tie_together",
        "result_on_the_balance_sheet_is_that_of_profit_and_loss",
        "profit_and_loss_ties_to_the_trial_balance",
        "revenue_by_customer_is_that_of_profit_and_loss",
    },
}


@pytest.mark.nightly
def test_tests_of_the_marts_fail_on_wrong_marts(dbt: Dbt, tmp_path: Path) -> None:
    built = built_books("duckdb")
    assert built.code == 0, built.output
    broken = loaded_books("duckdb").copy(tmp_path)
    with duckdb.connect(str(tmp_path / "exact.duckdb")) as database:
        for statement in MART_BREAKS:
            database.execute(statement.format(m=MARTS))
    tested = dbt(broken, "duckdb", "test", "--select", "tag:marts,test_type:data")
    assert tested.code == 1
    assert set.union(*MART_BREAKS.values()) <= tested.with_status("fail")
