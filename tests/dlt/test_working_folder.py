"""dlt's working folder is private and small, and a damaged one or a full disk costs no call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dlt
import psycopg2
import pytest

from exact_source.errors import LoadError
from exact_source.loading import disk_space
from exact_source.loading.disk_space import LEAST_FREE, full_disk_error, refuse_full_disk
from exact_source.loading.session import Session
from exact_source.loading.working_folder import remove_damaged_folder
from exact_source.source import run_source
from tests.support.cli_fixtures import Cli
from tests.support.world import World

ACCOUNTS = "crm/Accounts"


def files_of(world: World) -> list[Path]:
    return [path for path in Path(world.pipeline.working_dir).rglob("*") if path.is_file()]


# -- private and small -----------------------------------------------------------------------------


def test_no_row_stays_behind_and_the_folder_does_not_grow(world: World) -> None:
    sizes: list[int] = []
    for _ in range(4):
        assert world.sync("accounts").exit_code == 0
        sizes.append(sum(path.stat().st_size for path in files_of(world)))
        world.box.touch(ACCOUNTS, world.division)
    assert [path for path in files_of(world) if path.suffix in {".parquet", ".jsonl"}] == []
    assert sizes[3] - sizes[2] < 2_000
    packages = Path(world.pipeline.working_dir) / "load" / "loaded"
    assert len(list(packages.iterdir())) == 1


def test_the_folder_belongs_to_its_owner_alone(world: World) -> None:
    world.sync("accounts")
    folder = Path(world.pipeline.working_dir)
    modes = {path.is_dir(): set[int]() for path in (folder, folder / "state.json")}
    for path in (folder, *folder.rglob("*")):
        modes[path.is_dir()].add(path.stat().st_mode & 0o777)
    assert modes == {True: {0o700}, False: {0o600}}
    assert (world.folder / "exact.duckdb").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    probe = Path("/proc/self/status").read_text()
    return int(probe.split("Umask:")[1].split()[0], 8)


def test_the_folder_is_private_before_rows_are_in_it(world: World) -> None:
    folder = Path(world.pipeline.working_dir)
    seen: list[int] = []
    run = world.make_run()
    run.log.on_progress = lambda _result: seen.append(folder.stat().st_mode & 0o777)
    world.sync_with(run, "accounts")
    assert set(seen) == {0o700}


def test_a_run_of_dlt_makes_the_folder_private_too(world: World) -> None:
    folder = Path(world.pipeline.working_dir)
    folder.chmod(0o755)
    world.one_round("accounts")
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.nightly
def test_the_commands_of_dlt_still_work(world: World) -> None:
    world.sync("accounts")
    world.sync("accounts")
    for command in ("info", "trace"):
        arguments = [
            "pipeline",
            "--pipelines-dir",
            str(world.folder / "pipelines"),
            "exact_online",
            command,
        ]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("dlt")), *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_rows_stay_if_dlt_is_configured_to_keep_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "false")
    world.sync("accounts")
    assert [path for path in files_of(world) if path.suffix == ".parquet"]


# -- damaged ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content"),
    [("state.json", ""), ("state.json", "[]"), ("schemas/exact_online.schema.json", '{"name":')],
)
def test_a_damaged_folder_is_rebuilt(world: World, file: str, content: str) -> None:
    world.sync("accounts")
    Path(world.pipeline.working_dir, file).write_text(content)
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": "changed"})

    remove_damaged_folder("exact_online", str(world.folder / "pipelines"))
    world.pipeline = world.new_pipeline()
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    assert sum(result.rows for result in outcome.results) == 1
    world.assert_equal("accounts")


def test_the_command_goes_on_after_a_power_cut(cli: Cli) -> None:
    arguments = ("sync", cli.destination, "--entities=accounts")
    assert cli(*arguments).code == 0
    (state,) = (cli.world.folder / "home").rglob("exact_online/state.json")
    state.write_text("")
    assert cli(*arguments).code == 0
    cli.world.assert_equal("accounts")


def test_only_the_folder_of_the_pipeline_is_removed(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / "pipelines" / name).mkdir(parents=True)
        (tmp_path / "pipelines" / name / "state.json").touch()
    remove_damaged_folder("../pipelines/other", str(tmp_path / "pipelines"))
    remove_damaged_folder("none", str(tmp_path / "pipelines"))
    remove_damaged_folder("mine", str(tmp_path / "pipelines"))
    assert not (tmp_path / "pipelines" / "mine").exists()
    assert (tmp_path / "pipelines" / "other").exists()


# -- full ------------------------------------------------------------------------------------------


@pytest.fixture
def full(world: World, postgres: str) -> Iterator[psycopg2.extensions.connection]:
    """A database that says it is full when rows are merged into ``accounts``."""
    world.destination = dlt.destinations.postgres(postgres)
    world.pipeline = world.new_pipeline()
    world.sync("accounts")
    connection = psycopg2.connect(postgres)
    connection.autocommit = True
    connection.cursor().execute(
        "CREATE FUNCTION fill() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION "
        "'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$ LANGUAGE plpgsql; "
        "CREATE TRIGGER full_disk BEFORE INSERT ON exact_online.accounts EXECUTE FUNCTION fill()"
    )
    yield connection
    connection.close()


@pytest.mark.nightly
def test_rows_for_which_the_database_has_no_room_are_not_read_again(
    world: World, full: psycopg2.extensions.connection
) -> None:
    world.box.touch(ACCOUNTS, world.division)
    first = world.sync("accounts")
    with world.watch() as calls:
        second = world.sync("accounts")
    for outcome in (first, second):
        assert outcome.exit_code == 1
        assert isinstance(outcome.error, LoadError)
        assert "\n" not in str(outcome.error)
        assert "free space" in str(outcome.error)
    assert len(calls) == 0

    full.cursor().execute("DROP TRIGGER full_disk ON exact_online.accounts")
    outcome = world.sync("accounts")
    assert outcome.exit_code == 0
    assert sum(result.rows for result in outcome.results) == 0  # they waited in the working folder
    world.assert_equal("accounts")


def test_a_nearly_full_disk_of_this_machine_is_refused_before_a_call(world: World) -> None:
    places: list[Path] = []

    def free(place: Path) -> int:
        places.append(place)
        return LEAST_FREE - (place == world.folder)

    with pytest.raises(LoadError) as refused:
        refuse_full_disk(world.pipeline, free)
    assert places == [Path(world.pipeline.working_dir), world.folder]
    assert str(world.folder) in str(refused.value)
    refuse_full_disk(world.pipeline, lambda _place: LEAST_FREE)


def test_a_sync_without_room_makes_no_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "LEAST_FREE", 1 << 60)
    with world.watch() as calls:
        outcome = world.sync("accounts")

    assert outcome.exit_code == 1
    assert isinstance(outcome.error, LoadError)
    assert len(calls) == 0


def test_a_package_that_fails_for_another_reason_is_dropped_and_read_again(world: World) -> None:
    world.sync("accounts")
    world.box.touch(ACCOUNTS, world.division)
    world.pipeline.extract(run_source(Session(world.make_run()), ["accounts"]))
    world.sql("DROP SCHEMA exact_online CASCADE")
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_packages_whose_removal_was_interrupted_take_no_rows_with_them(world: World) -> None:
    world.sync("accounts")
    world.box.touch(ACCOUNTS, world.division)
    world.pipeline.extract(run_source(Session(world.make_run()), ["accounts"]))
    world.pipeline.normalize()
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(world.pipeline, "load", lambda: None)
        world.pipeline.abort_packages()
    world.pipeline = world.new_pipeline()
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    assert sum(result.rows for result in outcome.results) > 0
    assert not world.pipeline.has_pending_data
    world.assert_equal("accounts")


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(13, "Permission denied"), False),
        (ValueError("IO Error: Could not write file: No space left on device"), True),
        (ValueError("something else"), False),
    ],
)
def test_a_full_disk_is_distinguished_from_other_failures(error: Exception, is_full: bool) -> None:
    outer = ValueError("of dlt")
    outer.__cause__ = error
    assert (full_disk_error(outer, "books") is not None) == is_full
