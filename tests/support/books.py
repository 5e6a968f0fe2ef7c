"""Two companies with a few years of books, loaded into DuckDB, Postgres and BigQuery's emulator.

They are loaded once into each database: all tests of one run in one process, by the group of ``KINDS``.

Entries have lines 0 and 9999, as Exact's have, and one customer and one supplier are in both companies.
After a first load a customer is renamed, and a customer with postings, an item and a purchase with its
payment are deleted. The deleted rows are kept and marked (`deletes="soft"`).
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import dlt
import pytest

from exact_source.report.figures import Figures
from exact_source.report.reading import read_figures
from exact_source.sandbox import Sandbox
from tests.support.bigquery import bigquery_settings
from tests.support.environments import environment
from tests.support.postgres import fresh_database
from tests.support.world import DATASET, MIDDAY, World, make_box

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipelines" / "dbt"
MARTS = "exact_finance"
TODAY: date = MIDDAY.date()
ENTITIES = (
    "accounts", "divisions", "gl_accounts", "items", "journals", "sales_order_lines",
    "sales_orders", "transaction_lines",
)  # fmt: skip
LINES = "financialtransaction/TransactionLines"
BANK_ENTRY = 40
VAT_NUMBER, REGISTER = "NL812345678B01", ("12345678", "1234 5678")
ON_DUCKDB = pytest.mark.xdist_group("dbt on duckdb")
ON_POSTGRES = pytest.mark.xdist_group("dbt on postgres")
KINDS = (
    pytest.param("duckdb", marks=ON_DUCKDB),
    pytest.param("postgres", marks=ON_POSTGRES),
)
# dbt and the report run on Postgres in `make nightly`; by default the queries of the pages run there.
BUILT_KINDS = (
    pytest.param("duckdb", marks=ON_DUCKDB),
    pytest.param("postgres", marks=[ON_POSTGRES, pytest.mark.nightly]),
)
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Books:
    """The loaded books.

    Attributes:
        box: The sandbox from which they were loaded.
        folder: Folder of the DuckDB file.
        postgres: Address of the database; ``None`` if they are elsewhere.
    """

    box: Sandbox
    folder: Path
    postgres: str | None

    def destination(self, kind: str) -> Any:
        if kind == "duckdb":
            return dlt.destinations.duckdb(str(self.folder / "exact.duckdb"))
        if kind == "bigquery":
            return dlt.destinations.bigquery(location="EU")
        return dlt.destinations.postgres(str(self.postgres))

    def place(self, kind: str) -> str:
        """The value for ``--destination``."""
        if kind == "duckdb":
            return f"duckdb:{self.folder / 'exact.duckdb'}"
        self.destination(kind)
        return str(self.postgres)

    def pipeline(self, kind: str) -> dlt.Pipeline:
        return dlt.pipeline(
            f"books_{kind}",
            destination=self.destination(kind),
            dataset_name=DATASET,
            pipelines_dir=str(self.folder / "pipelines"),
        )

    def copy(self, folder: Path) -> Books:
        """A copy in another DuckDB file that a test may damage."""
        shutil.copy(self.folder / "exact.duckdb", folder / "exact.duckdb")
        parsed = self.folder / "dbt_duckdb" / "partial_parse.msgpack"
        if parsed.exists():  # saves dbt some seconds
            (folder / "dbt_duckdb").mkdir()
            shutil.copy(parsed, folder / "dbt_duckdb")
        return Books(self.box, folder, None)

    def sql(self, kind: str, statement: str) -> Rows:
        with _environ(_reach(kind)), self.pipeline(kind).sql_client() as client:
            return [tuple(row) for row in client.execute_sql(statement) or ()]

    def rows(self, kind: str, statement: str) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        with (
            _environ(_reach(kind)),
            self.pipeline(kind).sql_client() as client,
            client.execute_query(statement) as cursor,
        ):
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def figures(self, kind: str, marts: str, day: date) -> Figures:
        """The figures of the report."""
        with _environ(_reach(kind)):
            return read_figures(
                self.pipeline(kind), day=day, made_at=datetime.now(UTC), marts=marts
            )

    def run(self, kind: str, statements: Sequence[str]) -> None:
        """Execute statements without results."""
        with _environ(_reach(kind)), self.pipeline(kind).sql_client() as client:
            for statement in statements:
                client.execute_sql(statement)

    def columns(self, kind: str, schema: str) -> dict[str, set[str]]:
        """Columns by table or view."""
        found: dict[str, set[str]] = {}
        for table, column, _ in self.types(kind, schema):
            found.setdefault(table, set()).add(column)
        return found

    def types(self, kind: str, schema: str) -> Rows:
        """Table, column and type."""
        where = f"{schema}." if kind == "bigquery" else ""  # each of its datasets has its own list
        return self.sql(
            kind,
            "SELECT table_name, column_name, data_type "
            f"FROM {where}INFORMATION_SCHEMA.COLUMNS WHERE table_schema = '{schema}'",
        )


@pytest.fixture
def books(request: pytest.FixtureRequest) -> Books:
    """The books in the database of the fixture ``kind``; in DuckDB if the test has none."""
    is_one = "kind" not in request.fixturenames
    return loaded_books("duckdb" if is_one else request.getfixturevalue("kind"))


@cache
def loaded_books(kind: str) -> Books:
    """Loaded on first use, each from a sandbox of its own, because its changes cannot be repeated.

    Skips the test if there is no such database.
    """
    box = make_box(companies=2, invoices=60, page_size=60, large_page_size=1000)
    _number(box)
    _share(box)
    with ExitStack() as stack:
        postgres = stack.enter_context(fresh_database()) if kind == "postgres" else None
        at_exit(stack.pop_all())
    return loaded(box, postgres, [kind], ENTITIES, _change)


def loaded(
    box: Sandbox,
    postgres: str | None,
    kinds: Sequence[str],
    entities: Sequence[str],
    change: Callable[[Sandbox], None] | None = None,
) -> Books:
    """Load a sandbox; if it is changed afterwards, load it again."""
    folder = TemporaryDirectory(prefix="exact-books-")
    atexit.register(folder.cleanup)
    books = Books(box, Path(folder.name), postgres)
    reach = {name: value for kind in kinds for name, value in _reach(kind).items()}
    with _environ(_dlt(books.folder) | reach), box.serve() as base_url:
        world = World(box, base_url, books.folder)
        pipelines = [books.pipeline(kind) for kind in kinds]
        _load(world, pipelines, entities)
        if change is not None:
            change(box)
            _load(world, pipelines, entities)
    return books


def _dlt(folder: Path) -> dict[str, str]:
    return {"DLT_DATA_DIR": str(folder / ".dlt"), "DLT_PROJECT_DIR": str(folder)}


def _reach(kind: str) -> Mapping[str, str]:
    """Environment variables of a destination; skips the test if it is not available."""
    return bigquery_settings() if kind == "bigquery" else {}


@contextmanager
def _environ(settings: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


def at_exit(stack: ExitStack) -> None:
    """Close it before the database's server, which was registered earlier."""
    atexit.register(stack.close)


