"""One writer per dataset: every load into a dataset holds its lock, whatever the pipeline or host.

dlt has one set of staging tables per dataset and empties it before each load. Two concurrent loads lose
rows or store them twice, and both report success. A sync therefore holds the lock from before its first read
until after its last load; a second sync ends with a ``HeldError`` that names the first. With leases, several
workers read at once by design, and each of them holds the lock only while it loads.

The kind of lock depends on the destination:

* DuckDB, SQLite and a local folder: a file lock next to the database.
* Postgres: an advisory lock on a separate connection. It belongs to a transaction rather than to the session,
  so that PgBouncer's transaction pooling reserves a server connection for it. The idle transaction has
  neither a snapshot nor an id, so it does not hold back vacuum. Keepalive probes let the server notice a
  dead host within two minutes.
* BigQuery and other warehouses with DML: a row with an expiry, see ``writer_claims``.
* Everything else (remote folders, ClickHouse, custom destinations): a file lock in dlt's folder, which covers
  one user on one machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

import dlt
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.pipeline import trace

from ..errors import ExactError, HeldError, LoadError, causes
from ..file_lock import LockedError, locked
from .writer import Writer, read_note

POLL_S = 0.5  # between two tries while another process holds the lock
FOLDERS = {"duckdb", "sqlalchemy", "filesystem"}
WITH_ROWS = {
    "bigquery", "databricks", "fabric", "motherduck", "mssql", "redshift", "snowflake", "sqlalchemy",
    "synapse",
}  # fmt: skip
# Seconds after which the server checks whether an idle holder is alive, and drops a dead one.
KEEPALIVE = (
    "SET LOCAL tcp_keepalives_idle = 30",
    "SET LOCAL tcp_keepalives_interval = 15",
    "SET LOCAL tcp_keepalives_count = 5",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
)


class Lock(Protocol):
    """A lock on a dataset that is held."""

    def confirm(self) -> None:
        """Make sure that the lock is still held.

        Raises:
            HeldError: If it may have been lost.
        """


class TakenError(Exception):
    """Another process holds the lock.

    Attributes:
        writer: The holder, ``None`` if unknown.
    """

    def __init__(self, writer: Writer | None) -> None:
        super().__init__()
        self.writer = writer


class Unlocked:
    """For a destination that no other process can reach."""

    def confirm(self) -> None:
        """Do nothing, because no other process can take it."""


_WRITING: WeakSet[dlt.Pipeline] = WeakSet()


@contextmanager
def sole_writer(
    pipeline: dlt.Pipeline,
    now: float,
    *,
    wait_s: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Lock]:
    """Hold the lock of the pipeline's dataset, so that no other process loads into it.

    Args:
        pipeline: Pipeline with the destination and dataset to lock.
        now: Seconds since the epoch, UTC, for messages.
        wait_s: Seconds to wait for another holder.
        sleep: Waits, in seconds.

    Yields:
        The lock; call its ``confirm`` before each load.

    Raises:
        HeldError: If another holds the lock after ``wait_s`` seconds.
        LoadError: If the destination cannot be reached, or refuses the lock.
    """
    writer = Writer.of(pipeline.pipeline_name, now)
    with ExitStack() as stack:
        waited = 0.0
        while True:
            try:
                lock = stack.enter_context(_take_lock(pipeline, writer))
                break
            except TakenError as taken:
                if waited >= wait_s:
                    raise _held(pipeline, taken.writer, now) from None
            sleep(POLL_S)
            waited += POLL_S
        _WRITING.add(pipeline)
        stack.callback(_WRITING.discard, pipeline)
        yield lock


def is_writing(pipeline: dlt.Pipeline) -> bool:
    """Whether this process holds the lock for the pipeline."""
    return pipeline in _WRITING


# -- a run of dlt's own ----------------------------------------------------------------------------

_UNTIL_LOADED: WeakKeyDictionary[dlt.Pipeline, ExitStack] = WeakKeyDictionary()


def lock_until_loaded(pipeline: dlt.Pipeline, now: float, wait_s: float = 0.0) -> None:
    """Take the lock while ``pipeline.run`` extracts; it is released when that call returns.

    dlt announces the end of each call to the modules that trace it, whatever ended it. Steps that a
    script calls one by one are calls of their own, so ``pipeline.extract`` releases the lock at its end
    and ``pipeline.load`` runs without it. Without traces (``enable_runtime_trace = false``) no lock is
    taken. Nothing happens if this process holds the lock already.

    Raises:
        HeldError: If another process holds the lock.
        LoadError: If the destination cannot be reached, or refuses the lock.
    """
    if is_writing(pipeline) or pipeline._trace is None:  # noqa: SLF001 (dlt has no other way to ask)
        return
    if _RELEASE not in trace.TRACKING_MODULES:
        trace.TRACKING_MODULES.append(_RELEASE)
    with ExitStack() as opened:
        opened.enter_context(sole_writer(pipeline, now, wait_s=wait_s))
        _UNTIL_LOADED[pipeline] = opened.pop_all()


class _Release:
    """A tracing module of dlt that acts at the end of a call and ignores everything else."""

    def on_start_trace(self, *_: Any) -> None: ...

    def on_start_trace_step(self, *_: Any) -> None: ...

    def on_end_trace_step(self, *_: Any) -> None: ...

    def on_end_trace(self, _trace: Any, pipeline: Any, _send_state: bool) -> None:
        opened = _UNTIL_LOADED.pop(pipeline, None)
        if opened is not None:
            opened.close()


_RELEASE: Any = _Release()


def _held(pipeline: dlt.Pipeline, writer: Writer | None, now: float) -> HeldError:
    who = writer or "another process, which this database user may not see"
    return HeldError(
        f"dataset {pipeline.dataset_name} is being loaded by {who}; nothing was done, run again later",
        resumes_at=now,
    )


@contextmanager
def _take_lock(pipeline: dlt.Pipeline, writer: Writer) -> Iterator[Lock]:
    try:
        with ExitStack() as stack:
            lock = stack.enter_context(_lock_of(pipeline)(pipeline, writer))
            opened = stack.pop_all()
    except (TakenError, ExactError):
        raise
    except Exception as error:  # of any driver
        first = list(causes(error))[-1]
        why = f"{type(first).__name__}: {' '.join(str(first).split())}"
        if isinstance(first, OSError) and first.filename:
            why = f"{first.filename}: {first.strerror}"
        raise LoadError(f"dataset {pipeline.dataset_name} cannot be locked: {why}") from error
    with opened:
        yield lock


def _lock_of(pipeline: dlt.Pipeline) -> Any:
    """The function that takes the kind of lock that suits the destination."""
    kind = str(pipeline.destination.destination_type).rpartition(".")[2]
    if kind == "postgres":
        return advisory_lock
    if kind in FOLDERS and (place := lock_file(pipeline, kind)) is not None:
        return lambda _pipeline, writer: file_lock(place, writer)
    if kind in WITH_ROWS:
        from .writer_claims import claim

        return claim
    if kind in FOLDERS and kind != "filesystem":
        return lambda _pipeline, _writer: _unlocked()
    return lambda pipeline, writer: file_lock(_machine_wide(pipeline), writer)


@contextmanager
def _unlocked() -> Iterator[Lock]:
    yield Unlocked()


# -- files -----------------------------------------------------------------------------------------


def lock_file(pipeline: dlt.Pipeline, kind: str) -> Path | None:
    """Where the lock of a local database is; ``None`` if it has no file."""
    config: Any = pipeline.destination_client().config
    if kind == "filesystem":
        if not config.is_local_filesystem:
            return None
        folder = Path(config.data_location())
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve() / f".{pipeline.dataset_name}.lock"
    if kind == "sqlalchemy" and not str(config.credentials.drivername).startswith("sqlite"):
        return None
    database = str(config.credentials.database)
    if not database or ":memory:" in database or not Path(database).is_absolute():
        return None
    file = Path(database).resolve()
    return file.with_name(f".{file.name}.{pipeline.dataset_name}.lock")


def writers_into(pipeline: dlt.Pipeline) -> list[Writer]:
    """The holders of locks on datasets in the pipeline's DuckDB file, according to their notes.

    A killed process leaves its note behind.
    """
    own = lock_file(pipeline, "duckdb")
    if own is None:
        return []
    prefix = own.name.removesuffix(f"{pipeline.dataset_name}.lock")
    found = []
    for path in own.parent.glob(f"{escape(prefix)}*.lock"):
        with suppress(OSError):
            found.append(read_note(path.read_text("utf-8", "replace")))
    return [writer for writer in found if writer is not None]


def _machine_wide(pipeline: dlt.Pipeline) -> Path:
    config: Any = pipeline.destination_client().config
    parts = (pipeline.destination.destination_type, config.fingerprint(), config.data_location())
    place = sha256("\n".join(map(str, (*parts, pipeline.dataset_name))).encode()).hexdigest()
    folder = Path(get_dlt_pipelines_dir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{place[:16]}.lock"


@contextmanager
def file_lock(path: Path, writer: Writer) -> Iterator[Lock]:
    """Hold a lock file.

    Raises:
        TakenError: If another does.
    """
    try:
        with locked(path, writer.to_note()):
            yield Unlocked()
    except LockedError as error:
        raise TakenError(read_note(error.note)) from None


# -- Postgres --------------------------------------------------------------------------------------


class AdvisoryLock:
    """A transaction on a session of its own, which holds the lock until it ends."""

    def __init__(self, connection: Any, dataset: str, writer: Writer) -> None:
        self._connection = connection
        self._dataset = dataset
        self._writer = writer
        self._backend = 0
        self.key = lock_key(dataset)

    def take(self) -> None:
        """Take the lock or fail at once.

        Raises:
            TakenError: If another session holds it.
        """
        self._connection.autocommit = False
        for statement in KEEPALIVE:
            self._ask(statement)
        self._ask(
            "SELECT set_config('application_name', %s, true)",
            f"exact-source {self._writer.pipeline}",
        )
        # The note is part of the text so that pg_stat_activity shows it to others.
        is_taken, self._backend, _ = self._ask(
            "SELECT pg_try_advisory_xact_lock(%s), pg_backend_pid(), %s",
            self.key,
            self._writer.to_note(),
        )
        if not is_taken:
            raise TakenError(self._holder())

    def confirm(self) -> None:
        """See ``Lock``."""
        try:
            backend, _ = self._ask("SELECT pg_backend_pid(), %s", self._writer.to_note())
        except Exception:  # noqa: BLE001 (whatever the driver raises: the session has ended)
            backend = None
        if backend != self._backend:
            raise HeldError(
                f"the connection that holds the lock of dataset {self._dataset} was lost, and another "
                "sync may have begun; what was read is not loaded, run again",
                resumes_at=self._writer.since,
            )

    def release(self) -> None:
        """Give the lock back; the server notices a closed connection only some time later."""
        with suppress(Exception):  # the driver's: a session that has ended holds no lock
            self._connection.rollback()

    def _holder(self) -> Writer | None:
        found = self._ask(
            "SELECT a.query, a.application_name, a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND (l.classid::bigint << 32 | l.objid::bigint) = %s AND l.objsubid = 1 LIMIT 1",
            self.key,
        )
        if found is None:
            return None
        begin, end = str(found[0]).find("{"), str(found[0]).rfind("}")
        return read_note(str(found[0])[begin : end + 1])

    def _ask(self, statement: str, *values: Any) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchone() if cursor.description else None


@contextmanager
def advisory_lock(pipeline: dlt.Pipeline, writer: Writer) -> Iterator[Lock]:
    """Hold an advisory lock of Postgres.

    Raises:
        TakenError: If another session holds it.
    """
    client: Any = pipeline.sql_client()
    with client:
        # The driver's own connection: dlt's client connects again after an error, without the lock.
        lock = AdvisoryLock(client.native_connection, client.dataset_name, writer)
        lock.take()
        try:
            yield lock
        finally:
            lock.release()


def lock_key(dataset: str) -> int:
    """Key of a dataset's advisory lock, a signed number of 64 bits; locks belong to one database."""
    digest = sha256(f"exact-source writes into {dataset}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
