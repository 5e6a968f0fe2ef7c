"""Airflow in a separate environment, connected to a sandbox and a warehouse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.environments import environment
from tests.support.world import World

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "tests" / "support" / "airflow_requirements.txt"
DAG = """
import datetime
from exact_source.airflow import exact_online_dag
dag = exact_online_dag({name!r}, **{settings!r})
"""


@dataclass
class Airflow:
    """An Airflow installation with DAGs made by ``exact_source.airflow``.

    Attributes:
        home: Folder of the installation.
        world: Sandbox whose clock shows the computer's time.
        warehouse: Airflow connection of the warehouse, as JSON.
        token_url: Database of tokens and leases; ``None``: tokens in a file, and no leases.
        token_key: Key that encrypts the tokens in the database.
        variables: Additional environment variables.
        app: Values that replace those of the app's connection.
        is_set_up: Whether the connections exist; otherwise commands add them.
    """

    home: Path
    world: World
    warehouse: dict[str, Any]
    token_url: str | None = None
    token_key: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    app: dict[str, Any] = field(default_factory=dict)
    is_set_up: bool = True

    def __post_init__(self) -> None:
        self.python = environment("airflow", REQUIREMENTS)
        (self.home / "dags").mkdir(parents=True)

    def write_dag(self, name: str = "books", **settings: Any) -> None:
        """Write a DAG file, like a user who has copied the example."""
        text = DAG.format(name=name, settings=settings)
        (self.home / "dags" / f"{name}.py").write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "LC_ALL", "TMPDIR"}}
        connections = {
            "AIRFLOW_CONN_EXACT_ONLINE": json.dumps(self.app_connection),
            "AIRFLOW_CONN_EXACT_WAREHOUSE": json.dumps(self.warehouse),
        }
        return kept | {
            "HOME": str(self.home),
            "DLT_DATA_DIR": str(self.home / "dlt"),  # root's is not in its home
            "PYTHONPATH": str(ROOT),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            **(connections if self.is_set_up else {}),
            **self.variables,
        }

    @property
    def app_connection(self) -> dict[str, Any]:
        """The connection of the app."""
        extra = {
            "base_url": self.world.base_url,
            "redirect_uri": self.world.box.redirect_uri,
            "token_file": str(self.world.folder / "tokens.json"),
        }
        if self.token_url:
            shared = {"token_storage": "sql", "token_url": self.token_url, "leases": "true"}
            extra |= {**shared, "token_key": self.token_key}
        app = {
            "conn_type": "generic",
            "login": self.world.box.client_id,
            "password": self.world.box.client_secret,
            "extra": extra,
        }
        return app | self.app

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run an Airflow command, or Python code with ``-c``."""
        module = () if command[0] == "-c" else ("-m", "airflow")
        return subprocess.run(
            [str(self.python), *module, *command],
            env=self.environment, cwd=self.home, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def background(
        self, *command: str, log: str, **variables: str
    ) -> Iterator[subprocess.Popen[Any]]:
        """Run an Airflow service with its children until the end of the block."""
        with (self.home / f"{log}.log").open("w") as output:
            process = subprocess.Popen(
                [str(self.python), "-m", *command],
                env=self.environment | variables, cwd=self.home, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                kill_session(process)


def kill_session(process: subprocess.Popen[Any]) -> None:
    """Kill -9 a session leader and all processes of its session, like the loss of a machine.

    By session because Airflow gives each task its own process group.
    """
    while members := [pid for pid in _processes() if _session(pid) == process.pid]:
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.05)


def _processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _session(pid: int) -> int | None:
    """Session of a running process; ``None`` for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[3])


def tell_real_time(world: World) -> None:
    """Make the sandbox's clock follow the computer's, for programs with no other clock."""
    world.box.clock.set(time.time())
    world.box.clock.run()
    world.login()


def postgres_connection(dsn: str) -> dict[str, Any]:
    """An Airflow connection to a database."""
    place = urlsplit(dsn)
    return {
        "conn_type": "postgres",
        "host": place.hostname,
        "port": place.port,
        "login": place.username,
        "password": place.password,
        "schema": place.path.strip("/"),
    }


__all__ = ["ROOT", "Airflow", "kill_session", "postgres_connection", "tell_real_time"]
