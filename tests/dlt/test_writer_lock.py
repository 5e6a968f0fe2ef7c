"""Two syncs never load into one dataset at once, whatever their pipelines, folders or processes."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dlt
import psycopg2
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import run_to_end
from exact_source.errors import HeldError, LoadError, own_error
from exact_source.loading.session import Session
from exact_source.loading.writer_lock import lock_until_loaded, sole_writer
from exact_source.source import run_source
from exact_source.sync.outcome import Outcome
from exact_source.sync.runner import sync
from exact_source.workers.leases import Clocks, SqlLeases
from tests.support.postgres import fresh_database
from tests.support.world import World

KINDS = ("postgres", "duckdb", "sqlite")


@pytest.fixture(params=KINDS)
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Every kind of destination that has a lock of its own."""
    if request.param == "postgres":
        with fresh_database() as dsn:
            yield dlt.destinations.postgres(dsn)
    elif request.param == "duckdb":
        yield dlt.destinations.duckdb(str(tmp_path / "exact.duckdb"))
    else:
        yield dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path / 'exact.db'}")


def pipeline_in(world: World, destination: Any, name: str, folder: str) -> dlt.Pipeline:
    """One of several pipelines into one dataset."""
    return dlt.pipeline(
        name, destination=destination, dataset_name=world.dataset,
        pipelines_dir=str(world.folder / folder),
    )  # fmt: skip


def sync_meanwhile(
    world: World, first: dlt.Pipeline, act: Callable[[], Any]
) -> tuple[Outcome, Any]:
    """Sync ``first``, and act once while it reads; what came of both."""
    found: list[Any] = []

    def on_progress(result: Any) -> None:
        if result.status == "complete" and not found:
            found.append(None)
            with ThreadPoolExecutor(1) as other:  # dlt's contexts belong to a thread
                found[0] = other.submit(act).result()

    run = world.make_run()
    run.log.on_progress = on_progress
    return sync(first, run, ["accounts"]), found[0]


def assert_loaded(world: World) -> None:
    """Every row is in the table, once."""
    with world.pipeline.sql_client() as client:
        table = client.make_qualified_table_name("accounts")
        found = client.execute_sql(f"SELECT division, id FROM {table}") or ()
    wanted = [
        (division, str(key)) for division in world.box.divisions
        for key in world.keys("crm/Accounts", division)
    ]  # fmt: skip
    assert sorted((int(division), str(key)) for division, key in found) == sorted(wanted)


def assert_names(error: Any, pipeline: str) -> None:
    assert isinstance(error, HeldError)
    text = str(error)
    assert f"pipeline {pipeline}" in text
    assert f"process {os.getpid()}" in text
    assert f"on {socket.gethostname()} in {Path.cwd()}, since" in text
    assert "2026-03-10" in text


@pytest.mark.parametrize(
    ("name", "folder"), [("other", "pipelines"), ("exact_online", "another_home")]
)
def test_of_two_syncs_into_one_dataset_the_second_ends_with_3(
    world: World, destination: Any, name: str, folder: str
) -> None:
    """Without a lock both end with 0, and rows are missing or there twice."""
    world.pipeline = pipeline_in(world, destination, "exact_online", "pipelines")
    second = pipeline_in(world, destination, name, folder)

    def sync_second() -> tuple[Outcome, int]:
        with world.watch() as calls:
            outcome = sync(second, world.make_run(), ["accounts"])
        return outcome, len(calls)

    outcome, (refused, calls) = sync_meanwhile(world, world.pipeline, sync_second)

    assert (outcome.exit_code, refused.exit_code) == (0, 3)
    assert calls == 0
    assert_names(refused.error, "exact_online")
    assert refused.resumes_at is None or refused.resumes_at <= world.clock.now()
    assert_loaded(world)
    assert sync(second, world.make_run(), ["accounts"]).exit_code == 0
    assert_loaded(world)


def test_other_datasets_of_a_database_are_not_locked(world: World, destination: Any) -> None:
    first = pipeline_in(world, destination, "exact_online", "pipelines")
    second = dlt.pipeline(
        "other",
        destination=destination,
        dataset_name="other",
        pipelines_dir=str(world.folder / "p"),
    )
    with sole_writer(first, 0.0), sole_writer(second, 0.0) as lock:
        lock.confirm()


