"""Tells when bounds of pyproject.toml can go; they are there because of what others do."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable
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


def dependencies() -> list[str]:
    return list(tomllib.loads(PROJECT.read_text())["project"]["dependencies"])


def requirement(package: str) -> str:
    return next(text for text in dependencies() if re.match(rf"{package}\b", text))


@pytest.mark.parametrize("package", BOUNDS)
def test_the_bound_is_there_as_long_as_dlt_needs_it(package: str) -> None:
    bound, file, reason = BOUNDS[package]
    path = Path(dlt.__file__).parent / file
    needed = path.exists() and reason in path.read_text()
    bounded = bound in requirement(package)

    assert bounded or not needed, f"dlt {version('dlt')} still needs {package}{bound}: {reason}"
    if bounded and not needed:
        pytest.skip(may_go(package))


def test_the_bounds_are_looked_at_again_with_each_dlt() -> None:
    """A newer dlt comes by itself; it is told of and breaks nothing."""
    if not version("dlt").startswith(f"{PROVEN}."):
        pytest.skip(look_again(version("dlt")))


@pytest.mark.xdist_group("kept together")
def test_tests_of_a_group_are_kept_together(request: pytest.FixtureRequest) -> None:
    """Or each worker makes the same environments, emulators and books for itself, silently."""
    if os.environ.get("PYTEST_XDIST_WORKER") is None:
        pytest.skip("there are no workers to be kept together in")
    assert request.node.nodeid.endswith("@kept together")


def may_go(package: str) -> str:
    bound, file, reason = BOUNDS[package]
    return (
        f"dlt {version('dlt')} has no {reason} in {file} any more. Try it: take {bound} off {package} "
        "in pyproject.toml, install the newest of it, and run all tests; if they pass, drop the bound "
        "and its line in this test."
    )


def look_again(installed: str) -> str:
    return (
        f"The bounds of duckdb and sqlglot were proven with dlt {PROVEN}; {installed} is "
        "installed. Try it: take both bounds off in pyproject.toml, install the newest of everything "
        "and run all tests. What passes may go; then set PROVEN in this test to the new version."
    )


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (test_the_bounds_are_looked_at_again_with_each_dlt, "proven with dlt 0.0"),
        (lambda: test_the_bound_is_there_as_long_as_dlt_needs_it("duckdb"), "take <2 off duckdb"),
    ],
)
def test_a_newer_dlt_is_reported_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], None], why: str
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PROVEN", "0.0")
    monkeypatch.setitem(BOUNDS, "duckdb", ("<2", "version.py", "no dlt has this"))
    with pytest.raises(pytest.skip.Exception, match=why):
        told()


def test_a_bound_that_is_needed_and_missing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BOUNDS, "duckdb", ("<1.0", "version.py", "import"))
    with pytest.raises(AssertionError, match="still needs duckdb<1"):
        test_the_bound_is_there_as_long_as_dlt_needs_it("duckdb")