def _load(world: World, pipelines: Sequence[dlt.Pipeline], entities: Sequence[str]) -> None:
    for pipeline in pipelines:
        world.pipeline = pipeline
        outcome = world.sync(*entities, deletes="soft")
        assert outcome.exit_code == 0, outcome.error


def _number(box: Sandbox) -> None:
    """The header's posting on line 0, VAT on line 9999 (API 4.4)."""
    for division in box.divisions:
        for row in box.rows(LINES, division):
            for start, number in (("13", 0), ("16", 0), ("15", 9999)):
                if row["GLAccountCode"].startswith(start) and row["Type"] in {20, 30}:
                    box.update(LINES, division, row["ID"], {"LineNumber": number})


def _share(box: Sandbox) -> None:
    """Add parties that are in both companies: by VAT number in two spellings, and by trade register."""
    register = [{"VATNumber": "", "ChamberOfCommerce": text, "Country": "NL"} for text in REGISTER]
    vat = [{"VATNumber": text} for text in (VAT_NUMBER, "nl8123.45.678 b01")]
    for entry_type, values in ((20, vat), (30, register)):
        for division, value in zip(box.divisions, values, strict=True):
            box.update("crm/Accounts", division, parties(box, division, entry_type)[-1], value)


def parties(box: Sandbox, division: int, entry_type: int) -> list[str]:
    """Accounts with entries of this type: 20 for customers, 30 for suppliers."""
    rows = box.rows(LINES, division)
    return sorted({row["Account"] for row in rows if row["Type"] == entry_type})


