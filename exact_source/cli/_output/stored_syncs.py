"""Reads earlier syncs from the destination: cursors, row counts, outcomes. Makes no call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ExactError
from ...loading.sync_columns import SYNCS_TABLE
from ..row_memory import Counted, day_of, recall_counted
from .database_errors import reaching

if TYPE_CHECKING:
    import dlt
    from dlt.destinations.sql_client import SqlClientBase

    from ...engine.cursors import Cursor

HISTORY = 20  # earlier syncs of a stream that an estimate uses
Stream = tuple[int, str]


@dataclass(frozen=True)
class SyncRow:
    """Some columns of a row of ``_exact_syncs``, with times in seconds since the epoch, UTC."""

    division: int
    entity: str
    feed: str
    started_at: float
    ended_at: float
    calls: int
    rows: int
    deleted: int
    status: str
    error: str
    code: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> SyncRow:
        """The row of a query; tables of earlier versions have no ``code``."""
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        texts = {name: row.get(name) or "" for name in ("error", "code")}
        times = {name: _epoch(row[name]) for name in ("started_at", "ended_at")}
        return cls(**{**values, **texts, **times})


@dataclass
class Memory:
    """Earlier syncs, according to the destination and this machine.

    Attributes:
        cursors: Cursor of each stream, according to completed loads.
        syncs: The latest outcomes of each stream, the newest first.
        successes: Start of the last complete read of each stream.
        calls_today: Calls since 00:00 UTC, by division.
        rows: Stored rows, by stream.
        names: Company names by division, from the table ``divisions`` or the latest syncs.
        counted: Row counts of earlier plans, from a file on this machine.
        plan_calls_today: Calls that plans made since 00:00 UTC, from the same file.
    """

    cursors: dict[Stream, Cursor] = field(default_factory=dict)
    syncs: dict[Stream, list[SyncRow]] = field(default_factory=dict)
    successes: dict[Stream, float] = field(default_factory=dict)
    calls_today: dict[int, int] = field(default_factory=dict)
    rows: dict[Stream, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    counted: Counted = field(default_factory=Counted)
    plan_calls_today: int = 0

    @property
    def all_calls_today(self) -> int:
        """Calls of syncs and plans since 00:00 UTC, over all divisions."""
        return sum(self.calls_today.values()) + self.plan_calls_today

    @property
    def streams(self) -> list[Stream]:
        """All streams that were ever read."""
        return sorted({*self.cursors, *self.syncs})


def syncs_of_changes(syncs: Sequence[SyncRow]) -> list[SyncRow]:
    """The completed syncs without the first load, in the form of ``Memory.syncs``."""
    done = [sync for sync in syncs if sync.status == "complete"]
    return done if len(done) >= HISTORY else done[:-1]


def database_file(pipeline: dlt.Pipeline) -> Path | None:
    """The file of a DuckDB destination; ``None`` for others.

    Connecting would create it, so a command that only reads checks the file first.
    """
    if pipeline.destination.destination_name != "duckdb":
        return None
    with reaching(pipeline):
        client: Any = pipeline.destination_client()
    place = str(client.config.credentials.database)
    return None if place.startswith((":", "md:")) else Path(place)


def place_of(pipeline: dlt.Pipeline) -> str:
    """The place of the tables, for messages: the file or server, and the schema.

    Raises:
        ConfigurationError: If the destination's credentials are missing or wrong.
    """
    with reaching(pipeline):
        config: Any = pipeline.destination_client().config
    name, credentials = pipeline.destination.destination_name, config.credentials
    file = database_file(pipeline)
    if file is not None:
        return f"{file}, schema {pipeline.dataset_name}"
    host, database = getattr(credentials, "host", None), getattr(credentials, "database", None)
    if host and database:
        return f"{name} database {database} on {host}, schema {pipeline.dataset_name}"
    return f"{name}, dataset {pipeline.dataset_name}"


def recall(
    pipeline: dlt.Pipeline,
    *,
    now: float,
    entities: Collection[str] | None = None,
    count_rows: bool = True,
) -> Memory:
    """The syncs in the destination; an empty memory if nothing was ever loaded.

    Args:
        pipeline: Pipeline with the destination and the cursors.
        now: Seconds since the epoch, UTC.
        entities: Entities to report; ``None`` for all.
        count_rows: Also count the rows of the tables.

    Raises:
        ConfigurationError: If credentials are missing.
        DestinationError: If the destination cannot be reached.
    """
    file, counted = database_file(pipeline), recall_counted(pipeline)
    memory = Memory(counted=counted, plan_calls_today=counted.calls_on(day_of(now)))
    if file is not None and not file.exists():
        return memory
    with reaching(pipeline), pipeline.sql_client() as client:
        if not client.has_dataset():
            return memory
        wanted = None if entities is None else set(entities)
        _read_syncs(client, memory, wanted, now)
        _read_cursors(pipeline, memory, wanted)
        _read_names(client, memory)
        if count_rows:
            _count_rows(client, memory)
    return memory


def _read_syncs(
    client: SqlClientBase[Any], memory: Memory, wanted: set[str] | None, now: float
) -> None:
    newest = (
        f"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY division, entity "
        f"ORDER BY ended_at DESC) AS nth FROM {{table}}) AS numbered "
        f"WHERE nth <= {HISTORY} ORDER BY division, entity, ended_at DESC"
    )
    for row in _records(client, SYNCS_TABLE, newest):
        found = SyncRow.of(row)
        if name := row.get("division_name"):
            memory.names.setdefault(found.division, str(name))
        if wanted is None or found.entity in wanted:
            memory.syncs.setdefault((found.division, found.entity), []).append(found)
    best = (
        "SELECT division, entity, max(started_at) FROM {table} WHERE status = 'complete' "
        "GROUP BY division, entity"
    )
    for division, entity, at in _query(client, SYNCS_TABLE, best):
        memory.successes[division, entity] = _epoch(at)
    # Some drivers cannot bind pendulum's type.
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = "sum(calls + shared_calls)"
    spent = f"SELECT division, {made} FROM {{table}} WHERE started_at >= %s GROUP BY division"
    for division, calls in _query(client, SYNCS_TABLE, spent, today):
        memory.calls_today[division] = int(calls or 0)


def _read_cursors(pipeline: dlt.Pipeline, memory: Memory, wanted: set[str] | None) -> None:
    from ...loading.entries import items_of
    from ...loading.state import arrived_entry, load_ids, stored_cursor
    from ...loading.warehouse import Warehouse

    divisions = {
        entity: dict(items_of(found))
        for entity, found in stored_state(pipeline).items()
        if wanted is None or entity in wanted
    }
    named = load_ids(entry for entries in divisions.values() for entry in entries.values())
    warehouse = Warehouse(pipeline)
    try:
        arrived = warehouse.completed_loads(named)
    finally:
        warehouse.close()
    for entity, entries in divisions.items():
        for code, entry in entries.items():
            if (found := arrived_entry(entry, arrived)) is not None:
                memory.cursors[int(code), entity] = stored_cursor(found)


def stored_state(pipeline: dlt.Pipeline) -> dict[str, Any]:
    """Resource -> its state in the destination; the local copy may be older or lost."""
    from dlt.common.destination.client import WithStateSync
    from dlt.common.destination.exceptions import DestinationUndefinedEntity
    from dlt.destinations.exceptions import DatabaseUndefinedRelation
    from dlt.pipeline.state_sync import load_pipeline_state_from_destination

    with pipeline.destination_client() as client:
        if not isinstance(client, WithStateSync):
            return {}
        try:
            state = load_pipeline_state_from_destination(pipeline.pipeline_name, client)
        except (DestinationUndefinedEntity, DatabaseUndefinedRelation):
            return {}
    sources: dict[str, Any] = dict((state or {}).get("sources", {}))
    resources: dict[str, Any] = sources.get("exact_online", {}).get("resources", {})
    return resources


def stored_divisions(pipeline: dlt.Pipeline) -> list[int]:
    """Codes of the divisions of earlier syncs; empty if the destination cannot be read."""
    from ...loading.entries import codes_of

    with suppress(ExactError), reaching(pipeline):
        file = database_file(pipeline)
        if file is None or file.exists():
            states = stored_state(pipeline).values()
            return sorted({int(code) for state in states for code in codes_of(state)})
    return []


def _read_names(client: SqlClientBase[Any], memory: Memory) -> None:
    for division, name in _query(client, "divisions", "SELECT division, description FROM {table}"):
        memory.names[int(division)] = str(name or "")


def _count_rows(client: SqlClientBase[Any], memory: Memory) -> None:
    sql = "SELECT division, count(*) FROM {table} WHERE _deleted_at IS NULL GROUP BY division"
    for entity in sorted({entity for _, entity in memory.streams}):
        for division, count in _query(client, entity, sql):
            memory.rows[division, entity] = int(count)


def _query(
    client: SqlClientBase[Any], table: str, sql: str, *params: Any
) -> Sequence[Sequence[Any]]:
    return [list(row.values()) for row in _records(client, table, sql, *params)]


def _records(
    client: SqlClientBase[Any], table: str, sql: str, *params: Any
) -> list[dict[str, Any]]:
    """Rows by the names of their columns; none if there is no such table yet."""
    from dlt.common.destination.exceptions import DestinationUndefinedEntity
    from dlt.destinations.exceptions import DatabaseUndefinedRelation

    text = sql.format(table=client.make_qualified_table_name(table))
    try:
        with client.execute_query(text, *params) as cursor:
            # Snowflake returns names in upper case.
            names = [column[0].lower() for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except (DatabaseUndefinedRelation, DestinationUndefinedEntity):
        return []


def _epoch(moment: datetime) -> float:
    # Drivers return times with the zone of the session or without one; dlt stores UTC.
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
