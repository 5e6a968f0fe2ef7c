"""The emulator of BigQuery on a free port of loopback; run in its own environment, not imported.

Prints its port when it is ready, and ends when its input closes, so that it never outlives a test run.

One reply is corrected to that of BigQuery: the job of a `CREATE TABLE ... AS` names the table
it wrote as its destination, which dbt asks for, and has no rows of its own.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from local_bigquery import app
from local_bigquery.api import jobs as api
from local_bigquery.jobs import query
from local_bigquery.settings import settings

FILLED = "CREATE_TABLE_AS_SELECT"
execute, results = query.execute, api.results


def execute_and_name(*arguments: Any, **options: Any) -> Any:
    statistics, children, destination = execute(*arguments, **options)
    if statistics.statementType == FILLED:
        destination = statistics.ddlTargetTable
    return statistics, children, destination


def results_of_queries(job: Any, *page: Any) -> Any:
    if job.status.state == "DONE" and job.statistics.query.statementType == FILLED:
        asked = job.configuration.query.replace(destinationTable=None)
        job = job.replace(configuration=job.configuration.replace(query=asked))
    return results(job, *page)


query.execute, api.results = execute_and_name, results_of_queries


class Server(uvicorn.Server):
    """Prints its port on startup."""

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    settings.data_dir = Path(sys.argv[1])
    threading.Thread(target=end_with_input, daemon=True).start()
    Server(uvicorn.Config(app, port=0, log_level="warning")).run()
