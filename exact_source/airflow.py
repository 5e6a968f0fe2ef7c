"""Airflow 3: a DAG, or a group of tasks in your own DAG, that keeps companies up to date.

One task for each group of divisions, side by side on as many workers as the pool has slots. What only
time can help (a day's calls are used up, another worker is at it, a backfill goes on) frees the slot and
is scheduled again for the moment at which it can go on; what may pass is retried; what only a person can
help fails at once. The last task, ``tables``, updates an asset for each table, so that other DAGs can be
scheduled on them; it is skipped if no row changed. The data interval of a run is not used: each company's
cursors say what is new.

Parsing a DAG file imports neither dlt nor pyarrow. See docs/airflow.md for the two connections.
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
Loads Exact Online into the tables of `{dataset}`, a task for each group of companies.

A task that is *up for reschedule* waits for calls, for another worker or for its next turn; it holds no
slot. A task that failed needs a person: its last line says what to do. The task `tables` updates the assets,
and is skipped if no row changed.
"""
# Each sync reads some of their rows again, whether they changed or not.
READ_AGAIN = {"deleted", "divisions"}
DEFAULT_ARGS: Mapping[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=5),
    "retry_exponential_backoff": True,
}


@dataclass(frozen=True, kw_only=True)
class Books:
    """What is kept up to date, and where.

    Attributes:
        divisions: Codes; default all that the app may see and that are open.
        entities: Names of entities; default the core set.
        groups: How many groups the divisions are cut into: tasks, pipelines, load packages. Keep it:
            cursors belong to a group, so another number is refused.
        regroup: Take another number of groups all the same, and read everything again, once.
        max_minutes: How long a task keeps its slot; what is left is scheduled again.
        connection: Airflow connection with the app and the place of the tokens.
        warehouse: Airflow connection of the destination: ``postgres``, ``google_cloud_platform`` or
            ``duckdb``.
        destination: Called in the task for any other dlt destination; ``warehouse`` is not used then.
        dataset: Schema of the tables.
        pool: Its slots are the groups that run at once; DuckDB takes one writer, so one slot.
        options: Further ones of ``exact_online``: ``route``, ``deletes``, ``start_date``.
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
        dag_id: Its name.
        schedule: Of Airflow; the next run begins when the last one is done.
        tags: Of the DAG.
        dag_options: Further ones of ``airflow.sdk.dag``, such as ``start_date``, ``default_args``
            (added to those that are here) and ``on_failure_callback``.
        books: Attributes of ``Books``.
    """
    chosen, own = Books(**books), dict(dag_options or {})
    more: dict[str, Any] = {
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,  # the next run begins when what is scheduled again is done, too
        "dagrun_timeout": timedelta(days=2),  # what is never done ends as failed
        "doc_md": DOC.format(dataset=chosen.dataset),
        **own,
        "default_args": {**DEFAULT_ARGS, **own.get("default_args", {})},
    }

    @dag(dag_id=dag_id, schedule=schedule, tags=set(tags), **more)
    def exact() -> None:
        make_tasks(chosen)

    return exact()


def exact_online_tasks(group_id: str = NAME, **books: Any) -> Any:
    """A task group for a DAG of your own; what follows it finds the tables loaded.

    Args:
        group_id: Its name.
        books: Attributes of ``Books``.
    """

    @task_group(group_id=group_id, default_args=dict(DEFAULT_ARGS))
    def exact() -> None:
        make_tasks(Books(**books))

    return exact()


def table_assets(entities: Sequence[str] | None = None, dataset: str = NAME) -> dict[str, Asset]:
    """The asset of each table, by entity; ``schedule=list(table_assets().values())`` follows them.

    Args:
        entities: Names of entities; default the core set.
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
    """The tasks, in the DAG or task group that is being made."""
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
        books: What is kept up to date.
        group: Name and divisions.
        repeats: How often the task was scheduled again already.

    Returns:
        Its calls, rows and loads, and the rows that changed in each table.
    """
    from .orchestration import advise, sync_divisions
    from .sync.pipeline_lock import named_lock

    name = f"{NAME}_{group['name']}"
    # A worker that is lost to Airflow may still be at it when the task is started again.
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
    """The settings of an Airflow connection; what it lacks comes from where dlt looks.

    Login and password are the app's client id and secret; the extra holds other settings of the section
    ``sources.exact_online`` by their names.
    """
    from .settings import load_settings

    found = Connection.get(connection_id)
    given = {"client_id": found.login, "client_secret": found.password, **found.extra_dejson}
    return load_settings(**{name: str(v) for name, v in given.items() if v is not None})


@contextmanager
def followed() -> Iterator[None]:
    """Tell Airflow what to do about an error."""
    from .errors import ExactError
    from .orchestration import advise_error

    try:
        yield
    except ExactError as error:
        follow(advise_error(error, time.time()))


def make_pipeline(books: Books, name: str, folder: str) -> dlt.Pipeline:
    """The pipeline of a group; all that counts of it is in the destination."""
    import dlt

    destination = books.destination() if books.destination else warehouse_of(books.warehouse)
    return dlt.pipeline(
        name, destination=destination, dataset_name=books.dataset, pipelines_dir=folder
    )


def warehouse_of(connection_id: str) -> Any:
    """The dlt destination that an Airflow connection names.

    Raises:
        AirflowFailException: If it is of another type.
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
    """BigQuery by the fields of Airflow's Google connection.

    Args:
        extra: ``keyfile_dict`` (JSON) or ``key_path`` of a service account, ``project``, ``location``;
            without a key, the credentials of the machine.
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
    """Tell Airflow; returns if all that can be loaded is loaded."""
    if advice.action == "again" and advice.at is not None:
        logging.getLogger(__name__).info("not yet complete: %s", advice.reason)
        raise AirflowRescheduleException(datetime.fromtimestamp(advice.at, UTC))
    if advice.action == "retry":
        raise AirflowException(advice.reason)
    if advice.action == "fail":
        raise AirflowFailException(advice.reason)
    if advice.reason:
        logging.getLogger(__name__).warning("complete but for: %s", advice.reason)
