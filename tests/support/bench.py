"""The core without dlt and without sockets, so that a thousand sequences take minutes.

``Ledger`` replaces the destination: it merges a load as dlt's delete-insert strategy does (one row
per key by the column that sorts, then deletions), and commits cursors with it. ``tests/dlt`` tests what
dlt itself does with a load.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httpx
import pyarrow as pa
import pytest
from dlt.common.schema.typing import TColumnSchema
from starlette.requests import Request

from exact_source.catalogue import load_catalogue, snake
from exact_source.catalogue.feeds import plan_feeds
from exact_source.client.client import ExactClient
from exact_source.client.limits import Limits
from exact_source.client.request import ExactRequest
from exact_source.client.transport import AiohttpTransport
from exact_source.engine.cursors import Cursor
from exact_source.engine.divisions import Division
from exact_source.engine.result import StreamResult
from exact_source.engine.run import EarlierRuns, Run
from exact_source.engine.shape import Shape
from exact_source.engine.stream import Stream
from exact_source.engine.tombstones import reads_tombstones, starts_of
from exact_source.errors import ExactError
from exact_source.loading.tables import column_hint
from exact_source.loading.warehouse import loaded_type
from exact_source.odata.page_schema import COMPANIONS
from exact_source.sandbox import Sandbox, SandboxClock
from exact_source.sandbox.http.data import DataCalls
from exact_source.source import make_options
from tests.support.world import Clock, assert_same_rows, expected_rows, make_box

BASE_URL = "http://127.0.0.1:1"
MARKS = {"_synced_at", "_deleted_at"}
Row = dict[str, Any]


class Stopped(OSError):  # noqa: N818 (not an error of a stream: the test orders it)
    """The process has ended."""


class HostClock(Clock):
    """The clock of a host, which may differ from Exact's.

    Attributes:
        ahead_s: Seconds that it is ahead; negative: behind.
    """

    def __init__(self, clock: SandboxClock, ahead_s: float = 0.0) -> None:
        super().__init__(clock)
        self.ahead_s = ahead_s

    def now(self) -> float:
        return super().now() + self.ahead_s


NEWER = "field_of_a_newer_version"


@contextmanager
def newer_version() -> Iterator[None]:
    """Write cursors as a newer version does: with a field that this one does not know."""
    to_state = Cursor.to_state

    def with_field(cursor: Cursor) -> dict[str, Any]:
        state = {**to_state(cursor), NEWER: 1}
        if "scan" in state:
            state["scan"][NEWER] = 1
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cursor, "to_state", with_field)
        yield


class Tokens:
    """A connection without trouble: every token is valid forever."""

    def __init__(self, box: Sandbox) -> None:
        oauth: Any = box.state.oauth
        connection = oauth.new_connection()
        oauth.connection_of = lambda _token: connection

    async def access_token(self) -> str:
        return "token"

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        raise AssertionError("a token was rejected")


TWINS = ("old-then-new", "new-then-old")
SIZES = ("huge", "bomb")
MOST_BYTES = 1 << 20  # largest reply


class Wire(httpx.AsyncBaseTransport):
    """The sandbox without a socket; connection errors are raised here.

    Attributes:
        before_call: Called before each call.
        trouble: Change to the next replies with rows: one of ``TWINS``, which shows rows that have changed
            in their older state as well, or one of ``SIZES``, a reply that is too large.
        did: Number of changed replies by kind of trouble.
        unlimited: Kinds of the replies that were too large and were read to their end.
    """

    def __init__(self, box: Sandbox) -> None:
        self._calls = DataCalls(box.state)
        self.before_call: Callable[[], None] = lambda: None
        self.trouble: list[str] = []
        self.did: Counter[str] = Counter()
        self.unlimited: list[str] = []
        self._pages: list[tuple[str, bytes]] = []  # whose rows are not yet in the next two
        self._shown: dict[tuple[str, str, frozenset[str]], Row] = {}  # by path, key and columns
        self._older: dict[tuple[str, str, frozenset[str]], Row] = {}
        self._limit = AiohttpTransport(BASE_URL, MOST_BYTES)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.before_call()
        assert isinstance(request, ExactRequest)
        target, _, query = request.full_url.removeprefix(BASE_URL).partition("?")
        path = unquote(target)
        scope = {
            "type": "http", "method": request.method, "scheme": "http", "root_path": "",
            "server": ("127.0.0.1", 1), "path": path, "query_string": query.encode(),
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "path_params": {"path": path.removeprefix("/api/v1/")},
        }  # fmt: skip
        answer = await self._calls(Request(scope, _nothing_sent))
        if not answer.status_code:
            raise httpx.RemoteProtocolError("dropped")
        content = bytes(answer.body)
        if answer.status_code == HTTPStatus.OK and b'"results"' in content:
            content = await self._with_trouble(path, content)
        headers = [pair for pair in answer.raw_headers if pair[0].lower() != b"content-length"]
        body = httpx.ByteStream(content)
        return httpx.Response(answer.status_code, headers=headers, stream=body)

    async def _with_trouble(self, path: str, content: bytes) -> bytes:
        kind = self.trouble[0] if self.trouble else ""
        if kind in SIZES:
            self.trouble.pop(0)
            self.did[kind] += 1
            await self._be_too_large(kind)
        if kind not in TWINS:
            self._pages.append((path, content))
            return content
        for earlier in self._pages:
            self._older_states(earlier[0], rows_of(earlier[1]))
        self._pages.clear()
        rows = rows_of(content)
        older = self._older_states(path, rows)
        if not older:
            return content
        self.trouble.pop(0)
        self.did[kind] += 1
        document = json.loads(content)
        twice = [*older, *rows] if kind == "old-then-new" else [*rows, *older]
        document["d"]["results"] = twice
        return json.dumps(document).encode()

    async def _be_too_large(self, kind: str) -> None:
        """Read the reply as the transport does, which should give up."""
        if kind == "bomb":
            self._limit._unpack(gzip.compress(bytes(MOST_BYTES + 1)))
        else:
            await self._limit._read(Flood())  # type: ignore[arg-type]  # the part of a stream that is read
        self.unlimited.append(kind)

    def _older_states(self, path: str, rows: Sequence[Row]) -> list[Row]:
        """Earlier states of the rows of a page, if versions show which state is newer."""
        found = []
        for row in rows:
            at = path, str(row.get("ID")), frozenset(row)
            before = self._shown.get(at)
            if before is not None and before != row:
                self._older[at] = before
            self._shown[at] = row
            older = self._older.get(at)
            if older is not None and is_older(older, row):
                found.append(dict(older))
        return found


def rows_of(content: bytes) -> list[Row]:
    """Rows of a reply; none if it is spoilt."""
    with suppress(ValueError, TypeError, KeyError):
        return list(json.loads(content)["d"]["results"])
    return []


class Flood:
    """The content of a reply of four times the largest size."""

    async def iter_any(self) -> AsyncIterator[bytes]:
        for _ in range(8):
            yield bytes(MOST_BYTES // 2)


def is_older(older: Row, newer: Row) -> bool:
    """Whether the version of a row in a reply is lower."""
    name = "Timestamp" if "Timestamp" in newer else "Modified"
    low, high = (re.sub(r"\D", "", str(row.get(name) or "")) for row in (older, newer))
    return bool(low and high) and int(low) < int(high)


async def _nothing_sent() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


def small_box(paths: Mapping[str, str], **settings: Any) -> Sandbox:
    """A small, fast sandbox with at most six rows in these entities and none in others.

    Args:
        paths: Path for writing, by entity.
        settings: Further settings of the sandbox.
    """
    box = make_box(invoices=1, **settings)
    store, seed = box.state.store, box.state.store._seeder

    def few(division: int, entity: str) -> list[Row]:
        if entity in paths:
            return [dict(row) for row in _seeds(entity, division)[:6]]
        return list(seed(division, entity)) if entity in SHARED else []

    store._seeder = few
    return box


SHARED = {"divisions", "me"}


@cache
def _seeds(entity: str, division: int) -> list[Row]:
    store = make_box(invoices=1).state.store
    return [dict(row) for row in store.table(division, entity).ordered("key")[1]]


@dataclass
class Load:
    """What one round extracted."""

    tables: list[tuple[str, pa.Table]] = field(default_factory=list)
    cursors: dict[tuple[str, int], Cursor] = field(default_factory=dict)
    columns: dict[tuple[str, int], list[str]] = field(default_factory=dict)


class Ledger:
    """The destination, in memory: ``engine.ports.Destination``, and loads into it."""

    def __init__(self) -> None:
        self.failures: tuple[type[Exception], ...] = ()
        self.rows_of: defaultdict[str, dict[tuple[Any, ...], Row]] = defaultdict(dict)
        self.known: defaultdict[str, set[str]] = defaultdict(set)
        self.schemas: dict[str, pa.Schema] = {}
        self.cursors: dict[tuple[str, int], Cursor] = {}
        self.loaded_with: dict[tuple[str, int], list[str]] = {}

    # -- queries of the core -------------------------------------------------------------------

    def _of(self, table: str, division: int, *, marked: bool = True) -> list[Row]:
        rows = [r for r in self.rows_of[table].values() if r["division"] == division]
        return [r for r in rows if marked or r["_deleted_at"] is None]

    def versions(
        self,
        table: str,
        division: int,
        key: str,
        values: Sequence[str],
        version: str,
        *,
        marked: bool,
    ) -> dict[str, Any]:
        wanted = set(values)
        rows = self._of(table, division, marked=marked)
        return {str(r[key]): r.get(version) for r in rows if r[key] in wanted}

    def synced_before(
        self,
        table: str,
        division: int,
        keys: Sequence[str],
        before: datetime | None,
        *,
        marked: bool,
    ) -> pa.Table | None:
        if table not in self.schemas:
            return None
        rows = self._of(table, division, marked=marked)
        rows = [r for r in rows if before is None or r["_synced_at"] < before]
        schema = pa.schema([self.schemas[table].field(k) for k in keys])
        return pa.Table.from_pylist([{k: r[k] for k in keys} for r in rows], schema=schema)

    def marked(self, table: str, division: int, keys: Sequence[str]) -> pa.Table | None:
        if table not in self.schemas:
            return None
        rows = [r for r in self._of(table, division) if r["_deleted_at"] is not None]
        schema = pa.schema([self.schemas[table].field(k) for k in keys])
        return pa.Table.from_pylist([{k: r[k] for k in keys} for r in rows], schema=schema)

    def rows(
        self, table: str, division: int, key: str, values: Sequence[str | int]
    ) -> Iterator[pa.Table]:
        wanted = set(values)
        rows = [r for r in self._of(table, division) if r[key] in wanted]
        yield pa.Table.from_pylist(rows, schema=self.schemas[table])

    def all_rows(self, table: str) -> pa.Table | None:
        if table not in self.schemas:
            return None
        rows = list(self.rows_of[table].values())
        return pa.Table.from_pylist(rows, schema=self.schemas[table])

    def columns(self, table: str) -> Mapping[str, TColumnSchema]:
        return {f.name: column_hint(f) for f in self.schemas.get(table, ())}

    def has_column(self, table: str, column: str) -> bool:
        return column in self.known[table]

    def count(self, table: str, division: int | None = None) -> int:
        return len(self.rows_of[table] if division is None else self._of(table, division))

    def counts(self, table: str) -> Mapping[int, int] | None:
        return Counter(row["division"] for row in self.rows_of[table].values())

    def window_rows(self, table: str, division: int, since: float) -> int:
        return 0  # no window is read

    def last_synced(self, table: str, division: int) -> datetime | None:
        return max((row["_synced_at"] for row in self._of(table, division)), default=None)

    def first_synced(self, table: str, division: int) -> datetime | None:
        return min((row["_synced_at"] for row in self._of(table, division)), default=None)

    def has_rows(self, table: str, division: int) -> bool:
        return bool(self._of(table, division))

    def highest(self, table: str, division: int, column: str) -> int | None:
        rows = self._of(table, division, marked=False)
        return max((r[column] for r in rows if r.get(column) is not None), default=None)

    def divisions(self, table: str, *, marked: bool) -> set[int]:
        rows = self.rows_of[table].values()
        return {r["division"] for r in rows if marked or r["_deleted_at"] is None}

    def distinct(self, table: str, division: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        rows = self._of(table, division, marked=False)
        return list(dict.fromkeys(tuple(r.get(c) for c in columns) for r in rows))

    def kept_columns(self, table: str, fields: Iterable[str], live: Collection[str]) -> pa.Schema:
        names = [snake(field) + ending for field in fields for ending in ("", *COMPANIONS)]
        types = {name: loaded_type(hint) for name, hint in self.columns(table).items()}
        kept = {n: types[n] for n in names if types.get(n) is not None and n not in live}
        return pa.schema(kept.items())

    # -- changes by others -------------------------------------------------------------------

    def shared(self) -> Ledger:
        """The ledger of a second writer: it fills the same tables and keeps its own cursors."""
        other = Ledger()
        other.rows_of, other.known, other.schemas = self.rows_of, self.known, self.schemas
        return other

    def drop(self, entity: str) -> None:
        """Remove a table, as ``DROP TABLE`` does. The cursors stay."""
        self.rows_of.pop(entity, None)
        self.known.pop(entity, None)
        self.schemas.pop(entity, None)

    # -- loading -------------------------------------------------------------------------------

    def commit(self, load: Load, shapes: dict[str, Shape], deletes: str) -> None:
        """Commit a load that has arrived."""
        for entity in {name for name, _ in load.tables}:
            self.merge(shapes[entity], [t for name, t in load.tables if name == entity], deletes)
        self.cursors.update(load.cursors)
        self.loaded_with.update(load.columns)

    def merge(self, shape: Shape, tables: Iterable[pa.Table], deletes: str) -> None:
        """Merge like dlt's delete-insert: the newest row of each key replaces or deletes the stored row."""
        name, keys = shape.entity.name, ["division", *shape.keys]
        by = shape.version if shape.version == "timestamp" else "_synced_at"
        assert by is not None
        winners: dict[tuple[Any, ...], Row] = {}
        for table in tables:
            self.known[name].update(table.column_names)
            self.schemas[name] = table.schema
            for row in table.to_pylist():
                key = tuple(row[k] for k in keys)
                rival = winners.get(key)
                if rival is None or rank(row, by) > rank(rival, by):
                    winners[key] = row
                elif rank(row, by) == rank(rival, by):
                    assert content(row) == content(rival), f"{name} {key}: nothing tells which wins"
        for key, row in winners.items():
            if deletes == "hard" and row["_deleted_at"] is not None:
                self.rows_of[name].pop(key, None)
            else:
                self.rows_of[name][key] = row


