"""What the loading code does with tables: on a database in memory, without dlt's pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
import duckdb
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.descriptions import HASHED
from exact_source.catalogue.feeds import plan_feeds
from exact_source.engine.shape import Shape
from exact_source.loading.comments import write_comments
from exact_source.loading.duplicates import COUNTS, TABLES_AT_ONCE, repair_loaded, repeated_keys
from exact_source.loading.first_load import repeated_rows
from exact_source.loading.indexes import create_indexes
from exact_source.loading.loaded_tables import TURN
from exact_source.loading.tables import as_loaded, column_texts, declare_table
from exact_source.loading.warehouse import Warehouse
from exact_source.loading.working_folder import remove_loaded_packages
from exact_source.odata.guard import Guard

DATASET = "main"


class Database:
    """A DuckDB in memory, with those methods of dlt's SQL client that are used."""

    dataset_name = DATASET
    capabilities = SimpleNamespace(casefold_identifier=str)

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")

    def execute_sql(self, sql: str, *params: Any) -> Sequence[Any]:
        return self.connection.execute(sql.replace("%s", "?"), params).fetchall()

    @contextmanager
    def execute_query(self, sql: str, *params: Any) -> Iterator[Any]:
        found = self.connection.execute(sql.replace("%s", "?"), params).to_arrow_table()
        yield SimpleNamespace(iter_arrow=lambda **_: iter([found]))

    def escape_column_name(self, name: str) -> str:
        return f'"{name}"'

    make_qualified_table_name = escape_column_name


class Pipeline:
    """Those parts of dlt's pipeline that are used; ``accounts`` and ``contacts`` were loaded."""

    pipeline_name = dataset_name = default_schema_name = "books"

    def __init__(self, folder: Path, kind: str = "duckdb") -> None:
        self.working_dir = str(folder)
        self.database = Database()
        self.connections: list[str] = []
        self.destination = SimpleNamespace(destination_type=f"dlt.destinations.{kind}")
        self.default_schema = dlt.Schema("books")
        self.schemas = {"books": self.default_schema}
        for name in ("accounts", "contacts"):
            declare_table(self.default_schema, shape_of(name), "hard", ["accounts", "contacts"])
            table = self.default_schema.tables[name]
            table["x-normalizer"] = {"seen-data": True}
            for key in ("division", "id"):  # dlt takes it from the resource
                table["columns"][key]["primary_key"] = True
            self.run(f"CREATE TABLE {name} (division INTEGER, id VARCHAR)")
            self.run(f"INSERT INTO {name} VALUES (7, 'a'), (7, 'b'), (8, 'a')")

    def run(self, sql: str) -> Sequence[Any]:
        return self.database.execute_sql(sql)

    @contextmanager
    def sql_client(self) -> Iterator[Database]:
        self.connections.append("open")
        yield self.database
        self.connections.append("close")


def shape_of(name: str, guard: Guard | None = None) -> Shape:
    entity = load_catalogue().entities[name]
    return Shape.of(entity, plan_feeds(entity), guard=guard or Guard())


@pytest.fixture
def pipeline(tmp_path: Path) -> Any:
    return Pipeline(tmp_path)


# -- duplicates ------------------------------------------------------------------------------------


def no_load() -> Any:
    pytest.fail("nothing is to be repaired")


def test_keys_are_checked_in_more_tables_than_fit_into_a_statement(pipeline: Any) -> None:
    names = [f"t{number}" for number in range(TABLES_AT_ONCE + 1)]
    for name in names:
        pipeline.run(f"CREATE TABLE {name} AS SELECT 7 AS division, 'a' AS id FROM range(2)")

    keys = {name: ["division", "id"] for name in names}
    assert repeated_keys(pipeline, keys, dict.fromkeys(names)) == dict.fromkeys(names, 1)


@pytest.mark.parametrize(
    ("loaded", "noted"), [({"accounts": None}, {"accounts": 3, "contacts": 3}), ({}, None)]
)
def test_rows_are_counted_for_the_next_sync_if_any_were_loaded(
    pipeline: Any, loaded: dict[str, None], noted: dict[str, int] | None
) -> None:
    assert repair_loaded(pipeline, loaded, ["accounts", "contacts"], no_load) == []

    file = Path(pipeline.working_dir) / COUNTS
    assert (json.loads(file.read_text()) if file.exists() else None) == noted


