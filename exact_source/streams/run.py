"""What all streams of one run share: the connection, the divisions, the tombstones, when to stop."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import dlt
import pyarrow as pa

from ..api.client import ExactClient, OnWait, Target
from ..api.dropping import read_list
from ..api.listing import read_all
from ..api.refusals import ErrorFile
from ..api.tombstones import Tombstones, read_tombstones
from ..clock import Clock
from ..destination.first_load import FirstLoad
from ..destination.stored import Stored
from ..entities import load_catalogue
from ..errors import ConfigurationError, ContractError, ExactError, LimitError, RefusedError
from ..leases import SqlLeases, division_item
from ..pages import rows
from ..pages.page import PageSchema
from ..protocol.feeds import Route
from ..protocol.limits import DAY_S, Limits

Deletes = Literal["hard", "soft", "ignore"]
StartBy = Literal["modified", "timestamp"]
Status = Literal["running", "complete", "incomplete", "waiting", "refused", "failed", "skipped"]

# What every run needs of the list of divisions, whether or not it is loaded.
DIVISION_FIELDS = ("Code", "Description", "BlockingStatus", "DivisionMoveDate")
# Entities that are read once, for all others.
LISTS = ("divisions", "deleted", "me")
# Divisions that are asked for the list of divisions before it is given up.
DIVISION_TRIES = 3
# Rows of a stream without a key that are kept; more is no oversight but another API.
KEYLESS_ROWS = 1_000
# What ends a round, unless somebody says otherwise: so much is lost at most, and waits to be loaded.
ROUND_S, ROUND_ROWS = 300.0, 1_000_000
# Rows that wait in memory for the end of a load, for the tables of earlier states.
HISTORY_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asked for.

    Attributes:
        divisions: Codes; empty for every division that the app may see.
        route: Feed for all entities, or per entity.
        deletes: What becomes of rows that are gone.
        start_ms: Rows older than this are not loaded: ``Modified`` digits in milliseconds.
        start_by: Whether ``start_ms`` counts by ``Modified`` alone, or sync feeds that can begin at a
            ``Timestamp`` for it, so that what lies below is not read.
        full_refresh: Entities to read anew, whatever their cursor says.
        reconcile: Entities whose keys are compared in this run.
        reconcile_s: Seconds after which that is done for entities without tombstones; ``None``: never.
        history: Entities whose earlier states are kept, in tables of their own.
        utc_instants: Add ``created_utc`` and ``modified_utc``.
        raw_codes: Add ``code_raw`` and the like, codes with the spaces that Exact pads them with.
        zone_slack_s: How far the site's wall clock may run behind UTC.
        parameters: Setting -> values that functions are asked with, instead of those of their parents.
        round_pages: Pages after which a run stops, to be loaded and gone on with; ``None``: no limit.
        round_s: Seconds after which a run stops in the same way.
        round_rows: Rows after which a run stops in the same way.
        notices: ``(entity, division)`` -> mark of the last webhook that said it changed: only streams
            whose rows do not cover theirs are read; ``None``: all are.
    """

    divisions: tuple[int, ...] = ()
    route: Route = "auto"
    deletes: Deletes = "hard"
    start_ms: int | None = None
    start_by: StartBy = "modified"
    full_refresh: frozenset[str] = frozenset()
    reconcile: frozenset[str] = frozenset()
    reconcile_s: float | None = None
    history: frozenset[str] = frozenset()
    utc_instants: bool = False
    raw_codes: bool = False
    zone_slack_s: float = 0.0
    parameters: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    round_pages: int | None = None
    round_s: float | None = None
    round_rows: int | None = None
    notices: Mapping[tuple[str, int], str] | None = None


@dataclass(frozen=True)
class Division:
    """A company.

    Attributes:
        code: Its number in URLs.
        name: Its description.
        blocked: ``BlockingStatus``; 0 is open (API 5).
        moved: ``DivisionMoveDate`` in milliseconds of its digits; 0 if it never moved, ``None`` if
            the list of divisions was refused.
    """

    code: int
    name: str = ""
    blocked: int = 0
    moved: int | None = 0


@dataclass(frozen=True)
class Rejected:
    """A row that has no place in its table: it lacks a part of its key."""

    division: int
    entity: str
    reason: str
    row: str


