"""The environment of tests of the core: a sandbox on a socket, a connection to it, and a pipeline.

Time moves only when the code under test sleeps or reads the clock (a millisecond each time, so that
no two events coincide), or when a test moves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import dlt
from dlt.common.storages.load_package import ParsedLoadJobFileName

from exact_source import exact_online
from exact_source.auth import FileTokenStorage, OAuth
from exact_source.catalogue import load_catalogue
from exact_source.client.limits import Limits
from exact_source.connect import ReadOnlyRun, make_read_only_run
from exact_source.engine.result import StreamResult
from exact_source.engine.run import Run
from exact_source.loading.session import Session
from exact_source.sandbox import Sandbox, SandboxClock
from exact_source.sandbox.clock import wall_clock
from exact_source.settings import Settings
from exact_source.source import make_options, make_run, run_source
from exact_source.sync.outcome import Outcome
from exact_source.sync.runner import sync
from exact_source.workers.leases import SqlLeases

if TYPE_CHECKING:  # environments of other packages have no pytest
    import pytest

DATASET = "exact_online"
MIDDAY = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)  # far from midnight and summer time
TICK_S = 0.001
BETWEEN_SYNCS_S = 120.0  # a new minute for a new process
Row = dict[str, Any]


def digits(text: str) -> datetime:
    """A wall-clock time without a zone, as Exact stores it."""
    return datetime.fromisoformat(text)


def as_digits(name: str, value: Any) -> Any:
    """The stored value: for BigQuery dlt stores digits as UTC, for other databases without a zone."""
    if not isinstance(value, datetime) or name.startswith("_") or name.endswith(("_utc", "ed_at")):
        return value
    assert value.utcoffset() in {None, timedelta(0)}
    return value.replace(tzinfo=None)


class Clock:
    """The sandbox's time for the client; sleeping moves it."""

    def __init__(self, clock: SandboxClock) -> None:
        self.sandbox = clock

    def now(self) -> float:
        self.sandbox.advance(TICK_S)
        return self.sandbox.now()

    async def sleep(self, seconds: float) -> None:
        until = self.sandbox.now() + seconds
        await asyncio.sleep(0)
        if self.sandbox.now() < until:  # another stream may have slept past it
            self.sandbox.set(until)


def make_box(**settings: Any) -> Sandbox:
    """A sandbox with a stopped clock, few rows and small pages."""
    small = {"companies": 2, "invoices": 2, "page_size": 4, "large_page_size": 6}
    clock = SandboxClock(MIDDAY, frozen=True)
    return Sandbox(**{"clock": clock, **small, **settings})


