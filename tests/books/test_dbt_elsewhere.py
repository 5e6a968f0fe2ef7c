"""The dbt package is installed from git, documents itself, and is read by SQLMesh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.awkward import AS_OF, awkward_books, built, differences
from tests.support.books import MARTS, PACKAGE, ROOT, Dbt
from tests.support.environments import environment

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(2400),
    pytest.mark.xdist_group("awkward on duckdb"),
]
SUPPORT = ROOT / "tests" / "support"
PROJECT = {
    "packages.yml": "packages:\n  - git: {url}\n    subdirectory: pipelines/dbt\n    revision: main\n",
    "dbt_project.yml": "name: own\nversion: 1.0.0\nprofile: own\nmodel-paths: [models]\n",
    "profiles.yml": "own: {{target: dev, outputs: {{dev: {{type: duckdb, path: own.duckdb}}}}}}\n",
}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_it_is_installed_from_a_subdirectory_of_a_git_repository(dbt: Dbt, tmp_path: Path) -> None:
    repository, project = tmp_path / "repository", tmp_path / "project"
    ignore = shutil.ignore_patterns("target", "logs")
    shutil.copytree(PACKAGE, repository / "pipelines" / "dbt", ignore=ignore)
    git(repository, "init", "--quiet", "--initial-branch", "main")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "x")
    (project / "models").mkdir(parents=True)
    for name, text in PROJECT.items():
        (project / name).write_text(text.format(url=repository.as_uri()))
    dbt.own(project, "deps")
    dbt.own(project, "parse")
    manifest = json.loads((project / "target" / "manifest.json").read_text())
    models = {n["name"] for n in manifest["nodes"].values() if n["resource_type"] == "model"}
    assert models == {path.stem for path in (PACKAGE / "models").rglob("*.sql")}


def test_its_pages_know_every_table_and_what_is_built_on_them(dbt: Dbt, tmp_path: Path) -> None:
    books = awkward_books("duckdb").copy(tmp_path)
    assert dbt(books, "duckdb", "run", exact_as_of=AS_OF).code == 0
    made = dbt(books, "duckdb", "docs", "generate", exact_as_of=AS_OF)
    assert made.code == 0, made.output
    pages = tmp_path / "dbt_duckdb"
    catalogue = json.loads((pages / "catalog.json").read_text())
    manifest = json.loads((pages / "manifest.json").read_text())
    models = {key for key, n in manifest["nodes"].items() if n["resource_type"] == "model"}
    assert catalogue["nodes"].keys() == models
    (exposure,) = manifest["exposures"].values()
    assert "model.exact_online.exact_online__balance_sheet" in exposure["depends_on"]["nodes"]


def test_sqlmesh_builds_the_same_figures(tmp_path: Path) -> None:
    python = environment("sqlmesh", SUPPORT / "sqlmesh_requirements.txt")
    books = awkward_books("duckdb").copy(tmp_path)
    project = tmp_path / "dbt"
    shutil.copytree(PACKAGE, project, ignore=shutil.ignore_patterns("target", "logs"))
    settings = (project / "dbt_project.yml").read_text()
    assert settings.count('exact_as_of: ""') == 1
    (project / "dbt_project.yml").write_text(
        settings.replace('exact_as_of: ""', f'exact_as_of: "{AS_OF}"')
    )
    done = subprocess.run(
        [str(python), str(SUPPORT / "sqlmesh_driver.py"), str(project)],
        env=os.environ | {"EXACT_DUCKDB": str(tmp_path / "exact.duckdb"), "EXACT_MARTS": MARTS},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    assert not list(differences(built(books, "duckdb"), books.box.divisions))