@dataclass
class StreamResult:
    """How one entity of one division fared in one run.

    ``code`` is empty if nothing is wrong, also where ``error`` says that the next round goes on.
    """

    division: int
    entity: str
    feed: str
    started_at: float
    ended_at: float = 0.0
    calls: int = 0
    shared_calls: int = 0  # for the list of divisions and for tombstones, if this stream came first
    rows: int = 0
    deleted: int = 0
    cursor: str = ""
    status: Status = "running"
    error: str = ""
    code: str = ""  # kind of ``error``: that of its class, or one of ``errors.STREAM_CODES``
    resumes_at: float | None = None
    permanent: bool = False  # an error that another run would meet again
    notes: list[str] = field(default_factory=list)

    def end(self, status: Status, error: str = "", code: str = "") -> None:
        """Say how it fared, and of what kind its error is."""
        self.status, self.error, self.code = status, error, code


class PausedError(Exception):
    """The round ended while a stream waited; it goes on in the next one."""


class Run:
    """One sync, over all its rounds.

    Args:
        options: What the user asked for.
        connect: Makes a client in the running event loop; each round has a loop of its own.
        clock: Time.
        limits: Survives the rounds.
        leases: Of the divisions, if several workers share them.
    """

    known_divisions: Sequence[int] = ()

    def __init__(  # noqa: PLR0915 (a line for each thing that is shared)
        self,
        options: Options,
        connect: Callable[[], ExactClient],
        *,
        clock: Clock,
        limits: Limits,
        leases: SqlLeases | None = None,
    ) -> None:
        self.options = options
        self.clock = clock
        self.limits = limits
        self.leases = leases
        self.results: list[StreamResult] = []
        self.unsaid: list[StreamResult] = []
        self.settled: set[tuple[str, int]] = set()
        self.noticed: dict[str, set[int]] = {}
        self.rejected: list[Rejected] = []
        self.strange: list[pa.Table] = []  # tombstones of unknown entities, to be kept
        self.tells_of_strange: dict[int, str] = {}
        self.without_start_version: set[int] = set()  # divisions that refuse to say it
        self.keyless: Counter[tuple[str, int]] = Counter()
        self.selected: frozenset[str] = frozenset()
        self.rounds = self._users = 0
        self.fatal: ExactError | None = None
        self.stop_at: float | None = None
        self.stop_requested = False
        self.first_loads: dict[str, FirstLoad] = {}
        self.tombstones_since: dict[tuple[int, int], int] = {}
        self.arrived: set[str] | None = None
        self.versions: dict[int, int] = {}
        self.withdrawn: MutableMapping[str, tuple[str, ...]] = {}
        self.on_wait: OnWait = lambda _target, _until, _why: None
        self.on_progress: Callable[[StreamResult], None] = lambda _result: None
        self._connect = connect
        self._client: ExactClient | None = None
        self._locks: dict[object, asyncio.Lock] = {}
        self._cache: dict[object, Any] = {}
        self.overhead: Counter[int] = Counter()
        self.error_file: ErrorFile | None = None
        self.held_rows = 0
        self._pages = self._rows = self.history_rows = 0
        self.started_at = self._round_started_at = clock.now()
        self.refresh_asked_at = self.started_at  # or earlier, if that refresh is not over

    # -- the connection ------------------------------------------------------------------------

    @asynccontextmanager
    async def connected(self, pipeline: Callable[[], dlt.Pipeline]) -> AsyncIterator[Stored]:
        """Both ends, opened by the first user in this event loop and closed by the last."""
        if self._client is None:
            active = pipeline()
            self._client = self._connect()
            self._client.on_wait = self._wait_or_stop
            self._locks = defaultdict(asyncio.Lock)
            self.stored = Stored(active)
            self.stored.check()
            self.error_file = ErrorFile.of(active)
            self.error_file.recall(self.limits)
            self._client.on_error = self._keep_errors
            self._count_earlier_calls()
        self._users += 1
        try:
            yield self.stored
        finally:
            self._users -= 1
            if self._users == 0:
                client, self._client = self._client, None
                self._keep_errors()
                self.stored.close()
                await client.close()

    def _keep_errors(self) -> None:
        """At each error, because a process may be killed and Exact's count goes on (API 2.3)."""
        if self.error_file is not None:
            self.error_file.keep(self.limits, self.clock.now())

    @property
    def is_connected(self) -> bool:
        """Whether somebody still reads in this round."""
        return self._users > 0

    def _count_earlier_calls(self) -> None:
        """What earlier runs of today took of the contract's calls; once."""
        if self.limits.contract is not None and "earlier calls" not in self._cache:
            now = self.clock.now()
            calls = self.stored.calls_since(rows.instant(now // DAY_S * DAY_S))
            self.limits.note_earlier_calls(calls, now)
            self._cache["earlier calls"] = calls

    @property
    def client(self) -> ExactClient:
        """The open client."""
        if self._client is None:
            raise RuntimeError("the run is not connected")
        return self._client

    # -- rounds --------------------------------------------------------------------------------

    def begin_round(self) -> None:
        """Forget what the last round counted."""
        self.rounds += 1
        self._pages = self._rows = self.history_rows = 0
        self._round_started_at = self.clock.now()
        self.arrived = None

    def is_settled(self, entity: str, division: int) -> bool:
        """Whether a stream has nothing more to read in this run."""
        unnoticed = entity in self.noticed and division not in self.noticed[entity]
        return unnoticed or (entity, division) in self.settled

    def note_version(self, division: int, version: int | None) -> None:
        """Keep the highest row version seen of a division; they are one series over all entities."""
        self.versions[division] = max(version or 0, self.versions.get(division, 0))

    def forget_versions(self, division: int) -> None:
        """A division turned out to be in another database: its tombstones are listed from the first."""
        self.versions.pop(division, None)
        since = {at: top for at, top in self.tombstones_since.items() if at[0] == division and top}
        if since:
            self.tombstones_since.update(dict.fromkeys(since, 0))
            for whole in (True, False):
                self._cache.pop(("tombstones", division, whole), None)

    def count_page(self, rows: int) -> None:
        """Note that a page was read."""
        self._pages += 1
        self._rows += rows

    def must_stop(self) -> bool:
        """Whether streams should stop at the next page, to be loaded and gone on with."""
        now = self.clock.now()
        options = self.options
        return (
            self._is_stopped()
            or self.fatal is not None
            or self.history_rows >= HISTORY_ROWS
            or (options.round_rows is not None and self._rows >= options.round_rows)
            or (options.round_pages is not None and self._pages >= options.round_pages)
            or (options.round_s is not None and now - self._round_started_at >= options.round_s)
        )

    def _wait_or_stop(self, target: Target, until: float, why: str) -> None:
        """Tell of a wait.

        Raises:
            LimitError: If the run shall stop: a wait takes up to a quarter of an hour.
            PausedError: If the round is over: what was read waits to be loaded.
        """
        if self._is_stopped():
            raise LimitError(f"{target.where}: stopped while waiting: {why}", resumes_at=until)
        self._pause_if_over(target)
        self.on_wait(target, until, why)

    def _pause_if_over(self, target: Target) -> None:
        if target.may_pause and self._pages and self.must_stop():
            raise PausedError

    def heed_end(self, target: Target) -> None:
        """Make no further call once the run shall stop, nor in a round that is over.

        Raises:
            LimitError: If the run shall stop.
            PausedError: If the round is over, and what was read waits to be loaded.
        """
        self.heed_stop(target)
        self._pause_if_over(target)

    def heed_stop(self, target: Target) -> None:
        """Make no further call once the run shall stop.

        Raises:
            LimitError: If so.
        """
        if self._is_stopped():
            raise LimitError(f"{target.where}: stopped", resumes_at=self.clock.now())

    def _is_stopped(self) -> bool:
        return self.stop_requested or (
            self.stop_at is not None and self.clock.now() >= self.stop_at
        )

    def give_up(self, error: ExactError) -> None:
        """Stop all streams because of an error that concerns all; what was read is loaded.

        Raises:
            ExactError: The error, if nothing was read yet.
        """
        if self._pages == 0:
            raise error
        self.fatal = self.fatal or error

    # -- rows without a key --------------------------------------------------------------------

    def with_key(self, result: StreamResult, table: pa.Table, keys: Sequence[str]) -> pa.Table:
        """The rows that have a key; the others are kept for ``_exact_rejected``.

        Raises:
            ContractError: If there are a thousand of them.
        """
        kept, keyless = rows.with_key(table, keys)
        if keyless.num_rows:
            stream = result.entity, result.division
            self.keyless[stream] += keyless.num_rows
            reason = f"no {' or no '.join(k for k in keys if keyless.column(k).null_count)}"
            if self.keyless[stream] > KEYLESS_ROWS:
                raise ContractError(
                    f"{result.entity} of division {result.division}: over {KEYLESS_ROWS} rows have "
                    f"{reason}; reading stopped"
                )
            self.rejected += [Rejected(*stream[::-1], reason, row) for row in rows.as_json(keyless)]
        return kept

    def lacking(self, result: StreamResult) -> str:
        """What to say of a stream's rows without a key; empty if it has none."""
        count = self.keyless[result.entity, result.division]
        rows_are = "row without a key is" if count == 1 else "rows without a key are"
        return f"{count} {rows_are} in _exact_rejected, not in the table" if count else ""

    # -- shared answers, each fetched once a run -----------------------------------------------

    async def divisions(self) -> list[Division]:
        """The divisions to read, open or not."""
        await self.division_list(whole=self.loads("divisions"))
        return list(self._cache["divisions"])

    @property
    def open_divisions(self) -> list[Division]:
        """The divisions to read that are not blocked; none until the list was read."""
        return [d for d in self._cache.get("divisions", ()) if not d.blocked]

    def loads(self, entity: str) -> bool:
        """Whether a list is wanted for itself, so that all of its columns are."""
        return not self.selected or entity in self.selected

    async def division_list(self, *, whole: bool = True) -> tuple[pa.Table | None, int]:
        """All rows of ``system/Divisions``, ``None`` if the app may not read it; and the calls.

        ``whole``: with all columns, not only ``DIVISION_FIELDS``.
        """
        async with self._locks["divisions"]:
            if "divisions" not in self._cache or whole > self._cache["whole divisions"]:
                table, calls = await self._read_divisions(None if whole else DIVISION_FIELDS)
                self._cache["division_list"] = table, calls
                self._cache["whole divisions"] = whole
                self._cache["divisions"] = chosen = self._choose_divisions(table)
                if not self.options.divisions:
                    await self._leased([d.code for d in chosen if not d.blocked])
        return self._cache["division_list"]  # type: ignore[no-any-return]

    async def has_rights(self, division: int, path: str) -> bool:
        """Whether the user may read an endpoint."""
        key = ("rights", division, path)
        async with self._locks[key]:
            if key not in self._cache:
                self._cache[key] = await self.client.has_rights(division, path)
        return bool(self._cache[key])

    async def tombstones(self, division: int, *, whole: bool | None = None) -> Tombstones:
        """What a division said of its deleted rows since ``tombstones_since``.

        ``whole``: with all columns; default: if they are loaded.
        """
        whole = self.loads("deleted") if whole is None else whole
        moved = next(d.moved for d in await self.divisions() if d.code == division)
        since = self.tombstones_since.get((division, self.last_move(division, moved)))

        async def read() -> Tombstones:
            target = Target(
                division,
                "sync/Deleted",
                "deleted",
                rank=-1,
                before_call=self.heed_end,
                may_pause=True,
            )
            found = await read_tombstones(self, self.clock, target, since, whole=whole)
            self._note_overhead("deleted", division, found.calls)
            return found

        return await self.once(("tombstones", division, whole), read)  # type: ignore[no-any-return]

    def _note_overhead(self, entity: str, division: int | None, calls: int) -> None:
        """Calls for a list that is no table of this run; they belong to the first stream that ends."""
        if entity not in self.selected:
            self.overhead[division or 0] += calls

    def take_overhead(self, division: int) -> int:
        """Calls that nobody has counted: the division's, and those of divisions that are not read."""
        read = {d.code for d in self._cache.get("divisions", ())} - {division}
        mine = [code for code in self.overhead if code not in read]
        return sum(self.overhead.pop(code) for code in mine)

    def last_move(self, division: int, moved: int | None) -> int:
        """``DivisionMoveDate``; that of earlier runs if the list of divisions was refused."""
        earlier = (at for code, at in self.tombstones_since if code == division)
        return max(earlier, default=0) if moved is None else moved

    def lock(self, key: object) -> asyncio.Lock:
        """Lets one stream at a time do something."""
        return self._locks[key]

    async def once(self, key: object, fetch: Callable[[], Awaitable[Any]]) -> Any:
        """The value of ``fetch()``, fetched by whoever asks first."""
        async with self.lock(key):
            if key not in self._cache:
                self._cache[key] = await fetch()
        return self._cache[key]

    def recall_withdrawn(self, known: Mapping[str, Sequence[str]]) -> None:
        """Go on without the columns of lists that earlier runs found withdrawn.

        A full refresh of a list looks whether they are back.
        """
        entities = load_catalogue().entities
        anew = {
            feed.path
            for name in self.options.full_refresh.intersection(LISTS)
            for feed in entities[name].feeds.values()
        }
        self.withdrawn.update({p: tuple(gone) for p, gone in known.items() if p not in anew})

    async def _read_divisions(self, fields: Sequence[str] | None) -> tuple[pa.Table | None, int]:
        """The list by the first division that gives it: one may be blocked or out of calls."""
        entity = load_catalogue().entities["divisions"]
        feed = entity.feeds["regular"]
        schema = PageSchema(
            entity,
            feed,
            fields,
            raw_codes=self.options.raw_codes,
            utc_instants=("Created", "Modified") if self.options.utc_instants else (),
        )
        named = self.options.divisions
        failures: list[RefusedError | LimitError] = []
        calls = 0
        async for start in self._starts():
            target = Target(start, feed.path, "divisions", before_call=self.heed_stop)
            try:
                table = rows.concat(await read_list(self, target, schema, feed))
                return table, calls + target.calls
            except (RefusedError, LimitError) as error:
                failures.append(error)
            finally:
                self._note_overhead("divisions", start, target.calls)
            calls += target.calls
            if sum(isinstance(f, RefusedError) for f in failures) == DIVISION_TRIES:
                break
        if named and isinstance(failures[0], RefusedError):
            return None, calls  # the codes are known; only DivisionMoveDate cannot be watched
        raise failures[0]

    async def _starts(self) -> AsyncIterator[int]:
        """Divisions by which the list may be had; a mistyped one cannot (API 5)."""
        named = await self._leased(self.options.divisions)
        for start in named[: DIVISION_TRIES - 1]:
            yield start
        current = await self._current_division()
        others = () if named else self.known_divisions
        for start in dict.fromkeys((current, *others)):
            if start not in named[: DIVISION_TRIES - 1]:
                yield start

    async def _leased(self, codes: Sequence[int]) -> Sequence[int]:
        """The divisions, those in front that this worker may call for; asked for all at once."""
        leases = self.leases
        if leases is None or not codes:
            return codes
        await asyncio.to_thread(leases.take_divisions, codes)
        return sorted(codes, key=lambda code: not leases.holds(division_item(code)))

    async def _current_division(self) -> int:
        entity = load_catalogue().entities["me"]
        schema = PageSchema(entity, entity.feeds["regular"], ["UserID", "CurrentDivision"])
        target = Target(None, "current/Me", "me", before_call=self.heed_stop)
        table = await read_all(self.client, target, schema)
        codes = table.column("division").to_pylist()
        if not codes or codes[0] is None:
            raise ConfigurationError(
                "Exact Online names no current division; name one with --divisions"
            )
        return int(codes[0])

    def _choose_divisions(self, table: pa.Table | None) -> list[Division]:
        seen = {} if table is None else {d.code: d for d in _divisions_of(table)}
        wanted = self.options.divisions
        if not wanted:
            if not seen:
                raise ConfigurationError(
                    "the app may see no division; see its scope at Exact Online"
                )
            return list(seen.values())
        if table is not None and (missing := [code for code in wanted if code not in seen]):
            raise ConfigurationError(
                f"divisions: {', '.join(map(str, missing))} cannot be seen by this app and user; "
                "see `exact-source divisions`"
            )
        return [seen.get(code, Division(code, moved=None)) for code in wanted]


def _divisions_of(table: pa.Table) -> Iterable[Division]:
    columns = [
        table.column(name).to_pylist() for name in ("code", "description", "blocking_status")
    ]
    moved = table.column("division_move_date").cast(pa.int64()).to_pylist()
    for code, name, blocked, at in zip(*columns, moved, strict=True):
        yield Division(int(code), name or "", int(blocked or 0), (at or 0) // 1000)