def rank(row: Row, by: str) -> tuple[bool, Any]:
    """Sort key of ``ORDER BY ... DESC`` with nulls last."""
    return row[by] is not None, row[by]


def content(row: Row) -> Row:
    """The row for comparison, without the times of its load and deletion."""
    marks = {"_synced_at": None, "_deleted_at": row["_deleted_at"] is not None}
    return {**row, **marks}


# Few columns, because most of the time goes into wide rows.
FIELDS = {
    "ID", "Division", "Timestamp", "Created", "Modified", "Name", "Notes", "Code", "AmountDC",
    "Quantity", "LineNumber", "Description", "InvoiceID",
}  # fmt: skip


@cache
def shape_of(entity: str, route: str) -> Shape:
    found = load_catalogue().entities[entity]
    plan = plan_feeds(found, route)
    narrow = tuple(f for f in plan.fields if f in FIELDS)
    return Shape.of(found, replace(plan, fields=narrow))


def make_stream(
    run: Run, shape: Shape, division: Division, rank_: int, ledger: Ledger, load: Load
) -> Stream:
    """A stream that continues from the ledger's cursor and writes to the load."""
    entity = shape.entity.name

    async def emit(table: pa.Table | None, cursor: Cursor | None) -> None:
        if table is not None:
            load.tables.append((entity, table))
        if cursor is not None:
            # A round trip through JSON, as dlt stores the state.
            load.cursors[entity, division.code] = Cursor.from_state(cursor.to_state())
            load.columns[entity, division.code] = before if cursor.lacks else names

    names = shape.full.arrow.names
    before = ledger.loaded_with.get((entity, division.code), names)
    held = ledger.cursors.get((entity, division.code), Cursor(column=None))
    held = replace(held, lacks=tuple(n for n in names if n not in before))
    return Stream(run, shape, division, held, rank=rank_, emit=emit)


