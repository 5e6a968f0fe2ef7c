"""What dlt's users expect of a source: a folder to copy, the command ``dlt``, notebooks, typed names."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, get_args

import duckdb
import pytest

import exact_source
from exact_source import EntityName, exact_online
from tests.support.world import World, export_settings

ROOT = Path(__file__).parents[2]
# The copy must not find the package that is installed beside it.
SCRIPT = """
import sys
sys.modules["exact_source"] = None
import dlt
from my_exact import exact_online
pipeline = dlt.pipeline(
    "exact_online", destination=dlt.destinations.duckdb("exact.duckdb"), dataset_name="exact_online"
)
pipeline.run(exact_online(entities=["accounts", "journals"]))
"""


def settle(world: World, folder: Path) -> dict[str, str]:
    """Settings of a world in the files of a project; gives the environment of its programs."""
    (folder / ".dlt").mkdir()
    public = {"base_url": world.base_url, "token_file": world.folder / "tokens.json"}
    secret = {"client_id": world.box.client_id, "client_secret": world.box.client_secret}
    for name, values in (("config", public), ("secrets", secret)):
        lines = [f'{key} = "{value}"' for key, value in values.items()]
        (folder / ".dlt" / f"{name}.toml").write_text("\n".join(["[sources.exact_online]", *lines]))
    world.box.state.limits.minute_limit = 1_000_000
    return {k: v for k, v in os.environ.items() if not k.startswith("SOURCES__")}


def live_now(world: World) -> None:
    """Go by the computer's own clock, as other processes do."""
    world.box.clock.set(time.time())
    world.box.clock.run()
    world.login()


@pytest.mark.nightly
def test_a_copied_and_renamed_folder_runs_and_dlt_tells_of_it(world: World, tmp_path: Path) -> None:
    live_now(world)
    project = tmp_path / "project"
    environment = settle(world, project)
    shutil.copytree(
        ROOT / "exact_source", project / "my_exact", ignore=shutil.ignore_patterns("__pycache__")
    )
    (project / "my_pipeline.py").write_text(SCRIPT)

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "my_pipeline.py")
    tool = Path(sys.executable).with_name("dlt")
    info, trace = (run(tool, "pipeline", "exact_online", word) for word in ("info", "trace"))

    with duckdb.connect(str(project / "exact.duckdb")) as database:
        counts = database.execute(
            "SELECT division, count(*) FROM exact_online.accounts GROUP BY 1"
        ).fetchall()
    assert dict(counts) == {d: len(world.box.rows("crm/Accounts", d)) for d in world.box.divisions}
    assert "accounts" in info
    assert "journals" in info
    assert "exact_online" in trace
    assert world.box.client_secret not in info + trace


def test_the_requirements_of_the_folder_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = (ROOT / "exact_source" / "requirements.txt").read_text().splitlines()
    assert listed == project["dependencies"]


def test_a_source_runs_where_an_event_loop_runs_already(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_settings(world, monkeypatch)

    async def cell() -> Any:
        return world.pipeline.run(exact_online(entities=["journals"], clock=world.clock))

    info = asyncio.run(cell())

    assert not info.has_failed_jobs
    assert len(world.table("journals")) == sum(
        len(world.box.rows("financial/Journals", d)) for d in world.box.divisions
    )


def test_names_of_all_resources_are_a_type(world: World) -> None:
    source = exact_online(
        base_url=world.base_url, client_id="x", client_secret="y", token_storage=world.storage
    )

    assert set(source.resources) - {"exact_syncs"} == set(get_args(EntityName))
    assert "EntityName" in exact_source.__all__


def test_steps_of_the_user_get_rows_of_their_entity_alone_and_the_log_stays(world: World) -> None:
    source = world.new_source().with_resources("accounts")
    columns: list[set[str]] = []

    def look(table: Any) -> Any:
        columns.append(set(table.column_names))
        return table

    source.accounts.add_map(look)
    world.pipeline.run(source)

    assert columns
    assert all({"id", "email"} <= names for names in columns)
    (found,) = {(o["run_id"], o["load_id"], o["pipeline"]) for o in world.outcomes()}
    assert found[0] == found[1]
    assert found[2] == world.pipeline.pipeline_name
    assert world.table("accounts")
