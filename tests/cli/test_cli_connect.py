"""Which database a command reaches: the file of the folder it runs in, and rows of its own."""

from __future__ import annotations

from pathlib import Path

import dlt
import duckdb
import pytest

from exact_source.loading.session import Session
from exact_source.source import run_source
from tests.support.cli_fixtures import Cli
from tests.support.world import expected_rows

SYNC = ("sync", "--entities=accounts")
PATH = "sync/CRM/Accounts"


def ids(file: Path) -> set[str]:
    with duckdb.connect(str(file), read_only=True) as database:
        return {
            row[0] for row in database.execute("SELECT id FROM exact_online.accounts").fetchall()
        }


def truth(cli: Cli) -> set[str]:
    box = cli.world.box
    return {row["id"] for d in box.divisions for row in expected_rows(box, "accounts", d)}


@pytest.fixture(params=["the default", "an option", "secrets.toml"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Three ways to say a relative path."""
    if request.param == "secrets.toml":
        monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "exact.duckdb")
    return ("--destination=duckdb:exact.duckdb",) if request.param == "an option" else ()


def test_each_folder_has_its_own_file(
    cli: Cli, place: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert cli(*SYNC, *place).code == 0
        assert ids(folder / "exact.duckdb") == truth(cli)


@pytest.mark.nightly
def test_what_was_left_over_for_one_database_does_not_go_into_another(
    cli: Cli, tmp_path: Path
) -> None:
    """A package that was read for one file holds what changed since that one was loaded."""
    first, second = (f"--destination=duckdb:{tmp_path / name}" for name in ("1.duckdb", "2.duckdb"))
    assert cli(*SYNC, first).code == cli(*SYNC, second).code == 0
    insert(cli, "1")
    assert cli(*SYNC, first).code == 0
    insert(cli, "2")
    extract_only(cli, tmp_path / "1.duckdb")

    assert cli(*SYNC, second).code == 0
    assert ids(tmp_path / "2.duckdb") == truth(cli)
    assert cli(*SYNC, first).code == 0
    assert ids(tmp_path / "1.duckdb") == truth(cli)


def insert(cli: Cli, digit: str) -> None:
    world = cli.world
    key = f"00000000-0000-4000-8000-00000000000{digit}"
    world.box.insert(PATH, world.division, {"ID": key, "Name": digit})
    world.advance_versions(by=20_000)  # past the overlap, in which all rows would be read again


def extract_only(cli: Cli, file: Path) -> None:
    """The process ends before what it read is loaded."""
    destination = dlt.destinations.duckdb(str(file))
    pipeline = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    pipeline.extract(run_source(Session(cli.world.make_run()), ["accounts"]))
    assert pipeline.has_pending_data
