"""What a resource may be told, how its rows are merged, and when a run opens and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import dlt
import pyarrow as pa
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.engine import rows
from exact_source.engine.cursors import Cursor
from exact_source.engine.result import RoundLog, StreamResult
from exact_source.engine.rounds import Rounds
from exact_source.engine.shape import Shape
from exact_source.errors import ConfigurationError
from exact_source.loading import entity_reader, resources, state
from exact_source.loading.batches import Item
from exact_source.loading.entity_reader import EntityReader
from exact_source.loading.entity_resource import EntityResource
from exact_source.loading.entity_streams import EntityStreams
from exact_source.loading.resources import _end_limited, run_behind
from exact_source.loading.session import Session
from exact_source.loading.strategy import UPSERT, Strategy, choose_strategy
from exact_source.source import make_options

KEYS = ["division", "id"]
SOFT = Strategy("upsert", deletes_marked=False)


def make_resource(**hints: Any) -> Any:
    hints = {"write_disposition": "merge", **hints}
    return dlt.resource([], name="accounts", primary_key=KEYS, _impl_cls=EntityResource, **hints)


def shape_of(name: str) -> Shape:
    entity = load_catalogue().entities[name]
    return Shape.of(entity, plan_feeds(entity))


# -- hints and limits ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hints",
    [{"primary_key": KEYS}, {"merge_key": KEYS}, {"merge_key": ""}, {"columns": {"id": {}}}],
)
def test_hints_with_the_same_key_are_taken(hints: dict[str, Any]) -> None:
    resource = make_resource()
    assert resource.apply_hints(**hints) is resource


@pytest.mark.parametrize(
    "hints", [{"primary_key": "id"}, {"merge_key": ["id"]}, {"primary_key": ""}]
)
def test_another_key_is_refused(hints: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        make_resource().apply_hints(**hints)


@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        ({"max_items": 0}, 0),
        ({"max_items": 2}, 2),
        ({"max_items": 2, "count_rows": True}, None),
        ({"max_items": None, "max_time": 5.0}, None),
    ],
)
def test_a_limit_counts_pages_from_none_on(limit: dict[str, Any], pages: int | None) -> None:
    assert make_resource().pages is None
    assert make_resource().add_limit(**limit).pages == pages


# -- strategies ------------------------------------------------------------------------------------


def chosen(resource: Any, destination: Any, **options: Any) -> Strategy:
    pipeline: Any = SimpleNamespace(destination=destination)
    return choose_strategy(
        pipeline, resource, **{"deletes": "hard", "change_log": False, **options}
    )


def disposition(resource: Any) -> Any:
    return resource._hints.get("write_disposition")


def test_rows_are_merged_by_delete_insert_in_a_database() -> None:
    resource = make_resource()
    assert chosen(resource, dlt.destinations.duckdb()) == Strategy()
    assert disposition(resource) == "merge"


@pytest.mark.parametrize(("asked", "options"), [("append", {}), ("merge", {"change_log": True})])
def test_all_states_are_appended_to_a_log(asked: Any, options: dict[str, Any]) -> None:
    resource = make_resource(write_disposition=asked)
    found = chosen(resource, dlt.destinations.duckdb(), **options)

    assert found == Strategy("log", deletes_marked=False)
    assert disposition(resource) == "append"


@pytest.mark.parametrize(
    ("table_format", "deletes", "strategy"),
    [
        ("delta", "hard", Strategy("upsert", deletes_marked=True)),
        ("delta", "soft", SOFT),
        ("iceberg", "soft", SOFT),
        ("iceberg", "ignore", SOFT),
        ("iceberg", "hard", None),
    ],
)
def test_files_are_upserted_and_iceberg_deletes_nothing(
    table_format: Any,
    deletes: str,
    strategy: Strategy | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The packages and extensions of these formats are not needed to choose, and not installed everywhere.
    monkeypatch.setattr("exact_source.loading.strategy.find_spec", lambda _name: object())
    monkeypatch.setattr("exact_source.loading.strategy.missing_extensions", lambda _names: [])
    resource = make_resource(table_format=table_format)
    files = dlt.destinations.filesystem("lake")
    if strategy is None:
        with pytest.raises(ConfigurationError):
            chosen(resource, files, deletes=deletes)
        return
    assert chosen(resource, files, deletes=deletes) == strategy
    assert disposition(resource) == UPSERT


# -- the two ends of a run -------------------------------------------------------------------------


class Run:
    """Notes what becomes of it."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def open(self, _warehouse: Any) -> None:
        self.did.append("open")

    async def close(self) -> None:
        self.did.append("close")


