"""Airflow in an environment of its own, pointed at a sandbox and a warehouse; holds no tests."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.environments import environment
from tests.world import World

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "tests" / "airflow_requirements.txt"
DAG = """
import sys
sys.path.insert(0, {pipelines!r})
from airflow_dag import exact_online_dag
dag = exact_online_dag("books", **{settings!r})
"""


@dataclass
class Airflow:
    """An installation with one DAG, ``books``, made by ``pipelines/airflow_dag.py``.

    Attributes:
        home: Its folder.
        world: The sandbox, which tells the same time as the computer.
        warehouse: Airflow connection, as JSON.
        token_url: Database of tokens and leases; ``None``: tokens in a file, and no leases.
    """

    home: Path
    world: World
    warehouse: dict[str, Any]
    token_url: str | None = None
    token_key: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.python = environment("airflow", REQUIREMENTS)
        (self.home / "dags").mkdir(parents=True)

    def write_dag(self, **settings: Any) -> None:
        """The DAG, as somebody would who copied the file."""
        text = DAG.format(pipelines=str(ROOT / "pipelines"), settings=settings)
        (self.home / "dags" / "books.py").write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "LC_ALL", "TMPDIR"}}
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
        return kept | {
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "AIRFLOW_CONN_EXACT_ONLINE": json.dumps(app),
            "AIRFLOW_CONN_EXACT_WAREHOUSE": json.dumps(self.warehouse),
            **self.variables,
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of Airflow's, or with ``-c`` of its Python."""
        module = () if command[0] == "-c" else ("-m", "airflow")
        return subprocess.run(
            [str(self.python), *module, *command],
            env=self.environment, cwd=self.home, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def background(
        self, *command: str, log: str, **variables: str
    ) -> Iterator[subprocess.Popen[Any]]:
        """A service of Airflow's, with its children, until the end of the block."""
        with (self.home / f"{log}.log").open("w") as output:
            process = subprocess.Popen(
                [str(self.python), "-m", *command],
                env=self.environment | variables, cwd=self.home, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                end_group(process)


def end_group(process: subprocess.Popen[Any], signal_number: int = 15) -> None:
    """End a process that leads a session, and all it started."""
    for number in (signal_number, 9):
        try:
            os.killpg(process.pid, number)
            process.wait(20)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def tell_real_time(world: World) -> None:
    """For what cannot be told a time: the sandbox's clock shows the computer's."""
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


__all__ = ["ROOT", "Airflow", "end_group", "postgres_connection", "tell_real_time"]
