"""Builds the models of a dbt project with SQLMesh in a separate environment.

The tests of the project are removed: SQLMesh names files after their arguments, and a file name of a
test with many columns would be too long.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from sqlmesh import Context

CONFIG = """
from pathlib import Path
from sqlmesh.core.config import ModelDefaultsConfig
from sqlmesh.dbt.loader import sqlmesh_config
defaults = ModelDefaultsConfig(dialect="duckdb", start="2020-01-01")
config = sqlmesh_config(Path(__file__).parent, model_defaults=defaults)
"""


def without_tests(file: Path) -> None:
    """Remove the tests from a properties file."""
    properties = yaml.safe_load(file.read_text("utf-8"))
    properties.pop("unit_tests", None)
    for model in properties.get("models", ()):
        for part in (model, *model.get("columns", ())):
            part.pop("data_tests", None)
    file.write_text(yaml.safe_dump(properties), "utf-8")


def main(project: Path) -> None:
    """Build all models."""
    for file in (project / "models").rglob("*.yml"):
        without_tests(file)
    (project / "config.py").write_text(CONFIG, "utf-8")
    context = Context(paths=[str(project)])
    context.plan(auto_apply=True, no_prompts=True, skip_tests=True)
    print(f"{len(context.models)} models")  # noqa: T201


main(Path(sys.argv[1]))
