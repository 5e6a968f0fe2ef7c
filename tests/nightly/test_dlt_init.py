"""``dlt init`` copies the source out of a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.dlt_sources import make_sources

pytestmark = pytest.mark.nightly
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
