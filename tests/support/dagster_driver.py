"""Runs in Dagster's environment: reads one order per line and writes one JSON document per line."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import dlt

from exact_source import dagster as exact_dagster

SETTINGS = json.loads(sys.argv[1])
TICK = datetime(2026, 3, 10, 12, 15, tzinfo=UTC)
INSTANCE = dg.DagsterInstance.get()


def definitions(stale_hours: float = 26) -> Any:
    destination = dlt.destinations.duckdb("exact.duckdb")
    stale_after = timedelta(hours=stale_hours)
    books = exact_dagster.Books(
        destination=destination, stale_after=stale_after, retry_after=timedelta(0), **SETTINGS
    )
    return books.definitions()


def tick() -> Any:
    """The run requests that the daemon would start."""
    defs = definitions()
    context = dg.build_schedule_context(
        instance=INSTANCE,
        repository_def=defs.get_repository_def(),
        scheduled_execution_time=TICK,
    )
    requests = (
        defs.resolve_schedule_def("exact_online_schedule").evaluate_tick(context).run_requests
    )
    return [request.partition_key for request in requests]


def run(partition: str, selection: list[str] | None = None) -> Any:
    done = (
        definitions()
        .resolve_job_def("exact_online_sync")
        .execute_in_process(
            partition_key=partition,
            instance=INSTANCE,
            raise_on_error=False,
            asset_selection=[exact_dagster.key_of(name) for name in selection]
            if selection
            else None,
        )
    )
    made = [e.materialization for e in done.get_asset_materialization_events()]
    failures = [e.event_specific_data.error for e in done.all_events if e.is_step_failure]
    return {
        "success": done.success,
        "partitions": sorted({m.partition for m in made}),
        "retries": sum(e.event_type_value == "STEP_UP_FOR_RETRY" for e in done.all_events),
        "assets": {
            m.asset_key.path[-1]: {name: value.value for name, value in m.metadata.items()}
            for m in made
        },
        "error": "".join(str(error.to_string()) for error in failures),
    }


def checks(stale_hours: float = 26) -> Any:
    job = definitions(stale_hours).resolve_job_def("exact_online_checks")
    done = job.execute_in_process(instance=INSTANCE, raise_on_error=False)
    return {
        f"{e.asset_key.path[-1]}.{e.check_name}": {
            "passed": e.passed,
            **{name: value.value for name, value in e.metadata.items()},
        }
        for e in done.get_asset_check_evaluations()
    }


def under_way(partition: str) -> None:
    """Add an unfinished run of a partition."""
    INSTANCE.add_run(
        dg.DagsterRun(
            job_name="exact_online_sync",
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": partition},
        )
    )


ORDERS: dict[str, Any] = {"tick": tick, "run": run, "checks": checks, "under_way": under_way}

for line in sys.stdin:
    order = json.loads(line)
    print(json.dumps(ORDERS[order.pop("do")](**order)), flush=True)  # noqa: T201 (the answer)