LOADER = """
import sys, dlt
from exact_source.loading.writer_lock import sole_writer
kind, place, folder = sys.argv[1:]
made = getattr(dlt.destinations, kind)(place)
pipeline = dlt.pipeline("elsewhere", destination=made, dataset_name="exact_online", pipelines_dir=folder)
with sole_writer(pipeline, 0.0):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["postgres", "duckdb"])
def test_a_process_that_was_killed_leaves_no_lock_behind(
    world: World, postgres: str, kind: str, tmp_path: Path
) -> None:
    place = postgres if kind == "postgres" else str(tmp_path / "exact.duckdb")
    pipeline = pipeline_in(world, getattr(dlt.destinations, kind)(place), "exact_online", "p")
    command = [sys.executable, "-c", LOADER, kind, place, str(tmp_path / "q")]
    project = tmp_path / ("é" * 100) / ("x" * 120) / "books"
    project.mkdir(parents=True)
    with subprocess.Popen(
        command, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(HeldError) as held, sole_writer(pipeline, 0.0):
            pass
        other.kill()
    assert f"pipeline elsewhere (process {other.pid} on" in str(held.value)
    assert "ééé/xxx" in str(held.value)
    assert "xxx/books, since" in str(held.value)
    with sole_writer(pipeline, 0.0, wait_s=30):
        pass


def test_rows_read_under_a_lock_that_was_lost_are_not_loaded(world: World, postgres: str) -> None:
    """Postgres was restarted, or an administrator ended the idle session."""
    first = pipeline_in(world, dlt.destinations.postgres(postgres), "exact_online", "pipelines")

    def end_session() -> int:
        with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'exact-source exact_online'"
            )
            return int((cursor.fetchone() or [0])[0])

    outcome, ended = sync_meanwhile(world, first, end_session)

    assert ended == 1
    assert outcome.exit_code == 3
    assert isinstance(outcome.error, HeldError)
    assert not first.has_pending_data
    world.pipeline = first
    assert world.sql("SELECT * FROM pg_tables WHERE schemaname = 'exact_online'") == []
    assert sync(first, world.make_run(), ["accounts"]).exit_code == 0
    world.assert_equal("accounts")


def test_a_lock_is_free_as_soon_as_it_is_given_back(world: World, postgres: str) -> None:
    """A server notices the end of a session a little later than the client."""
    pipeline = pipeline_in(world, dlt.destinations.postgres(postgres), "exact_online", "pipelines")
    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        for _ in range(100):
            with sole_writer(pipeline, world.clock.now()):
                pass
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            assert cursor.fetchone() == (0,)


def test_the_idle_session_of_the_lock_holds_back_no_vacuum(world: World, postgres: str) -> None:
    pipeline = pipeline_in(world, dlt.destinations.postgres(postgres), "exact_online", "pipelines")
    with (
        sole_writer(pipeline, 0.0),
        psycopg2.connect(postgres) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT state, backend_xid, backend_xmin FROM pg_stat_activity "
            "WHERE application_name = 'exact-source exact_online'"
        )
        assert cursor.fetchall() == [("idle in transaction", None, None)]


def test_workers_with_leases_take_turns_to_load(
    world: World, postgres: str, tmp_path: Path
) -> None:
    """A sync without leases has the dataset to itself; one with leases waits until it ends."""
    destination = dlt.destinations.postgres(postgres)
    world.pipeline = pipeline_in(world, destination, "exact_online", "pipelines")
    other = pipeline_in(world, destination, "other", "pipelines")
    waits: list[float] = []
    held = ExitStack()
    held.enter_context(sole_writer(other, 0.0))

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            held.close()

    leases = SqlLeases(f"sqlite:///{tmp_path / 'leases.db'}", clocks=Clocks(sleep=sleep))
    outcome = sync(world.pipeline, world.make_run(leases=leases), ["accounts"])

    assert (outcome.exit_code, len(waits)) == (0, 3)
    world.assert_equal("accounts")


def test_a_destination_that_cannot_be_reached_is_an_error_of_one_line(world: World) -> None:
    address = "postgresql://user:very-secret@127.0.0.1:1/none"
    pipeline = pipeline_in(world, dlt.destinations.postgres(address), "exact_online", "pipelines")
    with world.watch() as calls:
        outcome = sync(pipeline, world.make_run(), ["accounts"])
    assert (outcome.exit_code, len(calls)) == (1, 0)
    assert isinstance(outcome.error, LoadError)
    assert "\n" not in str(outcome.error)
    assert "very-secret" not in str(outcome.error)


def test_run_to_end_holds_the_lock_as_well(world: World, destination: Any) -> None:
    pipeline = pipeline_in(world, destination, "exact_online", "pipelines")
    other = pipeline_in(world, destination, "other", "pipelines")
    with sole_writer(other, 0.0):
        outcome = run_to_end(pipeline, run_source(Session(world.make_run()), ["accounts"]))
    assert outcome.exit_code == 3


def test_a_lock_file_that_holds_something_else_is_no_obstacle(world: World) -> None:
    file = world.folder / ".exact.duckdb.exact_online.lock"
    file.write_text("not a note")
    with sole_writer(world.pipeline, 0.0):
        assert json.loads(file.read_text())["pipeline"] == "exact_online"
    assert file.read_text() == ""


@pytest.fixture
def foreign_lock_file(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock file of another user, which this one may read and not write; root may do both."""
    file = world.folder / ".exact.duckdb.exact_online.lock"
    file.touch()
    kept = os.open

    def refuse(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if path == file and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return kept(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    return file


def test_the_lock_file_of_another_user_locks(
    world: World, foreign_lock_file: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", LOADER, "duckdb", str(world.folder / "exact.duckdb")]
    with subprocess.Popen(
        [*command, str(tmp_path / "q")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        held = world.sync("accounts")
        other.communicate()
    assert held.exit_code == 3
    assert f"pipeline elsewhere (process {other.pid} on" in str(held.error)

    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_who_holds_the_lock_file_of_another_user_is_not_named_wrongly(
    world: World, foreign_lock_file: Path
) -> None:
    second = pipeline_in(world, world.pipeline.destination, "second", "pipelines")
    with (
        sole_writer(world.pipeline, 0.0),
        pytest.raises(HeldError) as held,
        sole_writer(second, 0.0),
    ):
        pass
    assert "process" in str(held.value)
    assert foreign_lock_file.read_text() == ""


def test_a_remote_folder_or_a_custom_destination_is_locked_on_this_machine(world: World) -> None:
    @dlt.destination()
    def sink(_items: Any, _table: Any) -> None: ...

    first, second = (
        dlt.pipeline(n, destination=sink, dataset_name="d", pipelines_dir=str(world.folder / n))
        for n in ("first", "second")
    )
    with sole_writer(first, 0.0), pytest.raises(HeldError), sole_writer(second, 0.0):
        pass


def locking_source(act: Callable[[], None] = lambda: None) -> Any:
    """A resource that takes the lock when it is extracted, as ``exact_online`` does."""

    @dlt.resource(name="rows")
    def rows() -> Iterator[dict[str, int]]:
        lock_until_loaded(dlt.current.pipeline(), 0.0)
        act()
        yield {"id": 1}

    return rows()


def test_a_run_of_dlt_holds_the_lock_until_its_load_ends(world: World, destination: Any) -> None:
    mine = pipeline_in(world, destination, "mine", "pipelines")
    other = pipeline_in(world, destination, "other", "pipelines")
    refused: list[HeldError] = []

    def try_other() -> None:
        with pytest.raises(HeldError) as held, sole_writer(other, 0.0):
            pass
        refused.append(held.value)

    mine.run(locking_source(try_other))
    assert [f"pipeline mine (process {os.getpid()}" in str(error) for error in refused] == [True]
    with sole_writer(other, 0.0), pytest.raises(PipelineStepFailed) as failed:
        mine.run(locking_source())
    assert isinstance(own_error(failed.value), HeldError)
    mine.run(locking_source())

    def fail() -> None:
        raise ValueError

    with pytest.raises(PipelineStepFailed):
        mine.run(locking_source(fail))
    with sole_writer(other, 0.0):
        pass


def test_a_source_that_dlt_runs_makes_no_call_while_another_loads(
    world: World, destination: Any
) -> None:
    world.pipeline = pipeline_in(world, destination, "mine", "pipelines")
    other = pipeline_in(world, destination, "other", "pipelines")
    with (
        world.watch() as calls,
        sole_writer(other, 0.0),
        pytest.raises(PipelineStepFailed) as failed,
    ):
        world.one_round("accounts")

    assert isinstance(own_error(failed.value), HeldError)
    assert len(calls) == 0
    world.one_round("accounts")
    assert_loaded(world)