def _change(box: Sandbox) -> None:
    division = box.divisions[0]
    lines = box.rows(LINES, division)
    buyers = parties(box, division, 20)
    box.update("crm/Accounts", division, buyers[0], {"Name": "Renamed & Co"})
    box.delete("crm/Accounts", division, buyers[1])
    box.delete("logistics/Items", division, box.rows("logistics/Items", division)[0]["ID"])
    invoice = next(row["InvoiceNumber"] for row in lines if row["Type"] == 30)
    for row in lines:
        if row.get("InvoiceNumber") == invoice:
            box.delete(LINES, division, row["ID"])


def leave_open(box: Sandbox) -> None:
    """Remove all payments, so that small books have open items."""
    for division in box.divisions:
        for row in box.rows(LINES, division):
            if row["GLAccountCode"].startswith(("13", "16")) and row["Type"] == BANK_ENTRY:
                box.delete(LINES, division, row["ID"])


# -- dbt -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """The results of a dbt run."""

    code: int
    output: str
    results: dict[str, str]

    def with_status(self, *statuses: str) -> set[str]:
        """Names of the models and tests with this status."""
        return {name for name, status in self.results.items() if status in statuses}


@dataclass(frozen=True)
class Dbt:
    """The dbt command in a separate environment; the one for BigQuery also has Google's packages."""

    def of(self, kind: str = "duckdb") -> Path:
        """Interpreter of an environment with the pinned dbt."""
        if kind == "bigquery":
            return environment(
                "dbt-bigquery", ROOT / "tests" / "support" / "dbt_bigquery_requirements.txt"
            )
        return environment("dbt", PACKAGE / "requirements.txt")

    def __call__(self, books: Books, kind: str, *arguments: str, **variables: Any) -> Built:
        target = books.folder / f"dbt_{kind}"
        command = [
            str(self.of(kind).with_name("dbt")), "--no-version-check", "--no-use-colors", *arguments,
            "--project-dir", str(PACKAGE), "--profiles-dir", str(PACKAGE), "--target", kind,
            "--target-path", str(target), "--log-path", str(target), "--log-level", "warn",
            "--log-level-file", "warn", "--threads", "1",  # to save time; other tests use the cores
            "--vars", json.dumps({"exact_as_of": TODAY.isoformat(), **variables}),
        ]  # fmt: skip
        done = subprocess.run(
            command, env=_environment(books, kind), cwd=books.folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        results: dict[str, str] = {}
        if (target / "run_results.json").exists():
            for result in json.loads((target / "run_results.json").read_text())["results"]:
                results[result["unique_id"].split(".")[2]] = result["status"]
        return Built(done.returncode, done.stdout + done.stderr, results)

    def own(self, project: Path, *arguments: str) -> None:
        """Run dbt in a user's own project, which contains its profile."""
        command = [str(self.of().with_name("dbt")), "--no-version-check", "--no-use-colors"]
        done = subprocess.run(
            [*command, *arguments], env=_plain_environment(project), cwd=project,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def _plain_environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "LC_ALL", "TMPDIR"}}
    return kept | {"HOME": str(home), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


def _environment(books: Books, kind: str) -> dict[str, str]:
    kept = _plain_environment(books.folder)
    if kind == "duckdb":
        return kept | {"EXACT_DUCKDB": "exact.duckdb"}
    if kind == "bigquery":
        return kept | dict(_reach(kind))
    place = urlsplit(str(books.postgres))
    return kept | {
        "PGHOST": str(place.hostname),
        "PGPORT": str(place.port),
        "PGUSER": str(place.username),
        "PGPASSWORD": str(place.password),
        "PGDATABASE": place.path.strip("/"),
    }


@pytest.fixture(scope="session")
def dbt() -> Dbt:
    return Dbt()


@cache
def built_books(kind: str) -> Built:
    """The books and the tables that dbt builds from them; built once."""
    books = loaded_books(kind)
    return Dbt()(books, kind, "build")
