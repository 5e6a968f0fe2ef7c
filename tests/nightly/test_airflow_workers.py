"""Many companies by Airflow's own scheduler and workers, in processes of their own; takes minutes."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import dlt
import pytest

from exact_source.orchestration import division_groups
from tests.support.airflow_cluster import Cluster, ask, cluster
from tests.support.airflow_kit import kill_session
from tests.support.world import World, assert_same_rows, expected_rows, make_box

pytestmark = [
    pytest.mark.proofs,
    pytest.mark.xdist_group("workers of Airflow"),
    pytest.mark.timeout(3600),
]

ENTITIES = ["accounts", "items"]
COMPANIES = int(os.environ.get("EXACT_TEST_COMPANIES", "200"))
GROUPS, WORKERS = 8, 4
# Of each call: real ones take as long in sum, with many more rows.
LATENCY_S = float(os.environ.get("EXACT_TEST_LATENCY_S", "10"))
ROTATION_S = 570  # the token is renewed in the last 30 seconds of its 10 minutes


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def make_world(stack: ExitStack, folder: Path, companies: int, latency: float) -> World:
    box = make_box(
        companies=companies, invoices=1, page_size=60, large_page_size=1000, latency=latency
    )
    box.state.limits.minute_limit = 1000
    box.clock.set(time.time() - 900)  # logged in a quarter of an hour ago: the token is due
    world = World(box, stack.enter_context(box.serve()), folder)
    box.clock.set(time.time())
    box.clock.run()
    return world


def dag_settings(dag: str, groups: int) -> dict[str, Any]:
    retries = {"retries": 3, "retry_delay": timedelta(seconds=5)}
    return {
        "entities": ENTITIES, "groups": groups, "dataset": dag, "schedule": "@once",
        "dag_options": {"max_active_tasks": 64, "default_args": retries},
    }  # fmt: skip


def look(world: World, shared: str, dataset: str) -> None:
    """Whatever a company has is in the tables of a dataset."""
    world.dataset = dataset
    world.pipeline = world.new_pipeline(destination=dlt.destinations.postgres(shared))
    for entity in ENTITIES:
        rows = defaultdict(list)
        for row in world.table(entity):
            rows[row["division"]].append(row)
        assert sorted(rows) == sorted(world.box.divisions)
        for division, found in rows.items():
            assert_same_rows(entity, found, expected_rows(world.box, entity, division))


def span_s(made: Cluster, dag: str) -> float:
    """From the first task's beginning to the last one's end."""
    tasks = made.tasks(dag)
    assert len(tasks) == GROUPS
    return (max(end for _, end, _ in tasks) - min(start for start, _, _ in tasks)).total_seconds()


def test_four_workers_of_celery_share_two_hundred_companies(
    stack: ExitStack, tmp_path: Path
) -> None:
    world = make_world(stack, tmp_path, COMPANIES, LATENCY_S)
    made = stack.enter_context(cluster(world, "CeleryExecutor"))
    for dag in ("four", "killed", "one"):
        made.airflow.write_dag(dag, **dag_settings(dag, GROUPS))
    made.start()
    for number in range(WORKERS):
        made.start_worker(f"worker{number}")

    made.unpause("killed")
    lost = kill_a_busy_worker(made)
    assert made.wait_for_run("killed") == "success"

    made.start_worker(lost)
    made.unpause("four")
    assert made.wait_for_run("four") == "success"

    for name in list(made.workers)[1:]:
        kill_session(made.workers[name])  # it has nothing to do
    made.unpause("one")
    assert made.wait_for_run("one") == "success"

    for dag in ("four", "killed", "one"):
        look(world, made.shared, dag)
    assert {host for *_, host in made.tasks("four")} == {f"worker{n}" for n in range(WORKERS)}
    assert len({host for *_, host in made.tasks("one")}) == 1
    assert {world.box.max_in_flight(division) for division in world.box.divisions} == {1}
    tokens = world.box.token_requests[1:]
    assert {request.status for request in tokens} == {200}
    assert all(b.at - a.at >= ROTATION_S for a, b in pairwise(tokens))
    held = ask(made.shared, "SELECT count(*) FROM exact_leases WHERE expires_at > 0")
    assert held == [(0,)]
    retried = made.ask(
        "SELECT task_id FROM task_instance WHERE dag_id = 'killed' AND try_number > 1"
    )
    assert retried == [("sync_group",)]
    report(
        {
            "divisions": COMPANIES, "groups": GROUPS, "latency_s": LATENCY_S,
            "calls": len(world.box.requests), "rotations": len(tokens),
            **{f"{dag}_s": round(span_s(made, dag), 1) for dag in ("four", "killed", "one")},
        }
    )  # fmt: skip
    assert len(tokens) >= 1


def kill_a_busy_worker(made: Cluster) -> str:
    """Kill -9 a worker while its task has called for divisions and not loaded them."""
    world = made.airflow.world
    groups = division_groups(world.box.divisions, GROUPS)

    def busy() -> list[tuple[str, int]]:
        called = {request.division for request in world.box.requests}
        running = made.ask(
            "SELECT hostname, map_index FROM task_instance WHERE dag_id = 'killed' "
            "AND task_id = 'sync_group' AND state = 'running'"
        )
        names = list(groups)
        return [(h, n) for h, n in running if len(called.intersection(groups[names[n]])) > 1]

    made.wait_for(busy, "a busy worker")
    name, _ = busy()[0]
    kill_session(made.workers[name])
    return name


def report(figures: dict[str, Any]) -> None:
    """For the pages: where the figures come from."""
    file = os.environ.get("EXACT_TEST_FIGURES")
    if file:
        Path(file).write_text(json.dumps(figures) + "\n")


def test_a_task_that_must_wait_gives_its_slot_back_and_goes_on(
    stack: ExitStack, tmp_path: Path
) -> None:
    """By the executor that comes with Airflow; the moment to go on is moved, nobody waits for midnight."""
    world = make_world(stack, tmp_path, companies=4, latency=0.5)
    box = world.box
    box.state.limits.daily_limit = 3
    made = stack.enter_context(cluster(world, "LocalExecutor"))
    settings = dag_settings("books", 4) | {"pool": "exact_online"}
    made.airflow.write_dag("books", **settings, divisions=box.divisions)
    made.start()
    pool = {"name": "exact_online", "slots": 2, "include_deferred": False}
    assert made.call("POST", "pools", pool)
    made.unpause("books")

    waiting = "SELECT count(*) FROM task_instance WHERE state = 'up_for_reschedule'"
    made.wait_for(lambda: made.ask(waiting) == [(4,)], "four tasks that wait")
    moments = made.ask("SELECT reschedule_date FROM task_reschedule")
    running = made.ask("SELECT count(*) FROM task_instance WHERE state = 'running'")
    box.state.limits.daily_limit = 5000
    # In a while: first the scheduler has to take note of how the last task's process ended.
    ask(made.database, "UPDATE task_reschedule SET reschedule_date = now() + interval '30 seconds'")
    assert made.wait_for_run("books") == "success"

    midnight = (box.clock.now() // 86_400 + 1) * 86_400
    assert running == [(0,)]
    assert all(midnight <= at.timestamp() <= midnight + 5 for (at,) in moments)
    # Side by side, and no more than the pool has slots.
    assert most_at_once([task[:2] for task in made.tasks("books")]) == 2
    tries = made.ask("SELECT max(try_number) FROM task_instance WHERE task_id = 'sync_group'")
    assert tries == [(1,)]  # a task that waits uses no retry up
    assert {box.max_in_flight(division) for division in box.divisions} == {1}
    look(world, made.shared, "books")


def most_at_once(spans: Sequence[tuple[Any, ...]]) -> int:
    """The largest number of spans that hold one moment."""
    return max(int(sum(start <= at < end for start, end in spans)) for at, _ in spans)