@dataclass
class World:
    """A sandbox on a socket, and its loader."""

    box: Sandbox
    base_url: str
    folder: Path
    destination: Any = None
    dataset: str = DATASET
    clock: Clock = field(init=False)
    storage: FileTokenStorage = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(self.box.clock)
        self.storage = FileTokenStorage(self.folder / "tokens.json")
        self.settings = Settings(
            base_url=self.base_url,
            client_id=self.box.client_id,
            client_secret=self.box.client_secret,
            redirect_uri=self.box.redirect_uri,
        )
        self.login()

    @cached_property
    def pipeline(self) -> dlt.Pipeline:
        """A pipeline for the company; made by the first use, because many tests need none."""
        return self.new_pipeline()

    def new_source(self) -> Any:
        """The source as a script makes it."""
        return exact_online(
            base_url=self.base_url,
            client_id=self.box.client_id,
            client_secret=self.box.client_secret,
            token_storage=self.storage,
            clock=self.clock,
        )

    # -- the company ---------------------------------------------------------------------------

    @property
    def division(self) -> int:
        return self.box.divisions[0]

    @property
    def other(self) -> int:
        return self.box.divisions[1]

    def keys(self, path: str, division: int | None = None) -> list[Any]:
        """Keys of the rows of an entity with a GUID as its key, in the order of pages."""
        endpoint = next(e for e in self.box.state.catalogue if e.path == path)
        (key,) = endpoint.key
        return [row[key] for row in self.box.rows(path, division or self.division)]

    def bury(self, division: int, entity_type: int) -> None:
        """Add a tombstone of this type to ``sync/Deleted``."""
        store = self.box.state.store
        store.table(division, "deleted").put(
            {
                "ID": store.new_guid(),
                "EntityKey": store.new_guid(),
                "EntityType": entity_type,
                "Division": division,
                "DeletedDate": wall_clock(self.clock.sandbox.now()),
                "Timestamp": store.next_version(division),
                "__at": self.clock.sandbox.now(),
            }
        )

    def advance_versions(self, by: int) -> None:
        """Use up row versions, like other tables of the database."""
        store = self.box.state.store
        for versions in (store._common, *store.versions.values()):
            versions.last += by

    # -- the loader ----------------------------------------------------------------------------

    def login(self) -> None:
        oauth = OAuth(
            self.settings.client_id,
            self.settings.client_secret,
            self.settings.redirect_uri,
            self.storage,
            base_url=self.base_url,
            clock=self.clock,
        )
        asyncio.run(oauth.exchange(self.box.login()["redirect_url"]))

    def new_pipeline(
        self, folder: str = "pipelines", destination: Any = None, name: str = "exact_online"
    ) -> dlt.Pipeline:
        """A pipeline with its own working folder and the same destination."""
        database = str(self.folder / "exact.duckdb")
        return dlt.pipeline(
            name,
            destination=destination or self.destination or dlt.destinations.duckdb(database),
            dataset_name=self.dataset,
            pipelines_dir=str(self.folder / folder),
        )

    def make_run(
        self,
        *,
        limits: Limits | None = None,
        leases: SqlLeases | None = None,
        observe: Any = None,
        **options: Any,
    ) -> Run:
        """A run as a new process would make it, some time after the last one."""
        self.clock.sandbox.advance(BETWEEN_SYNCS_S)
        return make_run(
            make_options(clock=self.clock, **options),
            self.settings,
            self.storage,
            clock=self.clock,
            limits=limits,
            leases=leases,
            observe=observe,
        )

    def make_read_only_run(self, *, observe: Any = None) -> ReadOnlyRun:
        """A run of questions that loads nothing, on the first company."""
        options = make_options(divisions=[self.division])
        return make_read_only_run(options, self.settings, self.storage, self.clock, observe=observe)

    def sync(self, *entities: str, limits: Limits | None = None, **options: Any) -> Outcome:
        """Run until everything is read or a limit is reached."""
        return self.sync_with(self.make_run(limits=limits, **options), *entities)

    def one_round(self, *entities: str, **options: Any) -> list[StreamResult]:
        """Run ``pipeline.run(exact_online(...))``: one load, which may stop before the end."""
        run = self.make_run(**options)
        self.pipeline.run(run_source(Session(run), list(entities)))
        return run.log.results

    def sync_with(self, run: Run, *entities: str) -> Outcome:
        return sync(self.pipeline, run, entities)

    # -- results -------------------------------------------------------------------------------

    @contextmanager
    def watch(self) -> Iterator[Calls]:
        """Record the calls that the sandbox gets during the block."""
        calls, before = Calls([]), len(self.box.requests)
        yield calls
        calls.all.extend(self.box.requests[before:])

    def last_jobs(self) -> list[ParsedLoadJobFileName]:
        """The completed jobs of the last load, which was one package."""
        trace = self.pipeline.last_trace
        assert trace is not None
        assert trace.last_load_info is not None
        (package,) = trace.last_load_info.load_packages
        return [job.job_file_info for job in package.jobs["completed_jobs"]]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with sql_client(self.pipeline) as client:
            return [tuple(row) for row in client.execute_sql(statement) or ()]

    def table(self, name: str, division: int | None = None) -> list[Row]:
        """All rows of a table without dlt's columns."""
        with sql_client(self.pipeline) as client:
            table = client.make_qualified_table_name(name)
            with client.execute_query(f"SELECT * FROM {table}") as cursor:
                names = [column[0] for column in cursor.description or ()]
                rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        kept = [
            {k: as_digits(k, v) for k, v in row.items() if not k.startswith("_dlt")} for row in rows
        ]
        mine = [row for row in kept if division is None or row["division"] == division]
        return sorted(mine, key=lambda row: [str(row[name]) for name in sorted(row)])

    def outcomes(self) -> list[Row]:
        return sorted(self.table("_exact_syncs"), key=lambda row: row["started_at"])

    def assert_equal(self, entity: str, *, by: str | None = None, only: Only | None = None) -> None:
        """Assert that the table contains exactly the rows of all divisions with the right values."""
        stored = self.table(entity)
        for division in self.box.divisions:
            wanted = expected_rows(self.box, entity, division, by=by, only=only)
            found = [row for row in stored if row["division"] == division]
            assert_same_rows(entity, found, wanted)


def sql_client(pipeline: dlt.Pipeline) -> Any:
    """The client of a pipeline's destination; dlt takes longer to create one than to run a query."""
    if pipeline not in _CLIENTS:
        _CLIENTS[pipeline] = pipeline.sql_client()
    return _CLIENTS[pipeline]