def tombstone_starts(ledger: Ledger, entities: Collection[str]) -> dict[tuple[int, int], int]:
    """``(division, DivisionMoveDate)`` -> ``Timestamp`` up to which all entities know the tombstones."""
    names = set(filter(reads_tombstones, entities))
    held = ledger.cursors.items()
    return starts_of((code, cursor.to_state()) for (name, code), cursor in held if name in names)


class Bench:
    """A sandbox, a ledger, and runs that may stop anywhere."""

    def __init__(self, box: Sandbox, ahead_s: float = 0.0, ledger: Ledger | None = None) -> None:
        self.box = box
        self.clock = HostClock(box.clock, ahead_s)
        self.ledger = ledger or Ledger()
        self.wire = Wire(box)
        self._tokens = Tokens(box)
        self._backups: dict[str, Any] = {}

    # -- others who load, and what they do to the tables ---------------------------------------

    @property
    def owner(self) -> object:
        """Identity of the cursors; hosts with the same pipeline share them."""
        return id(self.ledger)

    def host(self, ahead_s: float) -> Bench:
        """Another host with the same pipeline."""
        return Bench(self.box, ahead_s, self.ledger)

    def writer(self, ahead_s: float) -> Bench:
        """Another pipeline into the same tables."""
        return Bench(self.box, ahead_s, self.ledger.shared())

    def drop(self, entity: str) -> None:
        """Drop a table that has rows."""
        self.ledger.drop(entity)

    def truncate(self, entity: str) -> None:
        """Remove all rows of a table."""
        self.ledger.rows_of[entity].clear()

    def back_up(self, entity: str) -> None:
        """Copy a table, for ``restore``."""
        self._backups[entity] = dict(self.ledger.rows_of[entity])

    def restore(self, entity: str) -> None:
        """Put the copy in the place of the rows."""
        self.ledger.rows_of[entity].clear()
        self.ledger.rows_of[entity].update(self._backups[entity])

    def backed_up(self, entity: str) -> Counter[int] | None:
        """Number of rows of each division in the copy; ``None`` without one."""
        rows = self._backups.get(entity)
        return None if rows is None else Counter(row["division"] for row in rows.values())

    def bounds(self, entity: str, division: int) -> tuple[int, int] | None:
        """Fewest and most rows that the stream expects; ``None`` if it reads everything anyway."""
        cursor = self.ledger.cursors.get((entity, division))
        if cursor is None or cursor.stored_min is None or cursor.stored_max is None:
            return None
        return cursor.stored_min, cursor.stored_max

    def kill(self, entities: Sequence[str], step: int, **options: Any) -> bool:
        """Sync in a process that is killed at a step; returns whether it reached the step."""
        steps = itertools.count(1)

        def during() -> None:
            if next(steps) == step:
                raise Stopped

        try:
            self.sync(entities, during=during, **options)
        except Stopped:
            return True
        except BaseExceptionGroup as group:
            if group.split((Stopped, ExactError))[1]:
                raise
            return group.split(Stopped)[0] is not None
        except ExactError:
            pass
        return False

    # -- loads ---------------------------------------------------------------------------------

    def make_run(self, **options: Any) -> Run:
        limits = Limits()

        def connect() -> ExactClient:
            return ExactClient(
                self._tokens, BASE_URL, limits=limits, clock=self.clock, transport=self.wire
            )

        return Run(make_options(**options), connect, clock=self.clock, limits=limits)

    def sync(
        self,
        entities: Sequence[str],
        *,
        rounds: int = 200,
        during: Callable[[], None] = lambda: None,
        loads: Iterator[str] | None = None,
        **options: Any,
    ) -> list[StreamResult]:
        """Run rounds until everything is read; returns the last result of each stream.

        Args:
            entities: Entity names.
            rounds: Number of rounds after which the process ends.
            during: Called before every call and at every step of a stream; may change the company, or
                raise ``Stopped``.
            loads: Fate of each round: ``arrives``, ``fails``, or ``in part`` (rows of some
                tables arrive, and no cursor).
            options: Arguments of ``make_options``.
        """
        run = self.make_run(**options)
        run.log.on_progress = lambda _result: during()
        self.wire.before_call = during
        shapes = {e: shape_of(e, str(options.get("route", "auto"))) for e in entities}
        for _ in range(rounds):
            run.begin_round()
            before = len(run.log.results)
            load = asyncio.run(self._round(run, shapes))
            how = next(loads, "arrives") if loads is not None else "arrives"
            if how == "in part":
                part = Load([t for t in load.tables if t[0] == entities[0]])
                self.ledger.commit(part, shapes, run.options.deletes)
            if how != "arrives":
                return []
            self.ledger.commit(load, shapes, run.options.deletes)
            if not run.rounds.go_on(run.log.results[before:]):
                break
        return list({(r.entity, r.division): r for r in run.log.results}.values())

    async def _round(self, run: Run, shapes: dict[str, Shape]) -> Load:
        load = Load()
        run.open(self.ledger)
        run.recall(
            EarlierRuns(
                selected=frozenset(shapes), tombstones=tombstone_starts(self.ledger, shapes)
            )
        )
        try:
            divisions = await run.divisions.chosen()
            async with asyncio.TaskGroup() as group:
                for rank_, (entity, shape) in enumerate(shapes.items()):
                    for division in divisions:
                        if not run.rounds.is_settled(entity, division.code):
                            stream = make_stream(run, shape, division, rank_, self.ledger, load)
                            group.create_task(stream.read())
        finally:
            await run.close()
        return load

    def newer(self) -> set[tuple[str, int]]:
        """Streams whose cursor has a field of a newer version, and keeps it whatever happens next."""
        return {stream for stream, cursor in self.ledger.cursors.items() if NEWER in cursor.unknown}

    def half_read(self) -> set[tuple[str, int]]:
        """Streams that continue in the next run."""
        return {stream for stream, cursor in self.ledger.cursors.items() if cursor.scan}

    def keys(self, entity: str, division: int) -> set[tuple[Any, ...]]:
        """Keys of the stored rows that are not marked as deleted."""
        held = self.ledger.rows_of[entity].items()
        return {k for k, row in held if row["division"] == division and not row["_deleted_at"]}

    def assert_equal(self, entity: str, route: str, divisions: Iterable[int]) -> None:
        """Assert that the rows loaded by a route equal those of the company."""
        shape = shape_of(entity, route)
        names = {"division", *shape.full.arrow.names}
        for division in divisions:
            wanted = [
                {name: value for name, value in row.items() if name in names}
                for row in expected_rows(self.box, entity, division, by=shape.plan.full.kind)
            ]
            assert_same_rows(entity, self.ledger._of(entity, division), wanted)


__all__ = ["Bench", "ExactError", "Ledger", "Stopped"]
