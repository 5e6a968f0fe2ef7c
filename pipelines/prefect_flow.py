"""Exact Online in Prefect 3: copy and adapt this file; ``python prefect_flow.py`` runs it every hour.

``pip install exact-source prefect``. Settings and tokens are read from the usual places; see docs/prefect.md.
"""

import time
from pathlib import Path
from typing import Any

import dlt
from prefect import flow, get_run_logger, task

from exact_source import EntityName, exact_online, run_to_end
from exact_source.errors import ExactError
from exact_source.orchestration import Advice, advise, advise_error


class SyncFailedError(Exception):
    """The sync failed; the message says what to do."""

    def __init__(self, advice: Advice) -> None:
        super().__init__(advice.reason)
        self.may_pass = advice.action == "retry"


def may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Retry only if a retry can help."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, SyncFailedError) and error.may_pass


@task(retries=3, retry_delay_seconds=300, retry_condition_fn=may_pass)
def sync(entities: list[EntityName] | None) -> dict[str, Any]:
    """Load every company that the app may see."""
    destination = dlt.destinations.duckdb(str(Path("exact.duckdb").absolute()))
    pipeline = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    try:
        outcome = run_to_end(pipeline, exact_online(divisions="all", entities=entities))
        advice = advise(outcome, time.time())
    except ExactError as error:  # a setting is missing
        raise SyncFailedError(advise_error(error, time.time())) from None
    if advice.action in {"retry", "fail"}:
        raise SyncFailedError(advice)
    if advice.reason:  # the next run continues
        get_run_logger().warning(advice.reason)
    rows = sum(result.rows for result in outcome.results)
    return {"rows": rows, "calls": outcome.calls, "exit_code": outcome.exit_code}


@flow(name="exact-online", timeout_seconds=5 * 3600)
def exact_online_flow(entities: list[EntityName] | None = None) -> dict[str, Any]:
    """Keep the tables up to date; loads the core entities by default."""
    result: dict[str, Any] = sync(entities)
    return result


if __name__ == "__main__":
    exact_online_flow.serve(name="hourly", cron="15 * * * *", global_limit=1)