@pytest.mark.parametrize("keys", [["division"], ["division", "id"]])
def test_rows_that_are_there_twice_are_found_by_any_key(pipeline: Any, keys: list[str]) -> None:
    pipeline.run("DELETE FROM accounts WHERE id = 'b'")
    pipeline.run("INSERT INTO accounts VALUES (8, 'a')")

    (found,) = repeated_rows(Warehouse(pipeline), "accounts", keys)
    assert found.to_pylist() == [{"division": 8, "id": "a"}] * 2


# -- results of queries ----------------------------------------------------------------------------


def test_the_number_of_a_state_is_no_column_of_its_row(pipeline: Any) -> None:
    stored = Warehouse(pipeline)
    plain = list(stored.rows("accounts", 7, "id", ["b"]))
    pipeline.run(f"ALTER TABLE accounts ADD COLUMN {TURN} INTEGER DEFAULT 1")

    assert plain == list(stored.rows("accounts", 7, "id", ["b"]))
    assert [table.to_pylist() for table in plain] == [[{"division": 7, "id": "b"}]]


def test_one_connection_is_open_from_the_first_query_until_the_tables_are_closed(
    pipeline: Any,
) -> None:
    stored = Warehouse(pipeline)
    opened = [*pipeline.connections]
    for _ in range(2):
        assert [stored.count("accounts"), stored.count("contacts")] == [3, 3]
        stored.close()

    assert opened == []
    assert pipeline.connections == ["open", "close"] * 2


# -- comments and indexes --------------------------------------------------------------------------


def test_comments_are_written_where_dlt_writes_none(tmp_path: Path) -> None:
    others: Any = Pipeline(tmp_path, "sqlalchemy")
    assert write_comments(others) == 0


def test_tables_with_a_key_get_an_index_once(tmp_path: Path) -> None:
    postgres: Any = Pipeline(tmp_path, "postgres")
    postgres.default_schema.update_table(
        dlt.common.schema.utils.new_table("keyless", columns=[{"name": "id", "data_type": "text"}])
    )
    postgres.run("CREATE TABLE keyless (id VARCHAR)")

    assert [create_indexes(postgres), create_indexes(postgres)] == [2, 0]
    assert sorted(postgres.run("SELECT tablename, indexname FROM pg_indexes")) == [
        ("accounts", "accounts_key"),
        ("contacts", "contacts_key"),
    ]


# -- columns ---------------------------------------------------------------------------------------


def test_the_company_keeps_its_own_type() -> None:
    shape = shape_of("accounts")
    loaded: Any = {"division": {"data_type": "text"}, "name": {"data_type": "text"}}
    after = as_loaded(shape, loaded)

    assert after.full.columns["Division"] == shape.full.columns["Division"]


def test_hashed_columns_say_so_with_and_without_a_description() -> None:
    plain = column_texts(shape_of("vat_codes"))
    texts = column_texts(
        shape_of("vat_codes", Guard(hashed=frozenset({"LegalText", "VatDocType"})))
    )
    assert "vat_doc_type" not in plain
    assert texts == plain | {
        "legal_text": f"{plain['legal_text']} {HASHED}",
        "vat_doc_type": HASHED,
    }


# -- the working folder ----------------------------------------------------------------------------


def test_of_loaded_packages_only_what_is_needed_stays(tmp_path: Path) -> None:
    loaded = tmp_path / "load" / "loaded"
    for place in (
        "1.1/failed_jobs/a.parquet",
        "1.1/completed_jobs/b.parquet",
        "1.2/completed_jobs/a.parquet",
        "1.3/completed_jobs/a.parquet",
        "1.3/schema.json",
    ):
        (loaded / place).parent.mkdir(parents=True, exist_ok=True)
        (loaded / place).touch()
    (loaded / "1.3" / "failed_jobs").mkdir()
    pipeline: Any = SimpleNamespace(working_dir=str(tmp_path), pipeline_name="books")
    remove_loaded_packages(pipeline)

    left = {path.relative_to(loaded).as_posix() for path in loaded.rglob("*") if path.is_file()}
    assert left == {"1.1/failed_jobs/a.parquet", "1.1/completed_jobs/b.parquet", "1.3/schema.json"}
