"""Exact Online in Airflow 3: copy, change the last lines, schedule.

One task for each group of divisions, side by side on as many workers as the pool has slots. What
only time can help (a day's calls are used up, another worker is at it, a backfill goes on) frees the
slot and is scheduled again for the moment at which it can go on; what may pass is retried; what only
a person can help fails at once. The data interval of a DAG run is not used: each company's cursors
say what is new. See docs/airflow.md for the two connections that this needs.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection, dag, task
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
)

if TYPE_CHECKING:  # dlt takes seconds to import, and a DAG file is parsed often
    import dlt

    from exact_source.orchestration import Advice


def exact_online_dag(  # noqa: PLR0913 (settings, all by name, all with a default)
    dag_id: str = "exact_online",
    *,
    divisions: list[int] | None = None,
    entities: list[str] | None = None,
    groups: int = 20,
    regroup: bool = False,
    max_minutes: float = 60,
    connection: str = "exact_online",
    warehouse: str = "exact_warehouse",
    dataset: str = "exact_online",
    pool: str = "default_pool",
    options: dict[str, Any] | None = None,
    **dag_options: Any,
) -> Any:
    """A DAG that keeps divisions up to date.

    Args:
        dag_id: Its name.
        divisions: Codes; default all that the app may see and that are open.
        entities: Names of entities; default the core set.
        groups: How many groups the divisions are cut into: tasks, pipelines, load packages. Keep it:
            cursors belong to a group, so another number is refused.
        regroup: Take another number of groups all the same, and read everything anew, once.
        max_minutes: How long a task keeps its slot; what is left is scheduled again.
        connection: Airflow connection with the app and the place of the tokens.
        warehouse: Airflow connection of the destination.
        dataset: Schema of the tables.
        pool: Its slots are the groups that run at once; DuckDB takes one writer, so one slot.
        options: Further ones of ``exact_online``: ``route``, ``deletes``, ``start_date``.
        dag_options: Of ``airflow.sdk.dag``: ``schedule``, ``start_date``, ``tags`` and so on.
    """

    @task
    def list_groups() -> list[dict[str, Any]]:
        from exact_source.orchestration import division_groups, open_divisions

        with configured(connection):
            codes = open_divisions() if divisions is None else divisions
        found = division_groups(codes, groups)
        return [{"name": name, "divisions": codes} for name, codes in found.items()]

    @task(map_index_template="{{ task.op_kwargs['group']['name'] }}")
    def sync_group(group: dict[str, Any], **context: Any) -> dict[str, Any]:
        from exact_source.orchestration import advise, sync_divisions
        from exact_source.sync.pipeline_lock import named_lock

        name = f"exact_online_{group['name']}"
        # A worker that is lost to Airflow may still be at it when the task is started again.
        with configured(connection), named_lock(name, time.time()), TemporaryDirectory() as folder:
            pipeline = make_pipeline(name, warehouse, dataset, folder)
            outcome = sync_divisions(
                pipeline,
                group["divisions"],
                entities,
                max_minutes=max_minutes,
                regroup=regroup,
                **options or {},
            )
            repeats = context.get("task_reschedule_count", 0)
            follow(advise(outcome, time.time(), repeats=repeats))
        rows = sum(result.rows for result in outcome.results)
        return {"calls": outcome.calls, "rows": rows, "loads": outcome.rounds}

    defaults: dict[str, Any] = {
        "schedule": "@hourly",
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,  # the next run begins when what is scheduled again is done, too
        "dagrun_timeout": timedelta(days=2),  # what is never done ends as failed
        "default_args": {
            "pool": pool,
            "retries": 3,
            "retry_delay": timedelta(minutes=5),
            "retry_exponential_backoff": True,
        },
    }

    @dag(dag_id=dag_id, **defaults | dag_options)
    def exact() -> None:
        sync_group.expand(group=list_groups())

    return exact()


@contextmanager
def configured(connection_id: str) -> Iterator[None]:
    """The settings of an Airflow connection, where the source looks for them; its errors followed.

    Login and password are the app's client id and secret; the extra holds other settings of the
    section ``sources.exact_online`` by their names. They are there until the end of the block.
    """
    from exact_source.errors import ExactError
    from exact_source.orchestration import advise_error

    found = Connection.get(connection_id)
    settings = {"client_id": found.login, "client_secret": found.password, **found.extra_dejson}
    variables = {
        f"SOURCES__EXACT_ONLINE__{name.upper()}": str(value)
        for name, value in settings.items()
        if value is not None
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    except ExactError as error:
        follow(advise_error(error, time.time()))
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def make_pipeline(name: str, warehouse: str, dataset: str, folder: str) -> dlt.Pipeline:
    """The pipeline of a group; all that counts of it is in the destination."""
    import dlt

    found = Connection.get(warehouse)
    if found.conn_type == "duckdb":
        destination: Any = dlt.destinations.duckdb(found.host)
    elif found.conn_type == "postgres":
        place = {
            "host": found.host,
            "port": found.port or 5432,
            "database": found.schema,
            "username": found.login,
            "password": found.password,
            "query": found.extra_dejson,  # such as {"sslmode": "require"}
        }
        destination = dlt.destinations.postgres({k: v for k, v in place.items() if v})
    else:
        raise AirflowFailException(
            f"connection {warehouse} is of type {found.conn_type}; use duckdb or postgres, or add "
            "your destination to make_pipeline"
        )
    return dlt.pipeline(name, destination=destination, dataset_name=dataset, pipelines_dir=folder)


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


exact_online_dag()
