"""Rules of the loading code that need no destination."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
import pyarrow as pa
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.engine.rejected_rows import Rejected
from exact_source.engine.shape import Shape
from exact_source.errors import ConfigurationError, HeldError, LoadError
from exact_source.loading import state, writer_lock
from exact_source.loading.disk_space import full_disk_error
from exact_source.loading.failed_jobs import refuse_silent_failures, with_failed_jobs
from exact_source.loading.indexes import NAME_MAX, index_name
from exact_source.loading.loaded_tables import NothingLoaded
from exact_source.loading.sync_log import rejected_item
from exact_source.loading.tables import DELETE_INSERT, as_loaded, table_references
from exact_source.loading.warehouse import NoTables, StoredRows, Warehouse, loaded_type
from exact_source.loading.writer import Writer
from exact_source.loading.writer_claims import ClaimLock
from exact_source.loading.writer_lock import TakenError, lock_file, sole_writer

AT = 1_773_144_000.0


def shape_of(name: str) -> Shape:
    entity = load_catalogue().entities[name]
    return Shape.of(entity, plan_feeds(entity, "auto"))


# -- failures --------------------------------------------------------------------------------------


def test_a_full_disk_is_distinguished_from_other_errors() -> None:
    assert full_disk_error(OSError(errno.ENOSPC, "full"), "books") is not None
    assert full_disk_error(OSError(errno.EACCES, "not allowed"), "books") is None


def test_failed_jobs_in_the_working_folder_are_found(tmp_path: Path) -> None:
    for load_id, folder in (("1.1", "failed_jobs"), ("1.2", "completed_jobs")):
        place = tmp_path / "load" / "loaded" / load_id / folder
        place.mkdir(parents=True)
        (place / "accounts.parquet").touch()
    pipeline: Any = SimpleNamespace(working_dir=str(tmp_path))

    assert with_failed_jobs(pipeline, ["1.1", "1.2", "1.3"]) == {"1.1"}


def test_failed_jobs_must_fail_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline: Any = SimpleNamespace(pipeline_name="books")
    refuse_silent_failures(pipeline)
    monkeypatch.setenv("LOAD__RAISE_ON_FAILED_JOBS", "false")
    with pytest.raises(ConfigurationError):
        refuse_silent_failures(pipeline)


# -- locks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "driver", "database", "name"),
    [
        ("duckdb", "duckdb", "/data/exact.duckdb", ".exact.duckdb.books.lock"),
        ("sqlalchemy", "sqlite", "/data/exact.db", ".exact.db.books.lock"),
        ("sqlalchemy", "mysql+pymysql", "/data/exact.db", None),
    ],
)
def test_a_database_in_a_file_is_locked_beside_it(
    kind: str, driver: str, database: str, name: str | None
) -> None:
    found = lock_file(pipeline_into(driver, database), kind)

    assert (found and found.name) == name


def test_a_database_without_a_file_of_its_own_has_no_lock_beside_it() -> None:
    names = ["exact.duckdb", "", ":memory:", "/data/:memory:"]

    assert [lock_file(pipeline_into("duckdb", name), "duckdb") for name in names] == [None] * 4


def pipeline_into(driver: str, database: str) -> Any:
    config = SimpleNamespace(credentials=SimpleNamespace(drivername=driver, database=database))
    client = SimpleNamespace(config=config)
    return SimpleNamespace(destination_client=lambda: client, dataset_name="books")


def test_a_lock_that_is_refused_is_an_error_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(_pipeline: Any, writer: Writer) -> Any:
        assert writer.pid == os.getpid()
        raise OSError("read-only")

    monkeypatch.setattr(writer_lock, "_lock_of", lambda _pipeline: lock)
    pipeline: Any = SimpleNamespace(pipeline_name="books", dataset_name="books")
    with pytest.raises(LoadError), sole_writer(pipeline, AT):
        pytest.fail("it is locked")


class Claims:
    """Claims of others, as each look at the table finds them."""

    def __init__(self, *found: list[tuple[str, float]]) -> None:
        self._found = list(found)
        self.did: list[str] = []

    def insert(self, *_: Any) -> None:
        self.did.append("insert")

    def remove(self, *_: Any) -> None:
        self.did.append("remove")

    def others(self, _claim: str) -> Sequence[tuple[str, float]]:
        return self._found.pop(0)


YOUNG, OLD = [("{}", 5.0)], [("{}", 100.0)]


@pytest.mark.parametrize(
    ("found", "did"),
    [
        ([YOUNG, []], ["insert", "remove", "insert"]),
        ([OLD], ["insert", "remove"]),
        ([YOUNG] * 4, ["insert", "remove"] * 4),
    ],
)
def test_a_claim_as_young_as_ones_own_may_be_withdrawn(
    found: list[list[tuple[str, float]]], did: list[str]
) -> None:
    table, now = Claims(*found), [0.0]
    claims: Any = table
    writer = Writer.of("books", AT)
    lock = ClaimLock(claims, "books", writer, steady=lambda: now[0], sleep=lambda _s: None)
    if found[-1]:
        with pytest.raises(TakenError):
            lock.take()
    else:
        lock.take()
        lock.confirm()
        now[0] = 301.0
        with pytest.raises(HeldError):
            lock.confirm()
    assert table.did == did


# -- tables ----------------------------------------------------------------------------------------


def test_names_of_indexes_fit_into_postgres() -> None:
    assert NAME_MAX == 63
    assert index_name("accounts") == "accounts_key"
    assert len(index_name("a" * 80)) == 63


def test_references_lead_to_tables_that_exist() -> None:
    shape = shape_of("contacts")
    found = table_references(shape, {"contacts", "accounts"})

    assert {one["referenced_table"] for one in found} == {"accounts"}
    assert table_references(shape, ()) == []


def test_columns_keep_the_types_of_their_table() -> None:
    shape = shape_of("accounts")
    before = shape.full.arrow
    loaded: Any = {
        "division": {"data_type": "bigint"},
        "name": {"data_type": "text"},
        "status_since": {"data_type": "text"},
        "code": {},
    }
    after = as_loaded(shape, loaded).full.arrow
    changed = {f.name for f in after if f.type != before.field(f.name).type}

    assert changed == {"status_since"}
    assert after.field("status_since").type == pa.string()


def test_types_of_loaded_columns_are_read_as_they_were_written() -> None:
    zones = [
        loaded_type({"data_type": "timestamp", **more}).tz  # type: ignore[union-attr,typeddict-item]
        for more in ({}, {"timezone": True}, {"timezone": False})
    ]
    assert zones == ["UTC", "UTC", None]


def test_rejected_rows_are_stored_once() -> None:
    row = Rejected(7, "accounts", "no id", "{}")
    item = rejected_item([row, row], AT, DELETE_INSERT)

    assert item.data.select(["division", "entity", "reason"]).to_pylist() == [
        {"division": 7, "entity": "accounts", "reason": "no id"}
    ]


# -- earlier loads ---------------------------------------------------------------------------------


class OneAnswer(NothingLoaded):
    """Tables that answer each query with the same rows."""

    def __init__(self, *found: list[int]) -> None:
        self.found = list(found)
        self.asked: list[tuple[str, list[Any]]] = []

    def rows(self, table: str, sql: str, params: Sequence[Any]) -> Sequence[Sequence[Any]]:
        self.asked.append((sql.format(table=table), list(params)))
        return self.found


class Answers(NoTables):
    """A destination that answers each query with the same rows."""

    def __init__(self, *found: list[int]) -> None:
        super().__init__()
        self._tables = tables = OneAnswer(*found)
        self.asked = tables.asked

    def _stored(self, _table: str) -> dict[int, StoredRows]:
        return {7: StoredRows(3)}


def test_counts_are_the_first_value_of_an_answer_and_nothing_without_one() -> None:
    answers, moment = Answers([42, 5], [6, 7]), datetime.fromtimestamp(AT, UTC)
    found = [
        answers.calls_since(moment),
        answers.loads(),
        answers.count("t"),
        answers.count("t", 7),
    ]
    assert found == [42] * 4
    assert answers.asked[2:] == [
        ("SELECT COUNT(*) FROM t", []),
        ("SELECT COUNT(*) FROM t WHERE division = %s", [7]),
    ]

    nothing = Answers()
    assert [nothing.calls_since(moment), nothing.loads(), nothing.count("t")] == [0] * 3


def test_a_division_has_rows_if_any_are_stored() -> None:
    assert [Answers().has_rows("t", code) for code in (7, 8)] == [True, False]


def test_before_the_first_load_there_are_no_columns() -> None:
    pipeline: Any = SimpleNamespace(default_schema_name=None, schemas={})
    assert Warehouse(pipeline).columns("accounts") == {}


def test_tombstones_are_read_from_where_the_entity_furthest_behind_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = {"load_id": "1.1", "tombstones": 900}
    states = {
        "accounts": {"divisions": {"7": entry, "8": {**entry, "moved": 5}}},
        "items": {
            "divisions": {"7": {**entry, "tombstones": 800}, "8": {**entry, "load_id": "1.2"}}
        },
    }
    monkeypatch.setattr(state, "selected_entities", lambda: frozenset(states))
    monkeypatch.setattr(dlt.current, "resource_state", states.__getitem__)

    assert state.tombstone_starts({"1.1"}) == {(7, 0): 800, (8, 5): 900}


def test_a_refresh_goes_on_only_if_the_load_that_began_it_has_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = {"load_id": "1.1", "refreshed_for": AT, "scan": {"since": None}}
    failed = {**begun, "load_id": "1.2", "refreshed_for": AT + 60}
    divisions = {"7": {**failed, "before": begun}, "8": failed}
    states = {"accounts": {"divisions": divisions}, "items": {"divisions": {"8": failed}}}
    monkeypatch.setattr(dlt.current, "resource_state", states.__getitem__)

    assert state.refresh_under_way(["accounts", "items"], {"1.1"}) == AT
    assert state.refresh_under_way(["items"], {"1.1"}) is None
    assert state.refresh_under_way(["accounts", "items"], {"1.1", "1.2"}) == AT + 60