def test_a_run_opens_with_its_first_resource_and_closes_with_its_last() -> None:
    run: Any = Run()
    session = Session(run)

    async def read(count: int) -> None:
        if count:
            async with session.connected():
                await read(count - 1)

    for count in (2, 1):
        asyncio.run(read(count))
    assert run.did == ["open", "close"] * 2


def test_a_connection_is_open_until_a_resource_that_dlt_stops_has_ended() -> None:
    run: Any = Run()
    session = Session(run)

    async def read() -> None:
        async with session.connected():
            await asyncio.get_running_loop().shutdown_asyncgens()  # as dlt does after an error
            assert run.did == ["open"]

    asyncio.run(read())
    assert run.did == ["open", "close"]


def test_streams_that_a_limit_cut_off_go_on_in_the_next_run() -> None:
    rounds, log = Rounds(make_options(), SimpleNamespace(now=lambda: 0.0)), RoundLog()
    cut_off, complete = (log.begin(StreamResult(d, "accounts", "sync", 0.0)) for d in (7, 8))
    complete.end("complete")
    run: Any = SimpleNamespace(log=log, rounds=rounds)
    _end_limited(run)

    assert [r.status for r in (cut_off, complete)] == ["incomplete", "complete"]
    assert [rounds.is_settled("accounts", d) for d in (7, 8)] == [True, False]


def test_a_resource_of_an_entity_leads_to_its_run() -> None:
    run: Any = SimpleNamespace(options=make_options())
    made = resources.make_resource(
        Session(run), load_catalogue().entities["accounts"], rank=0, selected=True
    )
    assert run_behind(made) is run
    assert run_behind(make_resource()) is None


def test_a_run_knows_which_loads_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"7": {"load_id": "1.2", "before": {"load_id": "1.1", "tombstones": 900}}}
    stored: dict[str, Any] = {"resources": {"accounts": {"divisions": held}}}
    monkeypatch.setattr(dlt.current, "source_state", lambda: stored)
    monkeypatch.setattr(dlt.current, "resource_state", stored["resources"].__getitem__)
    monkeypatch.setattr(state, "selected_entities", lambda: frozenset({"accounts"}))
    recalled: list[Any] = []
    run: Any = SimpleNamespace(options=make_options(), recall=recalled.append)
    warehouse: Any = SimpleNamespace(completed_loads=lambda wanted: wanted - {"1.2"})
    session = Session(run)
    for _ in range(2):
        session.recall(warehouse)

    assert session.arrived == {"1.1"}
    assert [(one.tombstones, one.divisions) for one in recalled] == [({(7, 0): 900}, [7])]


@pytest.mark.parametrize("name", ["divisions", "me", "deleted"])
def test_lists_of_all_divisions_are_read_by_one_stream(name: str) -> None:
    async def none() -> list[Any]:
        return []

    run: Any = SimpleNamespace(options=make_options(), divisions=SimpleNamespace(chosen=none))
    states: Any = SimpleNamespace()
    entity = EntityStreams(
        run, shape_of(name), states, rank=0, holds_rows=False, may_drop_rows=False
    )
    (stream,) = asyncio.run(entity.streams(asyncio.Queue()))
    stream.close()


def test_an_error_of_another_resource_is_not_printed_beside_the_real_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def iterate() -> None:
        run: Any = SimpleNamespace(preview=lambda: SimpleNamespace(options=make_options()))
        tables = EntityReader(Session(run), shape_of("accounts"), 0).tables()
        with pytest.raises(AttributeError):  # this run cannot connect
            await anext(tables)
        loop = asyncio.get_running_loop()
        for error in (ConfigurationError("no company matches"), ValueError("a mistake")):
            loop.call_exception_handler({"message": "never retrieved", "exception": error})

    asyncio.run(iterate())
    assert [type(r.exc_info[1]) for r in caplog.records if r.exc_info] == [ValueError]


@pytest.mark.parametrize(
    ("name", "has_leases", "is_merged"),
    [("divisions", True, True), ("divisions", False, False), ("accounts", True, False)],
)
def test_a_list_that_several_workers_load_is_never_appended(
    name: str, has_leases: bool, is_merged: bool
) -> None:
    leases = object() if has_leases else None
    run: Any = SimpleNamespace(options=make_options(), leases=leases)
    warehouse: Any = SimpleNamespace(divisions=lambda _name, marked: set())
    reader = EntityReader(Session(run), shape_of(name), 0)

    assert reader._first_load(warehouse).is_over == is_merged


# -- what a resource yields ------------------------------------------------------------------------


