"""The awkward companies, loaded into each database, and the figures that an accountant expects of them.

``tests/books/awkward_figures.csv`` contains the figures, calculated by hand from the tables in
``exact_source/sandbox/data/company/awkward``. A row names a company, a model, a condition on its columns and
a column: the values there add up to the figure, or are all the text or the date; ``-`` means no row.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from exact_source.report.figures import Figures
from exact_source.report.models import Models, models_folder
from exact_source.sandbox.data.company.awkward import COMPANIES
from tests.support import books as plain
from tests.support.books import ROOT, Books
from tests.support.postgres import fresh_database
from tests.support.world import DATASET, make_box

FIGURES = ROOT / "tests" / "books" / "awkward_figures.csv"
AS_OF = "2026-03-31"
SCHEMA = "by_hand"
READ = re.compile("<<(.+?)>>")
ENTITIES = (
    "accounts", "budgets", "divisions", "financial_periods", "gl_account_classification_mappings",
    "gl_accounts", "gl_classifications", "items", "journals", "payments", "receivables",
    "reporting_balance", "returns", "sales_order_lines", "sales_orders", "subscription_lines",
    "subscriptions", "time_cost_transactions", "transaction_lines", "vat_codes",
)  # fmt: skip
Row = Mapping[str, Any]
KINDS = [
    pytest.param("duckdb", marks=pytest.mark.xdist_group("awkward on duckdb")),
    pytest.param(
        "postgres", marks=[pytest.mark.xdist_group("awkward on postgres"), pytest.mark.nightly]
    ),
    pytest.param("bigquery", marks=[pytest.mark.xdist_group("bigquery"), pytest.mark.nightly]),
]


@dataclass(frozen=True)
class Figure:
    """One expected figure; ``line`` is its line in the file."""

    line: int
    company: str
    model: str
    where: Mapping[str, str]
    column: str
    expected: str

    def differs(self, rows: Sequence[Row]) -> str | None:
        """The difference between the rows of the model and the figure; ``None`` if equal."""
        found = [row for row in rows if all(_text(row[k]) == v for k, v in self.where.items())]
        if self.expected == "-":
            return f"{self._name}: {len(found)} rows, none expected" if found else None
        if not found:
            return f"{self._name}: no row, {self.expected} expected"
        values = [row[self.column] for row in found]
        if all(isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in values):
            total = sum((Decimal(str(v)) for v in values), Decimal(0))
            same = total == Decimal(self.expected)
            return None if same else f"{self._name}: {total}, {self.expected} expected"
        texts = {_text(v) for v in values}
        return (
            None if texts == {self.expected} else f"{self._name}: {texts}, {self.expected} expected"
        )

    @property
    def _name(self) -> str:
        return f"line {self.line}: {self.company} {self.model} {dict(self.where)} {self.column}"


@cache
def figures() -> tuple[Figure, ...]:
    with FIGURES.open(newline="") as file:
        return tuple(
            Figure(
                line,
                row["company"],
                row["model"],
                dict(part.split("=", 1) for part in row["where"].split("; ") if part),
                row["column"],
                row["expected"],
            )
            for line, row in enumerate(csv.DictReader(file), 2)
        )


def differences(rows_of: Callable[[str], Sequence[Row]], divisions: Sequence[int]) -> Iterator[str]:
    """All differences between the models and the file.

    Args:
        rows_of: Function that returns all rows of a model.
        divisions: Division codes in the order of the companies.
    """
    code = dict(zip(COMPANIES, divisions, strict=True))
    by_model: defaultdict[str, list[Figure]] = defaultdict(list)
    for figure in figures():
        by_model[figure.model].append(figure)
    for model, wanted in by_model.items():
        rows = rows_of(model)
        for figure in wanted:
            mine = rows if figure.company == "*" else [
                row for row in rows if row["division"] == code[figure.company]
            ]  # fmt: skip
            if said := figure.differs(mine):
                yield said


@dataclass(frozen=True)
class Tables:
    """Tables that were built; a call returns the rows of one, which are read once.

    Attributes:
        schema: Where they are.
        queries: SQL of all models, with ``<<name>>`` where one reads another.
        own: Models that were built; those of ``like`` stand for the others.
    """

    books: Books
    kind: str
    schema: str
    queries: Mapping[str, str]
    own: frozenset[str]
    like: Tables | None
    _rows: dict[str, Sequence[Row]] = field(default_factory=dict)

    def __call__(self, model: str) -> Sequence[Row]:
        if model not in self.own and self.like is not None:
            return self.like(model)
        if model not in self._rows:
            self._rows[model] = self.books.rows(self.kind, f"SELECT * FROM {self.place(model)}")
        return self._rows[model]

    def place(self, model: str) -> str:
        """Qualified name of the table of a model."""
        if model not in self.own and self.like is not None:
            return self.like.place(model)
        return f"{self.schema}.{model}"

    def sql(self, model: str) -> str:
        """The query of a model."""
        return READ.sub(lambda found: self.place(found[1]), self.queries[model])


def build(
    books: Books,
    kind: str,
    folder: Path | None = None,
    *,
    schema: str = SCHEMA,
    like: Tables | None = None,
    **variables: Any,
) -> Tables:
    """Create the tables of all models without dbt.

    Args:
        books: The loaded books.
        kind: Kind of database.
        folder: Folder of another dbt package.
        schema: Schema for the tables; it is dropped first.
        like: Tables in another schema of these books; only what differs from them is built.
        variables: dbt variables of the package.
    """
    queries = _queries(books, kind, folder or models_folder(), variables)
    reads = {name: READ.findall(sql) for name, sql in queries.items()}
    order, own = list(TopologicalSorter(reads).static_order()), set[str]()
    for name in order:
        if (
            like is None
            or like.queries.get(name) != queries[name]
            or not own.isdisjoint(reads[name])
        ):
            own.add(name)
    tables = Tables(books, kind, schema, queries, frozenset(own), like)
    books.run(
        kind,
        [
            f"DROP SCHEMA IF EXISTS {schema} CASCADE",
            f"CREATE SCHEMA {schema}",
            *(f"CREATE TABLE {schema}.{n} AS {tables.sql(n)}" for n in order if n in own),
        ],
    )
    return tables


def _queries(books: Books, kind: str, folder: Path, variables: Mapping[str, Any]) -> dict[str, str]:
    loaded = {table for table, *_ in books.types(kind, DATASET)}
    models = Models(
        folder,
        kind,
        f"{DATASET}.{{}}".format,
        built="<<{}>>".format,
        variables={"exact_as_of": AS_OF, "exact_dataset": DATASET, **variables},
        quote=("`{}`" if kind == "bigquery" else '"{}"').format,
        is_loaded=lambda table: table in loaded,
    )
    files = (folder / "models").rglob("*.sql")
    return {path.stem: models.render(path.read_text("utf-8")) for path in files}


def ask(books: Books, sql: str, folder: Path | None = None, **variables: Any) -> list[Row]:
    """The rows of a query that refers to models, on DuckDB, with no table built.

    Args:
        books: The loaded books.
        sql: Query with ``ref``.
        folder: Folder of another dbt package.
        variables: dbt variables of the package.
    """
    loaded = {table for table, *_ in books.types("duckdb", DATASET)}
    models = Models(
        folder or models_folder(),
        "duckdb",
        f"{DATASET}.{{}}".format,
        variables={"exact_as_of": AS_OF, "exact_dataset": DATASET, **variables},
        is_loaded=lambda table: table in loaded,
    )
    return list(books.rows("duckdb", models.render(sql)))


def built(books: Books, kind: str) -> Callable[[str], Sequence[Row]]:
    """A function that gives the rows of a table that dbt built."""
    return lambda model: books.rows(kind, f"select * from {plain.MARTS}.{model}")


def read(books: Books, kind: str, marts: str) -> Figures:
    """The figures of the report, from tables that were built."""
    return books.figures(kind, marts, date.fromisoformat(AS_OF))


@cache
def awkward_books(kind: str = "duckdb") -> Books:
    """Loaded once for all tests; Postgres and BigQuery only if a test needs them."""
    box = make_box(companies="awkward", page_size=60, large_page_size=1000, minute_limit=10_000)
    with ExitStack() as stack:
        postgres = stack.enter_context(fresh_database()) if kind == "postgres" else None
        kept = stack.pop_all()
    plain.at_exit(kept)
    return plain.loaded(box, postgres, [kind], ENTITIES)


def _text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()[:10]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return "" if value is None else str(value)
