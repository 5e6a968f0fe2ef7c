"""Tells when the upper bounds of pyproject.toml can go; they are there because of dlt 1.31."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import dlt
import pytest

PROVEN = "1.31"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
# Package -> the bound, the file of dlt that needs it, and what in that file does.
BOUNDS = {
    "duckdb": ("<2", "destinations/impl/duckdb/sql_client.py", "fetch_arrow_table"),
    "sqlglot": ("<30.22", "dataset/lineage.py", "infer_schema="),
}


def requirement(package: str) -> str:
    dependencies: list[str] = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    return next(text for text in dependencies if re.match(rf"{package}\b", text))


@pytest.mark.parametrize("package", BOUNDS)
def test_the_bound_is_there_as_long_as_dlt_needs_it(package: str) -> None:
    bound, file, reason = BOUNDS[package]
    path = Path(dlt.__file__).parent / file
    needed = path.exists() and reason in path.read_text()
    bounded = bound in requirement(package)

    assert needed or not bounded, (
        f"dlt {version('dlt')} has no {reason} in {file} any more. Try it: take {bound} off {package} "
        "in pyproject.toml, install the newest of it, and run all tests; if they pass, drop the bound "
        "and its line in this test."
    )
    assert bounded or not needed, f"dlt {version('dlt')} still needs {package}{bound}: {reason}"


def test_the_bounds_are_looked_at_again_with_each_dlt() -> None:
    assert version("dlt").startswith(f"{PROVEN}."), (
        f"The bounds of duckdb and sqlglot were proven with dlt {PROVEN}; {version('dlt')} is "
        "installed. Try it: take both bounds off in pyproject.toml, install the newest of everything "
        "and run all tests. What passes may go; then set PROVEN in this test to the new version."
    )
