"""Airflow 3: a DAG, or a task group for your own DAG, that keeps companies up to date.

Each group of divisions is one task; the pool limits how many run in parallel. A task that must wait (the
daily calls are used up, another worker holds the group, a backfill is not finished) frees its slot and is
rescheduled for the time at which it can continue. A temporary error is retried; an error that needs a
person fails immediately. The last task, ``tables``, updates an asset for each table, so that other DAGs can
be scheduled on them; it is skipped if no row changed. The data interval of a run is not used, because each
company's cursors determine which rows are read.

Parsing a DAG file imports neither dlt nor pyarrow. docs/airflow.md describes the two connections.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, Connection, Metadata, dag, task, task_group
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)

if TYPE_CHECKING:  # dlt takes seconds to import, and a DAG file is parsed often
    import dlt

    from .orchestration import Advice
    from .settings import Settings

NAME = "exact_online"
SCHEME = "x-exact-online"  # Airflow reserves the names without x- for providers
DOC = """\
Loads Exact Online into the tables of `{dataset}`, with one task for each group of companies.

A task that is *up for reschedule* waits for calls, for another worker or for its next turn, and does not
hold a slot. A failed task needs your attention: the last line of its log says what to do. The task `tables`
updates the assets and is skipped if no row changed.
"""
# Each sync reads some rows of these entities again even if they did not change.
READ_AGAIN = {"deleted", "divisions"}
DEFAULT_ARGS: Mapping[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=5),
    "retry_exponential_backoff": True,
}


@dataclass(frozen=True, kw_only=True)
class Books:
    """The divisions and entities to keep up to date, and their destination.

    Attributes:
        divisions: Division codes; by default all open divisions that the app may see.
        entities: Entity names; by default the core set.
        groups: Number of groups of divisions. Each is one task, pipeline and load package. Cursors
            belong to a group, so a different number than before is refused.
        regroup: Accept another number of groups once, and read everything again.
        max_minutes: Minutes for which a task keeps its slot before it is rescheduled.
        connection: Airflow connection with the app and the token storage.
        warehouse: Airflow connection of the destination: ``postgres``, ``google_cloud_platform`` or
            ``duckdb``.
        destination: Function that returns any other dlt destination, called in the task instead of
            reading ``warehouse``.
        dataset: Schema of the tables.
        pool: Airflow pool that limits how many groups run at once; for DuckDB it must have one slot.
        options: Further arguments of ``exact_online``: ``route``, ``deletes``, ``start_date``.
    """

    divisions: Sequence[int] | None = None
    entities: Sequence[str] | None = None
    groups: int = 20
    regroup: bool = False
    max_minutes: float = 60
    connection: str = NAME
    warehouse: str = "exact_warehouse"
    destination: Callable[[], Any] | None = None
    dataset: str = NAME
    pool: str = "default_pool"
    options: Mapping[str, Any] = field(default_factory=dict)


def exact_online_dag(
    dag_id: str = NAME,
    *,
    schedule: Any = "@hourly",
    tags: Iterable[str] = (NAME,),
    dag_options: Mapping[str, Any] | None = None,
    **books: Any,
) -> Any:
    """A DAG that keeps divisions up to date.

    Args:
        dag_id: Name of the DAG.
        schedule: Airflow schedule; a run starts when the previous one has ended.
        tags: Tags of the DAG.
        dag_options: Further arguments of ``airflow.sdk.dag``, such as ``start_date``, ``default_args``
            (merged with the defaults of this module) and ``on_failure_callback``.
        books: Attributes of ``Books``.
    """
    chosen, own = Books(**books), dict(dag_options or {})
    more: dict[str, Any] = {
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,  # a run also waits for the rescheduled tasks of the previous one
        "dagrun_timeout": timedelta(days=2),  # a run that never ends fails
        "doc_md": DOC.format(dataset=chosen.dataset),
        **own,
        "default_args": {**DEFAULT_ARGS, **own.get("default_args", {})},
    }

    @dag(dag_id=dag_id, schedule=schedule, tags=set(tags), **more)
    def exact() -> None:
        make_tasks(chosen)

    return exact()


def exact_online_tasks(group_id: str = NAME, **books: Any) -> Any:
    """A task group for your own DAG; the tables are loaded before later tasks start.

    Args:
        group_id: Name of the task group.
        books: Attributes of ``Books``.
    """

    @task_group(group_id=group_id, default_args=dict(DEFAULT_ARGS))
    def exact() -> None:
        make_tasks(Books(**books))

    return exact()


def table_assets(entities: Sequence[str] | None = None, dataset: str = NAME) -> dict[str, Asset]:
    """Entity -> asset of its table, for a DAG with ``schedule=list(table_assets().values())``.

    Args:
        entities: Entity names; by default the core set.
        dataset: Schema of the tables.
    """
    from .catalogue import load_catalogue

    names = load_catalogue().core if entities is None else entities
    return {
        name: Asset(
            name=f"{dataset}.{name}",
            uri=f"{SCHEME}://{dataset}/{name}",
            group=NAME,
            extra={"table": f"{dataset}.{name}"},
        )
        for name in names
    }


def make_tasks(books: Books) -> None:
    """Create the tasks in the current DAG or task group."""
    assets = table_assets(books.entities, books.dataset)

    @task(pool=books.pool)
    def list_groups() -> list[dict[str, Any]]:
        from .orchestration import division_groups, open_divisions

        with followed():
            settings = settings_of(books.connection)
            codes = (
                open_divisions(settings=settings) if books.divisions is None else books.divisions
            )
        found = division_groups(codes, books.groups)
        return [{"name": name, "divisions": codes} for name, codes in found.items()]

    @task(
        pool=books.pool,
        multiple_outputs=False,
        map_index_template="{{ task.op_kwargs['group']['name'] }}",
    )
    def sync_group(group: dict[str, Any], **context: Any) -> dict[str, Any]:
        return sync_one(books, group, context.get("task_reschedule_count", 0))

    @task(outlets=list(assets.values()))
    def tables(loaded: Iterable[dict[str, Any]]) -> Iterator[Metadata]:
        rows: Counter[str] = Counter()
        for group in loaded:
            rows.update(group["tables"])
        if not any(count for name, count in rows.items() if name not in READ_AGAIN):
            raise AirflowSkipException("no row changed")
        for name, asset in assets.items():
            yield Metadata(asset, extra={"rows": rows[name]})

    tables(sync_group.expand(group=list_groups()))


def sync_one(books: Books, group: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """Sync a group of divisions.

    Args:
        books: Entities and destination.
        group: Name and divisions of the group.
        repeats: Number of times that the task has been rescheduled.

    Returns:
        The calls, rows and loads, and the number of changed rows in each table.
    """
    from .orchestration import advise, sync_divisions
    from .sync.pipeline_lock import named_lock

    name = f"{NAME}_{group['name']}"
    # A worker that Airflow has given up may still be running when the task is started again.
    with followed(), named_lock(name, time.time()), TemporaryDirectory() as folder:
        outcome = sync_divisions(
            make_pipeline(books, name, folder),
            group["divisions"],
            books.entities,
            max_minutes=books.max_minutes,
            regroup=books.regroup,
            settings=settings_of(books.connection),
            **books.options,
        )
        follow(advise(outcome, time.time(), repeats=repeats))
    changed: Counter[str] = Counter()
    for result in outcome.results:
        changed[result.entity] += result.rows + result.deleted
    rows = sum(result.rows for result in outcome.results)
    return {"calls": outcome.calls, "rows": rows, "loads": outcome.rounds, "tables": dict(changed)}


def settings_of(connection_id: str) -> Settings:
    """The settings of an Airflow connection; dlt's configuration provides missing ones.

    Login and password are the app's client ID and secret. The extra field holds other settings of the
    section ``sources.exact_online`` under their names.
    """
    from .settings import load_settings

    found = Connection.get(connection_id)
    given = {"client_id": found.login, "client_secret": found.password, **found.extra_dejson}
    return load_settings(**{name: str(v) for name, v in given.items() if v is not None})


@contextmanager
def followed() -> Iterator[None]:
    """Raise the exception that makes Airflow retry, reschedule or fail after an error."""
    from .errors import ExactError
    from .orchestration import advise_error

    try:
        yield
    except ExactError as error:
        follow(advise_error(error, time.time()))


def make_pipeline(books: Books, name: str, folder: str) -> dlt.Pipeline:
    """The pipeline of a group; its state is kept in the destination."""
    import dlt

    destination = books.destination() if books.destination else warehouse_of(books.warehouse)
    return dlt.pipeline(
        name, destination=destination, dataset_name=books.dataset, pipelines_dir=folder
    )


def warehouse_of(connection_id: str) -> Any:
    """The dlt destination of an Airflow connection.

    Raises:
        AirflowFailException: If the connection is of another type.
    """
    import dlt

    found = Connection.get(connection_id)
    if found.conn_type == "duckdb":
        return dlt.destinations.duckdb(found.host)
    if found.conn_type == "google_cloud_platform":
        return bigquery_of(found.extra_dejson)
    if found.conn_type != "postgres":
        raise AirflowFailException(
            f"connection {connection_id} is of type {found.conn_type}; use duckdb, postgres or "
            "google_cloud_platform, or give a destination=..."
        )
    place = {
        "host": found.host,
        "port": found.port or 5432,
        "database": found.schema,
        "username": found.login,
        "password": found.password,
        "query": found.extra_dejson,  # such as {"sslmode": "require"}
    }
    return dlt.destinations.postgres({k: v for k, v in place.items() if v})


def bigquery_of(extra: Mapping[str, Any]) -> Any:
    """A BigQuery destination from the fields of Airflow's Google connection.

    Args:
        extra: ``keyfile_dict`` (JSON) or ``key_path`` of a service account, ``project``, ``location``.
            Without a key the machine's credentials are used.
    """
    import dlt

    key = extra.get("keyfile_dict") or (
        Path(extra["key_path"]).read_text("utf-8") if extra.get("key_path") else {}
    )
    credentials = dict(json.loads(key) if isinstance(key, str) else key)
    if extra.get("project"):
        credentials["project_id"] = extra["project"]
    place: dict[str, Any] = {"credentials": credentials, "location": extra.get("location")}
    return dlt.destinations.bigquery(**{name: value for name, value in place.items() if value})


def follow(advice: Advice) -> None:
    """Raise the Airflow exception for an advice; return if the group is complete."""
    if advice.action == "again" and advice.at is not None:
        logging.getLogger(__name__).info("not yet complete: %s", advice.reason)
        raise AirflowRescheduleException(datetime.fromtimestamp(advice.at, UTC))
    if advice.action == "retry":
        raise AirflowException(advice.reason)
    if advice.action == "fail":
        raise AirflowFailException(advice.reason)
    if advice.reason:
        logging.getLogger(__name__).warning("complete but for: %s", advice.reason)
