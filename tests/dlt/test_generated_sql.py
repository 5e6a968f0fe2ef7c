"""The SQL that a sync sends to databases that no test can run: generated, recorded and parsed.

The tables are those of a real load into DuckDB. dlt's own client of each destination makes the statements
from them. Its connection is a recorder that answers every query with no rows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
import sqlglot
from dlt.common.schema import Schema
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from sqlglot import exp

from exact_source.cli._output.stored_syncs import recall
from exact_source.cli.check.destination import PROBE, write_probe
from exact_source.errors import ConfigurationError
from exact_source.loading.duplicates import repair_unchecked, repeated_keys
from exact_source.loading.entity_resource import EntityResource
from exact_source.loading.loaded_tables import whole
from exact_source.loading.strategy import choose_strategy
from exact_source.loading.tables import DELETE_INSERT
from exact_source.loading.warehouse import Warehouse
from exact_source.loading.writer_claims import Claims
from exact_source.loading.writer_claims import claim as claim_of
from exact_source.loading.writer_lock import _lock_of
from exact_source.report.reading import read_figures
from exact_source.verify.loaded_books import LoadedBooks
from tests.support.environments import missing
from tests.support.world import DATASET, World, make_box

ODBC = {
    "drivername": "mssql", "host": "host", "database": "books", "username": "user",
    "password": "none", "driver": "ODBC Driver 18 for SQL Server",
}  # fmt: skip
AZURE = {
    "host": "host", "database": "books", "azure_tenant_id": "tenant", "azure_client_id": "client",
    "azure_client_secret": "none", "driver": ODBC["driver"],
}  # fmt: skip
BRICKS = {
    "server_hostname": "host", "http_path": "/path", "catalog": "books", "access_token": "none",
}  # fmt: skip
FLAKE = {"host": "host", "database": "books", "username": "user", "password": "none"}
DUCK = {"database": "books", "password": "none"}

# Destination -> sqlglot dialect, module of the driver, credentials.
TARGETS: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "mssql": ("tsql", "pyodbc", ODBC),
    "fabric": ("fabric", "pyodbc", AZURE),
    "synapse": ("tsql", "pyodbc", {**ODBC, "drivername": "synapse"}),
    "databricks": ("databricks", "databricks.sql", BRICKS),
    "motherduck": ("duckdb", "duckdb", DUCK),
    "snowflake": ("snowflake", "snowflake.connector", FLAKE),
}
RECORD = Path(__file__).parents[2] / "tools" / "docs" / "generated.json"
PATH = "sync/CRM/Accounts"
TABLE, HISTORY = "accounts", "accounts_history"
KEYS = ["division", "id"]
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
KEY = "0a0a0a0a-0000-4000-8000-000000000001"


@dataclass
class Recorder:
    """A DB-API connection and cursor that records statements and finds no rows."""

    sent: list[str] = field(default_factory=list)
    lacks: str = ""  # a statement with this text reads a table that does not exist
    description: Sequence[tuple[str]] = (("n",),)

    def cursor(self) -> Recorder:
        return self

    def execute(self, sql: str, *_: Any, **__: Any) -> Recorder:
        if self.lacks and self.lacks in sql:
            raise DatabaseUndefinedRelation(Exception("no such table"))
        self.sent.append(sql)
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The time and the existence of the dataset; no rows of any table."""
        last = self.sent[-1].upper()
        if last.endswith("CURRENT_TIMESTAMP"):
            return [(NOW,)]
        return [(1,)] if "SCHEMATA" in last else []

    def fetchone(self) -> None: ...

    def fetchall_arrow(self) -> pa.Table:
        return pa.table({})

    fetch_arrow_table = fetchall_arrow

    def fetch_arrow_all(self, **_: Any) -> None:
        """Nothing instead of an empty table, as Snowflake's driver returns."""

    def nextset(self) -> bool:
        return False

    def close(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None: ...


@dataclass
class Target:
    """A destination without a server."""

    name: str
    dialect: str
    pipeline: dlt.Pipeline
    recorder: Recorder

    @property
    def client(self) -> Any:
        return self.pipeline.destination_client()

    def recorded(self, action: Callable[[], Any]) -> list[str]:
        """The statements that an action sends."""
        self.recorder.sent.clear()
        action()
        return list(self.recorder.sent)

    def parse(self, statement: str) -> list[Any]:
        """The parsed statement; the drivers take ``%s`` or ``?`` for a value."""
        trees = sqlglot.parse(statement.replace("%s", "?"), dialect=self.dialect)
        assert trees, statement
        found: list[Any] = []
        for tree in trees:
            if tree is not None:
                assert not tree.find(exp.Command), f"not understood: {statement}"
                found.append(tree)
        if self.dialect in {"tsql", "fabric"}:
            assert not re.search(r"\bLIMIT\b", statement, re.IGNORECASE), statement
        return found

    def shows(self, purpose: str, trees: Sequence[Any]) -> None:
        """Compares the kinds of statements with the page; ``EXACT_RECORD=1`` keeps them for it."""
        held = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        found = ", ".join(sorted({tree.key for tree in trees}))
        mine = {**held.get(self.name, {}), "dialect": self.dialect, purpose: found}
        if os.environ.get("EXACT_RECORD"):
            everything = {**held, self.name: mine}
            RECORD.write_text(json.dumps(everything, indent=2, sort_keys=True) + "\n")
        else:
            assert held.get(self.name) == mine, "run python -m tools.docs.dlt_pages --run"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The dlt schema after two loads into DuckDB, as a dictionary; only the second one merges."""
    box = make_box()
    with box.serve() as url:
        world = World(box, url, tmp_path_factory.mktemp("loaded"))
        assert world.sync(TABLE, history=TABLE).exit_code == 0
        key = world.keys(PATH)[0]
        box.update(PATH, world.division, key, {"Name": "Changed"})
        assert world.sync(TABLE, history=TABLE).exit_code == 0
        return world.pipeline.default_schema.to_dict()


@pytest.fixture(params=list(TARGETS))
def target(
    request: pytest.FixtureRequest, loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Target:
    dialect, driver, credentials = TARGETS[request.param]
    try:
        # Of the development group: without it the column on the page would be stale.
        import_module(driver)
    except ModuleNotFoundError:
        raise
    except ImportError as error:  # a library of the system, which only root can install
        missing(str(error))
    kind: Any = getattr(dlt.destinations, request.param)
    pipeline = dlt.pipeline(
        "exact_online",
        destination=kind(credentials=dict(credentials)),
        dataset_name=DATASET,
        pipelines_dir=str(tmp_path / "pipelines"),
    )
    pipeline._inject_schema(Schema.from_dict(loaded))
    assert pipeline.destination.capabilities().sqlglot_dialect == dialect
    recorder = Recorder()
    sql_client = type(pipeline.sql_client())

    def connect(self: Any) -> Recorder:
        self._conn = recorder
        return recorder

    monkeypatch.setattr(sql_client, "open_connection", connect)
    monkeypatch.setattr(sql_client, "close_connection", lambda self: None)
    return Target(request.param, dialect, pipeline, recorder)


def prepared(target: Target, name: str, **hints: Any) -> tuple[Any, Any]:
    """The client of the destination, and the table as dlt's load step prepares it."""
    client = target.client
    return client, {**client.prepare_load_table(name), **hints}


def statements(jobs: Sequence[Any]) -> list[str]:
    """The statements of SQL jobs; the file of a job has one in each line."""
    return [
        line for job in jobs for line in Path(job.new_file_path()).read_text().splitlines() if line
    ]


def in_staging(client: Any, name: str) -> str:
    with client.sql_client.with_staging_dataset():
        return str(client.sql_client.make_qualified_table_name(name))


def kinds(trees: Sequence[Any]) -> list[str]:
    return [tree.key for tree in trees]


def named(tree: Any) -> set[str]:
    """Names of the columns in a statement, in lower case."""
    return {column.name.lower() for column in tree.find_all(exp.Column)}


def test_the_merge_replaces_the_keys_of_the_load_and_omits_deleted_rows(target: Target) -> None:
    client, table = prepared(target, TABLE)
    sent = statements(client._create_merge_followup_jobs([table]))
    trees = [tree for statement in sent for tree in target.parse(statement)]
    assert kinds(trees) == ["delete", "insert"]
    assert all(in_staging(client, TABLE) in statement for statement in sent)

    delete, insert = trees
    assert named(delete) == set(KEYS)
    window = next(insert.find_all(exp.Window))
    assert [column.name.lower() for column in window.args["partition_by"]] == KEYS
    assert {c.name.lower() for c in window.args["order"].find_all(exp.Column)} == {"timestamp"}
    assert window.args["order"].find(exp.Ordered).args["desc"]
    # A deletion is a row with ``_deleted_at``: its key is deleted, and it is not inserted.
    (missing,) = [i for i in insert.find_all(exp.Is) if i.this.name.lower() == "_deleted_at"]
    assert isinstance(missing.expression, exp.Null)
    assert not isinstance(missing.parent, exp.Not)
    target.shows("merge with deletions", trees)


def test_the_source_chooses_delete_insert(target: Target) -> None:
    resource: Any = dlt.resource(
        [], name=TABLE, write_disposition=DELETE_INSERT, _impl_cls=EntityResource
    )
    for deletes in ("hard", "soft"):
        chosen = choose_strategy(target.pipeline, resource, deletes=deletes, change_log=False)
        assert chosen.kind == "delete-insert"


def test_tables_and_their_staging_tables(target: Target) -> None:
    client, table = prepared(target, TABLE)
    columns = list(table["columns"].values())
    final = client._get_table_update_sql(TABLE, columns, False)
    with client.with_staging_dataset():
        staging = client._get_table_update_sql(TABLE, columns, False)
        staging.append(client.sql_client._truncate_table_sql(in_staging(client, TABLE)))
    trees = [tree for statement in final + staging for tree in target.parse(statement)]
    assert in_staging(client, TABLE) in staging[0]
    (create,) = target.parse(final[0])
    assert {c.name.lower() for c in create.find_all(exp.ColumnDef)} == set(table["columns"])
    target.shows("new tables and staging tables", trees)


def test_history(target: Target) -> None:
    client, table = prepared(target, HISTORY, **{"x-boundary-timestamp": NOW})
    sent = statements(client._create_merge_followup_jobs([table]))
    trees = [tree for statement in sent for tree in target.parse(statement)]
    assert kinds(trees) == ["update", "insert"]
    assert all({"_version", "_key"} <= named(tree) for tree in trees)
    target.shows("history", trees)


def test_replace(target: Target) -> None:
    client, trees = target.client, []
    for strategy in client.capabilities.supported_replace_strategies:
        if strategy == "truncate-and-insert":
            continue  # dlt empties the table and loads into it without a staging table
        client, table = prepared(target, TABLE, **{"x-replace-strategy": strategy})
        sent = statements(client._create_replace_followup_jobs([table]))
        for statement in sent:
            if not statement.startswith("ALTER SCHEMA"):  # sqlglot does not know its TRANSFER
                trees += target.parse(statement)
        assert any(in_staging(client, TABLE) in statement for statement in sent)
    target.shows("replacing a table", trees)


def reads(pipeline: dlt.Pipeline) -> None:
    """Every query of a sync on the tables of earlier loads."""
    stored = Warehouse(pipeline)
    stored.check()
    stored.completed_loads(["1"])
    stored.pipelines()
    stored.window_rows(TABLE, 1, 0.0)
    stored.calls_since(NOW)
    for is_log in (False, True):
        if is_log:
            stored.read_as_log(TABLE, KEYS, marked=False)
        for marked in (False, True):
            stored.versions(TABLE, 1, KEYS[1], [KEY], "timestamp", marked=marked)
            stored.synced_before(TABLE, 1, KEYS, None, marked=marked)
            stored.synced_before(TABLE, 1, KEYS, NOW, marked=marked)
            stored.divisions(TABLE, marked=marked)
        stored.highest(TABLE, 1, "timestamp")
        stored.marked(TABLE, 1, KEYS)
        stored.distinct(TABLE, 1, KEYS)
        list(stored.rows(TABLE, 1, KEYS[1], [KEY]))
        stored.count(TABLE)
        stored.count(TABLE, 1)
        stored.counts(TABLE)
        stored.repeated(TABLE, KEYS)
    stored.close()
    recall(pipeline, now=NOW.timestamp())  # for status and plan


def test_queries_of_earlier_loads(target: Target) -> None:
    sent = target.recorded(lambda: reads(target.pipeline))
    assert len(sent) > 20
    assert [statement for statement in sent if " nth " in statement]  # the newest of each stream
    trees = [tree for statement in sent for tree in target.parse(statement)]
    assert len(trees) == len(sent)
    assert all(tree.find(exp.Table) for tree in trees)
    target.shows("queries of earlier loads", trees)


def test_checks_for_duplicates(target: Target) -> None:
    def check() -> None:
        repeated_keys(target.pipeline, {TABLE: KEYS}, {TABLE: [1, 2]})
        repair_unchecked(target.pipeline, [TABLE], [], lambda: pytest.fail("nothing to repair"))

    sent = target.recorded(check)
    trees = [tree for statement in sent for tree in target.parse(statement)]
    assert kinds(trees) == ["select"] * 2
    target.shows("check for duplicates", trees)


def test_claims_on_the_dataset(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = Claims(target.pipeline)
    sql_client = type(target.pipeline.sql_client())
    monkeypatch.setattr(sql_client, "_make_database_exception", staticmethod(lambda error: error))

    def claim() -> None:
        target.recorder.lacks = "COUNT(*)"
        claims.create()
        target.recorder.lacks = ""
        claims.insert("a", "{}", 1.0)
        claims.others("a")
        claims.extend("a", 1.0)
        claims.remove("a")

    sent = target.recorded(claim)
    trees = [tree for statement in sent for tree in target.parse(statement)]
    assert {"create", "insert", "select", "update", "delete"} <= set(kinds(trees))
    assert "max)" not in " ".join(sent)  # a table of Synapse is a columnstore, which holds none
    assert _lock_of(target.pipeline) is claim_of
    target.shows("lock of the dataset", trees)


def test_verify_of_the_books(target: Target) -> None:
    def ask() -> None:
        with target.pipeline.sql_client() as client:
            books = LoadedBooks(client, 1, NOW.date())
            books.count(TABLE)
            books.newest_ms()
            books.line_sums()
            books.entry_sums([3000])
            books.document_sums("sales_invoices", "sales_invoice_lines", "invoice_id")
            books.ledgers(20)

    sent = target.recorded(ask)
    assert len([statement for statement in sent if statement.lstrip().startswith("SELECT")]) == 6
    trees = [tree for statement in sent for tree in target.parse(statement)]
    target.shows("`verify --books`", trees)
    for tree in trees:
        grouped = [e for group in tree.find_all(exp.Group) for e in group.expressions]
        assert all(isinstance(e, exp.Column) for e in grouped), "T-SQL groups by columns only"
        assert not tree.find(exp.Cast, exp.Boolean)  # its TIMESTAMP is a row version


def test_the_write_check(target: Target) -> None:
    sent = [
        s
        for s in target.recorded(lambda: write_probe(target.pipeline))
        if PROBE.upper() in s.upper()
    ]
    trees = [tree for statement in sent for tree in target.parse(statement)]
    assert kinds(trees) == ["drop", "create", "insert", "drop"]
    target.shows("write check of `check`", trees)
    if target.name == "synapse":
        assert "IF EXISTS" not in " ".join(sent)


@pytest.mark.parametrize("target", ["fabric", "mssql", "synapse"], indirect=True)
def test_the_report_is_refused_where_its_sql_does_not_run(target: Target) -> None:
    target.recorder.sent.clear()
    with pytest.raises(ConfigurationError, match=f"does not run on {target.name}"):
        read_figures(target.pipeline, day=NOW.date(), made_at=NOW)
    assert not target.recorder.sent


def test_no_rows_may_be_no_table() -> None:
    assert whole([None]) is None


@pytest.mark.parametrize("deletes", ["hard", "soft"])
def test_deletions_where_names_are_in_upper_case(
    make_world: Callable[..., World], tmp_path: Path, deletes: str
) -> None:
    """As in Snowflake; DuckDB keeps the names as they are created and returns them so."""
    destination = dlt.destinations.duckdb(
        str(tmp_path / "upper.duckdb"), casefold_identifier=str.upper
    )
    world = make_world(destination)
    assert world.sync(TABLE, deletes=deletes).exit_code == 0
    keys = world.keys(PATH)
    world.box.update(PATH, world.division, keys[0], {"Name": "Changed"})
    world.box.delete(PATH, world.division, keys[1])
    assert world.sync(TABLE, deletes=deletes).exit_code == 0

    rows = {row["ID"]: row for row in world.table(TABLE)}
    assert rows[keys[0]]["NAME"] == "Changed"
    if deletes == "hard":
        assert keys[1] not in rows
    else:
        assert [key for key, row in rows.items() if row["_DELETED_AT"]] == [keys[1]]
    memory = recall(world.pipeline, now=world.clock.now())
    assert (world.division, TABLE) in memory.syncs


def test_the_page_says_that_nothing_was_run() -> None:
    page = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text("utf-8")
    section = page.split("## What was only generated and parsed")[1].split("\n## ")[0]
    assert "never run" in section
    assert set(json.loads(RECORD.read_text())) == set(TARGETS)
    assert all(f"`{name}`" in section for name in TARGETS)
