"""Projects of one user never meet, and a command finds its project as git does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dlt
import duckdb
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.pipeline import get_dlt_pipelines_dir

from exact_source.cli.project import find_project, pipelines_folder
from exact_source.source import exact_online
from exact_source.sync.pipeline_lock import named_lock
from exact_source.sync.runner import run_to_end
from tests.support.cli_fixtures import Cli

SOME = "--entities=accounts"


@pytest.fixture
def projects(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders with settings, whose commands nothing else tells where they belong."""
    monkeypatch.delenv("DLT_PROJECT_DIR")
    found = tmp_path / "first", tmp_path / "second"
    for folder in found:
        (folder / ".dlt").mkdir(parents=True)
    return found


def working_folders() -> list[Path]:
    """Folders of projects beside dlt's own place."""
    return sorted(Path(os.environ["DLT_DATA_DIR"], "exact_source").glob("*"))


def count(folder: Path) -> int:
    with duckdb.connect(str(folder / "exact.duckdb"), read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM exact_online.accounts").fetchone()
    return int(found[0]) if found else 0


def test_projects_with_the_same_pipeline_name_share_nothing(
    cli: Cli, projects: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = projects
    monkeypatch.chdir(first)
    assert cli("sync", SOME).code == 0
    rows = count(first)
    (place,) = working_folders()

    monkeypatch.chdir(second)
    with named_lock("exact_online", 0.0, place):  # a sync of the first project is under way
        assert cli("sync", SOME).code == 0
        monkeypatch.chdir(first)
        assert cli("sync", SOME).code == 3

    script = tmp_path / "script"
    script.mkdir()
    monkeypatch.chdir(script)
    pipeline = dlt.pipeline("exact_online", destination="duckdb", dataset_name="books")
    assert run_to_end(pipeline, exact_online(entities=["accounts"])).exit_code == 0
    assert count(first) == count(second) == rows > 0
    assert [file.name for file in script.glob("*.duckdb")] == ["exact_online.duckdb"]
    assert len(working_folders()) == 2


def test_a_working_folder_that_the_project_had_before_stays_in_use(
    cli: Cli, projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = projects
    monkeypatch.chdir(first)
    destination = dlt.destinations.duckdb(str(first / "exact.duckdb"))
    before = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    assert run_to_end(before, exact_online(entities=["accounts"])).exit_code == 0

    with named_lock("exact_online", 0.0):  # where the lock was before
        assert cli("sync", SOME).code == 3
        monkeypatch.chdir(second)
        assert cli("sync", SOME).code == 0
    assert len(working_folders()) == 1


def test_a_command_in_a_subfolder_works_for_the_project_above(
    cli: Cli, projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = projects
    deep = first / "reports" / "march"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)

    assert cli("sync", SOME).code == 0
    shown = cli("status", "--openmetrics", "exact.prom")

    assert count(first) > 0
    assert str(first / "exact.duckdb") in shown.out
    assert [file.name for file in deep.iterdir()] == ["exact.prom"]  # what was named stays here
    assert cli("sync", SOME, "--destination=duckdb:here.duckdb").code == 0
    assert (deep / "here.duckdb").exists()
    assert Path.cwd() == deep


def test_the_global_settings_of_a_user_are_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    below = home / "work" / "books"
    for folder in (home / ".dlt", below):
        folder.mkdir(parents=True, exist_ok=True)

    assert find_project(below) is None
    assert find_project(home) == home
    (home / "work" / ".dlt").mkdir()
    assert find_project(below) == home / "work"


def test_in_a_workspace_of_dlt_its_own_rule_applies(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlt._workspace._workspace_context import WorkspaceRunContext

    first, _ = projects
    monkeypatch.chdir(first)
    monkeypatch.delenv("DLT_DATA_DIR")
    workspace = WorkspaceRunContext("books", str(first), "dev")
    assert workspace.config is not None  # which determines its folders
    monkeypatch.setattr(Container()[PluggableRunContext], "context", workspace)

    found = Path(pipelines_folder("exact_online"))

    assert found == Path(get_dlt_pipelines_dir())
    assert first in found.parents


def test_without_a_project_the_message_names_the_folder_that_was_searched(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.delenv("DLT_PROJECT_DIR")
    monkeypatch.delenv("SOURCES__EXACT_ONLINE__CLIENT_ID")

    result = cli("sync")

    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert str(empty) in result.err
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("name", ["config.toml", "secrets.toml"])
@pytest.mark.parametrize("command", ["status", "check", "init", "sync"])
def test_a_settings_file_that_is_not_toml_is_named_with_its_line(
    cli: Cli, name: str, command: str
) -> None:
    file = Path(os.environ["DLT_PROJECT_DIR"], ".dlt", name)
    file.parent.mkdir()
    file.write_text('[sources.exact_online]\nclient_secret = "hush-5ecret\n')

    result = cli(command)

    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert f"{file}, line 2" in result.err
    assert "hush" not in result.err


@pytest.mark.parametrize("value", ["hush-5ecret", "5a9d0b1e-5a4d"])
def test_a_text_without_quotes_in_a_settings_file_is_recognised(cli: Cli, value: str) -> None:
    file = Path(os.environ["DLT_PROJECT_DIR"], ".dlt", "secrets.toml")
    file.parent.mkdir()
    file.write_text(f"[sources.exact_online]\nclient_id = {value}\n")

    result = cli("status")

    assert result.code == 2
    assert "line 2" in result.err
    assert "quotes" in result.err
    assert value not in result.err


def run_until(module: str, action: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command, and do something when a module is looked for."""
    program = (
        "import os, sys\n"
        f"{before}\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: {action}\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from exact_source.cli import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "status"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_stop_during_the_imports_is_one_line(number: signal.Signals) -> None:
    for module in ("typer", "dlt", "pendulum", "asyncio.base_events", "duckdb"):
        done = run_until(module, f"os.kill(os.getpid(), {int(number)})")
        assert (done.returncode, done.stdout) == (130, ""), (module, done.stderr)
        assert done.stderr.startswith("stopped"), module
        assert done.stderr.count("\n") == 1, module


def test_the_sign_of_life_is_shown_before_the_imports() -> None:
    """A slow disk delays everything but the first character."""
    leave = "print('typer', file=sys.stderr, flush=True); os._exit(0)"
    done = run_until("typer", leave, "sys.stderr.isatty = lambda: True")

    assert done.stderr == "starting ...typer\n"
