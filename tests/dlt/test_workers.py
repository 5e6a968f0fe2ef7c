"""Four workers share the divisions of one connection; one of them is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import dlt
import psycopg2
import pytest
from cryptography.fernet import Fernet

from exact_source.auth import SqlTokenStorage
from exact_source.orchestration import division_groups
from tests.support.postgres import fresh_database
from tests.support.world import DATASET, World, make_box

ROOT = Path(__file__).parents[2]
ENTITIES = ["accounts", "items"]
COMPANIES, GROUPS, WORKERS = 24, 8, 4
LEASE_S = 3
Group = dict[str, Any]


@dataclass
class Office:
    """What the workers share: a sandbox, one database for tokens, leases and tables."""

    world: World
    dsn: str
    environment: dict[str, str]
    queue: Queue[Group] = field(default_factory=Queue)
    said: list[dict[str, Any]] = field(default_factory=list)
    killed: list[Group] = field(default_factory=list)
    working: dict[int, Group] = field(default_factory=dict)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "tests.support.group_worker"]
        with subprocess.Popen(
            [*command, self.dsn, DATASET, ",".join(ENTITIES)],
            env=self.environment, cwd=ROOT, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            yield process
            process.kill()

    def serve(self, process: subprocess.Popen[str]) -> None:
        """Hand out groups to a worker until none is left; a dead worker's group goes to others."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
        while True:
            try:
                group = self.queue.get(timeout=0.1)
            except Empty:
                if self.queue.unfinished_tasks == 0:
                    return
                continue
            self.working[process.pid] = group
            process.stdin.write(json.dumps(group) + "\n")
            answer = process.stdout.readline()
            del self.working[process.pid]
            if not answer or json.loads(answer)["action"] != "done":
                self.queue.put(group)
            if answer:
                self.said.append({**group, **json.loads(answer)})
            else:
                self.killed.append(group)
            self.queue.task_done()
            if not answer:
                return

    def kill_one(self) -> None:
        """Kill -9 a worker that has called for its group and is not done with it."""
        while True:
            called = {request.division for request in self.world.box.requests}
            for pid, group in list(self.working.items()):
                if called.issuperset(group["divisions"]):
                    os.kill(pid, signal.SIGKILL)
                    return
            time.sleep(0.005)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    box = make_box(companies=COMPANIES, page_size=60, large_page_size=1000, latency=0.05)
    box.state.limits.minute_limit = 1000
    box.clock.set(time.time() - 900)  # logged in a quarter of an hour ago: the token is due
    with ExitStack() as stack:
        dsn = stack.enter_context(fresh_database())
        world = World(box, stack.enter_context(box.serve()), tmp_path)
        tokens = world.storage.get_tokens()
        assert tokens is not None
        key = Fernet.generate_key().decode()
        SqlTokenStorage(dsn, key=key).save_tokens(tokens)
        box.clock.set(time.time())
        box.clock.run()
        settings = {
            "base_url": world.base_url,
            "client_id": box.client_id,
            "client_secret": box.client_secret,
            "token_storage": "sql",
            "token_url": dsn,
            "token_key": key,
            "token_file": str(tmp_path / "tokens.json"),
            "leases": "true",
            "lease_s": str(LEASE_S),
        }
        named = {f"SOURCES__EXACT_ONLINE__{name.upper()}": text for name, text in settings.items()}
        world.pipeline = world.new_pipeline(destination=dlt.destinations.postgres(dsn))
        yield Office(world, dsn, os.environ | named)


@pytest.mark.nightly
def test_four_workers_load_each_division_once_and_a_killed_ones_are_taken_over(
    office: Office,
) -> None:
    world = office.world
    groups = division_groups(world.box.divisions, GROUPS)
    for name in [*groups][:1] * 2 + [*groups][1:]:  # the first one is given to two workers at once
        office.queue.put({"name": name, "divisions": groups[name]})
    with ExitStack() as stack:
        workers = [stack.enter_context(office.worker()) for _ in range(WORKERS)]
        threads = [threading.Thread(target=office.serve, args=(w,), daemon=True) for w in workers]
        for thread in threads:
            thread.start()
        office.kill_one()
        for thread in threads:
            thread.join(timeout=120)

    assert len(office.killed) == 1
    assert {s["name"] for s in office.said if s["action"] == "done"} == set(groups)
    for entity in ENTITIES:
        world.assert_equal(entity)
    assert {world.box.max_in_flight(division) for division in world.box.divisions} == {1}
    assert [request.status for request in world.box.token_requests[1:]] == [200]
    held = [s["reason"] for s in office.said if s["action"] == "again"]
    assert held
    assert [reason for reason in held if "is held by" not in reason] == []
    with psycopg2.connect(office.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM exact_leases WHERE expires_at > 0")
        assert cursor.fetchone() == (0,)  # all were given back