class Reader(EntityReader):
    """Reads one batch, or nothing, of an entity that was read before or not."""

    def __init__(
        self, deletes: str, strategy: Strategy, batch: pa.Table | None, known: bool
    ) -> None:
        run: Any = SimpleNamespace(
            log=RoundLog(),
            rounds=SimpleNamespace(number=1),
            options=make_options(deletes=deletes),
            next_stamp=lambda: 5.0,
            rejected=SimpleNamespace(waiting=False),
        )
        super().__init__(Session(run), shape_of("accounts"), 0)
        self.strategy = strategy
        self._batch = batch
        self._states: Any = SimpleNamespace(known=known, divisions=(), close=lambda: None)

    def _resource(self) -> Any:
        return None

    def _begin(self, *_: Any) -> Any:
        return self._states

    async def _loadable(self, *_: Any) -> AsyncIterator[pa.Table]:
        if self._batch is not None:
            yield self._batch

    async def read(self, stored: int = 0) -> list[pa.Table]:
        warehouse: Any = SimpleNamespace(
            divisions=lambda *_, **__: set(), count=lambda _table: stored
        )
        return [table async for table in self._tables(warehouse)]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The state of the resource."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(dlt.current, "resource_state", lambda _name: found)
    monkeypatch.setattr(entity_reader, "remember", lambda _run: None)
    return found


@pytest.mark.parametrize(
    ("deletes", "strategy", "known", "stored", "deletions"),
    [
        ("hard", Strategy(), False, 0, 1),
        ("hard", Strategy(), False, 2, 0),
        ("hard", Strategy(), True, 0, 0),
        ("soft", Strategy(), False, 0, 0),
        ("hard", Strategy("log", deletes_marked=False), False, 0, 0),
    ],
)
def test_the_first_read_without_rows_makes_the_table(
    kept: dict[str, Any],
    deletes: str,
    strategy: Strategy,
    known: bool,
    stored: int,
    deletions: int,
) -> None:
    tables = asyncio.run(Reader(deletes, strategy, None, known).read(stored))

    assert [row["id"] for table in tables for row in table.to_pylist()] == [""] * deletions
    assert all(table.column("_deleted_at").null_count == 0 for table in tables)
    assert kept == {}


@pytest.mark.parametrize(
    ("ids", "strategy", "appends"),
    [("ab", Strategy(), True), ("aa", Strategy(), False), ("ab", SOFT, False)],
)
def test_rows_that_are_all_new_are_appended_and_counted(
    kept: dict[str, Any], ids: str, strategy: Strategy, appends: bool
) -> None:
    batch = rows.stamp(pa.table({"division": pa.array([7, 7], pa.int32()), "id": list(ids)}), 0)
    reader = Reader("hard", strategy, batch, known=False)

    assert asyncio.run(reader.read()) == [batch]
    assert reader.appends is appends
    assert kept == ({"appended": 2} if appends else {})


class Streams:
    """Replaces the streams of an entity by one of three pages; notes what was requested."""

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.holds_rows: list[bool] = []

    def __call__(self, *_: Any, holds_rows: bool, **__: Any) -> Streams:
        self.holds_rows.append(holds_rows)
        return self

    async def read(self, queue: asyncio.Queue[Item | None]) -> None:
        for key in "abc":
            self.requested.append(key)
            page = pa.table({"division": pa.array([7], pa.int32()), "id": [key]})
            await queue.put(Item(7, rows.stamp(page, 0), Cursor(column=None)))
            await queue.join()
        await queue.put(None)


class LimitedReader(Reader):
    """Reads the pages of ``Streams`` up to a limit."""

    def __init__(self, most: int, strategy: Strategy = SOFT, **options: Any) -> None:
        super().__init__("hard", strategy, None, known=True)
        self.session.run.options = make_options(**options)
        self.session.run.rounds.read_by_page = lambda *_, **__: None  # type: ignore[method-assign]
        self._limit = most
        self._states.store = self._states.write = lambda *_: None

    def _resource(self) -> Any:
        return make_resource().add_limit(self._limit)

    _loadable = EntityReader._items


def test_no_page_is_requested_after_the_last_one_of_a_limit(
    kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams()
    monkeypatch.setattr(entity_reader, "EntityStreams", streams)
    tables = asyncio.run(LimitedReader(2).read())

    assert [key for table in tables for key in table.column("id").to_pylist()] == ["a", "b"]
    assert streams.requested == ["a", "b"]
    assert kept == {}


def test_rows_are_held_for_earlier_states_or_to_load_a_key_once(
    kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams()
    monkeypatch.setattr(entity_reader, "EntityStreams", streams)
    for strategy, history in ((Strategy(), ()), (Strategy(), ("accounts",)), (SOFT, ())):
        asyncio.run(LimitedReader(3, strategy, history=history).read())
        kept.clear()

    assert streams.holds_rows == [False, True, True]
    assert streams.requested == [*"abc"] * 3
