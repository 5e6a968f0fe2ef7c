"""``dlt init`` copies the source out of a checkout, and the copy loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.support.pipelines import COUNT, truth
from tests.support.world import World
from tools.dlt_sources import make_sources

pytestmark = pytest.mark.nightly
ROOT = Path(__file__).parents[2]
LOAD = "import sys; sys.modules['exact_source'] = None; from exact_online_pipeline import load"


def run(folder: Path, *command: str | Path) -> str:
    environment = os.environ | {"DLT_PROJECT_DIR": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_is_made_from_a_checkout(tmp_path: Path) -> None:
    checkout, project = tmp_path / "checkout", tmp_path / "mine"
    checkout.mkdir()
    project.mkdir()
    git = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com")
    run(checkout, *git, "init", "--quiet", ".")
    run(checkout, *git, "commit", "--quiet", "--allow-empty", "--message=Start")
    make_sources(checkout / "sources")

    dlt = Path(sys.executable).with_name("dlt")
    words = ("--non-interactive", "init", "exact_online", "postgres", "--location", str(checkout))
    run(project, dlt, *words)

    script = (project / "exact_online_pipeline.py").read_text()
    assert "postgres" in script
    assert "duckdb" not in script
    assert "dlt" in (project / "requirements.txt").read_text()
    run(project, sys.executable, "-c", LOAD)


def test_a_project_from_this_checkout_loads(settings: World, tmp_path: Path) -> None:
    checkout, project = tmp_path / "clone", tmp_path / "mine"
    project.mkdir()
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    run(tmp_path, "git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", checkout)
    run(checkout, sys.executable, "-m", "tools.dlt_sources")

    dlt = Path(sys.executable).with_name("dlt")
    words = ("--non-interactive", "init", "exact_online", "duckdb", "--location", str(checkout))
    run(project, dlt, *words)
    run(project, sys.executable, "-c", f"{LOAD}; sys.exit(load())")

    with duckdb.connect(str(project / "exact.duckdb"), read_only=True) as books:
        assert dict(books.execute(COUNT).fetchall()) == truth(settings)
