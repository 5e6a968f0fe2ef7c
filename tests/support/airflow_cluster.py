"""Runs Airflow's scheduler, API server and workers as separate processes."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg2
from cryptography.fernet import Fernet

from exact_source.auth import SqlTokenStorage
from tests.support.airflow_kit import Airflow, postgres_connection
from tests.support.environments import missing
from tests.support.postgres import fresh_database
from tests.support.world import World

LEASE_S = 10
# Seconds without a heartbeat after which the scheduler gives up a worker.
SILENCE_S = 40
PATIENCE_S = 3600.0
Rows = list[tuple[Any, ...]]


@dataclass
class Cluster:
    """Airflow services with their database, and a sandbox whose tokens, leases and tables are in another.

    Attributes:
        airflow: The installation.
        shared: Database of tokens, leases and tables.
        database: Airflow's own database.
        port: Port of the API server.
        workers: Celery workers by name.
    """

    airflow: Airflow
    shared: str
    database: str
    port: int
    services: ExitStack
    workers: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)

    def start(self) -> None:
        """Start all services except the workers."""
        done = self.airflow.run("db", "migrate")
        assert done.returncode == 0, done.stderr[-3000:]
        server = ("api-server", "--port", str(self.port), "--workers", "1")
        for command in (server, ("scheduler",), ("dag-processor",)):
            run = self.airflow.background("airflow", *command, log=command[0])
            self.services.enter_context(run)
        self.wait_for(self._answers, "the API server")

    def start_worker(self, name: str) -> None:
        """Start a Celery worker that runs one task at a time."""
        command = (
            "airflow",
            "celery",
            "worker",
            "--concurrency",
            "1",
            "-H",
            name,
            "--skip-serve-logs",
        )
        run = self.airflow.background(*command, log=name, WORKER_NAME=name)
        self.workers[name] = self.services.enter_context(run)

    def unpause(self, dag: str) -> None:
        """Unpause a DAG once the scheduler has parsed it."""
        self.wait_for(lambda: self.call("PATCH", f"dags/{dag}", {"is_paused": False}), dag)

    def call(self, method: str, path: str, body: dict[str, Any]) -> bool:
        """Call the public API; returns whether it accepted the request."""
        url = f"http://127.0.0.1:{self.port}/api/v2/{path}"
        answer = httpx.request(method, url, json=body, trust_env=False, timeout=60)
        return answer.is_success

    def wait_for(self, is_so: Callable[[], Any], what: str) -> None:
        """Poll until a condition is true."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < give_up_at, f"{what} took too long: {self.airflow.home}"
            time.sleep(0.2)

    def wait_for_run(self, dag: str) -> str:
        """Wait until a DAG run has ended; returns its state."""
        ended = "SELECT state FROM dag_run WHERE dag_id = %s AND state IN ('success', 'failed')"
        self.wait_for(lambda: self.ask(ended, dag), dag)
        return str(self.ask(ended, dag)[0][0])

    def ask(self, query: str, *values: Any) -> Rows:
        """Query Airflow's own database."""
        return ask(self.database, query, *values)

    def tasks(self, dag: str) -> list[tuple[datetime, datetime, str]]:
        """Start, end and worker of the last try of each group."""
        return self.ask(
            "SELECT start_date, end_date, hostname FROM task_instance "
            "WHERE dag_id = %s AND task_id = 'sync_group' AND state = 'success'",
            dag,
        )

    def _answers(self) -> bool:
        try:
            return httpx.get(
                f"http://127.0.0.1:{self.port}/api/v2/version", trust_env=False
            ).is_success
        except httpx.HTTPError:
            return False


def ask(dsn: str, query: str, *values: Any) -> Rows:
    """Execute and commit a statement; returns its rows, if any."""
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@contextmanager
def cluster(world: World, executor: str) -> Iterator[Cluster]:
    """Prepare a cluster without starting it.

    Args:
        world: A sandbox with the computer's time and a login 15 minutes ago.
        executor: Name of Airflow's executor.
    """
    with ExitStack() as stack:
        shared, database = (stack.enter_context(fresh_database()) for _ in range(2))
        tokens, key = world.storage.get_tokens(), Fernet.generate_key().decode()
        assert tokens is not None
        SqlTokenStorage(shared, key=key).save_tokens(tokens)
        airflow = Airflow(
            world.folder / "airflow",
            world,
            postgres_connection(shared),
            token_url=shared,
            token_key=key,
        )
        port = free_port()
        place = urlsplit(database)._replace(scheme="postgresql+psycopg2").geturl()
        airflow.variables = {
            "SOURCES__EXACT_ONLINE__LEASE_S": str(LEASE_S),
            "AIRFLOW__CORE__EXECUTOR": executor,
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tests.support.airflow_worker.name",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": place,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(SILENCE_S),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "3",
            # A single worker needs longer for all tasks than the default limit for queued tasks.
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "3600",
            # By default a task fails if five calls to the API server each take more than five seconds.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        }
        if executor == "CeleryExecutor":
            airflow.variables |= {
                "AIRFLOW__CELERY__BROKER_URL": stack.enter_context(redis(world)),
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{place}",
                "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
            }
        yield Cluster(airflow, shared, database, port, stack)


@contextmanager
def redis(world: World) -> Iterator[str]:
    """URL of a private Redis; installs Debian's package if permitted."""
    if shutil.which("redis-server") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "redis-server"]
        subprocess.run(install, check=False, capture_output=True)
    server = shutil.which("redis-server")
    if server is None:
        missing("there is no redis-server (Debian: redis-server)")
    port = free_port()
    command = [
        server,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with subprocess.Popen(command, cwd=world.folder, stdout=subprocess.DEVNULL) as process:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