_CLIENTS: WeakKeyDictionary[dlt.Pipeline, Any] = WeakKeyDictionary()


def forget_clients() -> None:
    """Let another process open the file of DuckDB."""
    _CLIENTS.clear()


@dataclass
class Calls:
    """Calls that the sandbox got."""

    all: list[Any]

    def __len__(self) -> int:
        return len(self.all)

    def to(self, path: str, division: int | None = None) -> list[Any]:
        return [c for c in self.all if c.path == path and division in {None, c.division}]

    def statuses(self, path: str | None = None) -> list[int]:
        return [c.status for c in self.all if path in {None, c.path}]

    @property
    def paths(self) -> list[str]:
        return [c.path for c in self.all]


def billed(calls: Iterable[Any]) -> list[Any]:
    """The calls that Exact counts: all but those without a division and those about rights (API 2.1)."""
    return [c for c in calls if c.division is not None and c.path != "users/UserHasRights"]


# -- expected tables, computed without the code that fills them -----------------------------------

Only = Callable[[Mapping[str, Any]], bool]


def feed_path(entity: str, kind: str | None = None) -> str:
    """Path of an entity's feed; the cheapest by default."""
    feeds = load_catalogue().entities[entity].feeds
    order = (kind,) if kind else ("sync", "bulk", "regular", "function")
    return next(feed.path for k in order for kind_, feed in feeds.items() if kind_ == k)


def expected_rows(
    box: Sandbox, entity: str, division: int, *, by: str | None = None, only: Only | None = None
) -> list[Row]:
    """Expected rows in the destination, by the feed ``by`` or the cheapest one."""
    fields = load_catalogue().entities[entity].columns
    rows = [row for row in box.rows(feed_path(entity, by), division) if only is None or only(row)]
    return [
        {"division": division}
        | {
            fields[name].name: expected_value(name, fields[name].type_code, value)
            for name, value in row.items()
            if fields[name].type_code != "x" and name != "Division"
        }
        for row in rows
    ]


# Columns with codes whose names do not end in ``Code``, ``Unit``, ``Country`` or ``Language``.
HOLD_CODES = {
    "Costcenter", "CostCenter", "Costunit", "CostUnit", "CountryOfOrigin", "Journal", "Legislation",
    "Nationality", "PaymentCondition", "PaymentConditionPurchase", "PaymentConditionSales", "State",
    "Unitcode",
}  # fmt: skip


def expected_value(name: str, type_code: str, value: Any) -> Any:
    """The expected table value of a sandbox value."""
    if value is None:
        return None
    if type_code == "m":
        return Decimal(repr(float(value))).quantize(Decimal("1e-9"))
    if type_code == "f":
        return float(value)
    if type_code == "g":
        return str(value).lower()
    is_code = name.endswith(("Code", "Unit", "Country", "Language")) or name in HOLD_CODES
    if type_code == "s" and is_code:
        return str(value).strip(" ")
    return value


def assert_same_rows(entity: str, found: Sequence[Row], wanted: Sequence[Row]) -> None:
    """Assert that both have the same rows; shows the first difference."""
    names = [load_catalogue().entities[entity].columns[f].name for f in key_fields(entity)]
    held = {tuple(row[n] for n in names): row for row in found}
    due = {tuple(row[n] for n in names): row for row in wanted}
    assert len(held) == len(found), f"{entity}: a key is there twice"
    assert sorted(map(str, held)) == sorted(map(str, due)), f"{entity}: other rows than there are"
    for key, row in due.items():
        got = held[key]
        assert got.get("_extra") is None
        assert got["_deleted_at"] is None
        assert got["_synced_at"] is not None
        kept = {name: unpadded(name, got.get(name, "no column")) for name in row}
        assert kept == {name: unpadded(name, value) for name, value in row.items()}, (
            f"{entity} {key}"
        )


# Table columns that Exact pads with trailing blanks (API 12.13).
PADDED = {
    "bank_account_country", "country", "language", "legislation", "nationality", "state",
}  # fmt: skip


def unpadded(name: str, value: Any) -> Any:
    """A table value without Exact's trailing blanks."""
    return value.rstrip(" ") if name in PADDED and isinstance(value, str) else value


def key_fields(entity: str) -> list[str]:
    found = load_catalogue().entities[entity]
    return [f for f in found.key if f != "Division"] or list(found.key)


def export_settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the connection of a world into the environment."""
    for name in ("base_url", "client_id", "client_secret"):
        monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", getattr(world.settings, name))
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_FILE", str(world.folder / "tokens.json"))
