"""Help of the commands that read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.flow.cli_fixtures import Cli, cli, make_cli

__all__ = ["cli", "make_cli"]

MODULES = ("check", "divisions", "entities", "plan", "schema", "status", "options", "connect")


@pytest.mark.parametrize("name", ["check", "divisions", "entities", "plan", "schema", "status"])
def test_help_has_an_example_and_says_what_json_does(cli: Cli, name: str) -> None:
    result = cli(name, "--help")

    assert result.code == 0
    assert f"exact-source {name}" in " ".join(result.out.split())
    assert "--json" in result.out


def test_help_pays_for_no_heavy_import() -> None:
    imports = "; ".join(f"import exact_source.cli.{name}" for name in MODULES)
    heavy = "[m for m in ('dlt', 'pyarrow', 'httpx', 'duckdb', 'rich.table') if m in sys.modules]"

    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {imports}; print({heavy})"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert done.stdout.strip() == "[]"
