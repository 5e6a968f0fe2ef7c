"""Help of the commands that read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exact_source.cli.app import COMMANDS
from tests.flow.cli_fixtures import Cli, cli, make_cli

__all__ = ["cli", "make_cli"]

MODULES = ("check", "divisions", "entities", "plan", "schema", "status", "options", "connect")


@pytest.mark.parametrize("name", ["check", "divisions", "entities", "plan", "schema", "status"])
def test_help_has_an_example_and_says_what_json_does(cli: Cli, name: str) -> None:
    result = cli(name, "--help")

    assert result.code == 0
    assert f"exact-source {name}" in " ".join(result.out.split())
    assert "--json" in result.out


def test_help_never_imports_what_takes_long() -> None:
    heavy = "{'dlt', 'pyarrow', 'httpx', 'duckdb', 'rich.console', 'tomlkit'} & set(sys.modules)"
    program = f"import sys; from exact_source.cli.app import run; run(['--help']); print({heavy})"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip().splitlines()[-1] == "set()"


def test_every_command_has_an_example_that_fits_its_name() -> None:
    for command in COMMANDS:
        name = (command.__name__).replace("_", "-")
        assert f"Example: exact-source {name}" in (command.__doc__ or ""), name


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("sync --entities journals,payment_c", ["journals,payment_conditions"]),
        ("sync --region u", ["uk", "us"]),
        ("check --destination p", ["postgres", "postgresql://"]),
        ("st", ["status"]),
        ("sync --log-f", ["--log-format"]),
    ],
)
def test_shells_complete_commands_options_and_values(words: str, wanted: list[str]) -> None:
    line = f"exact-source {words}"
    environment = {
        "_EXACT_SOURCE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }

    done = subprocess.run(
        [Path(sys.executable).with_name("exact-source")],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment},
    )  # fmt: skip

    assert done.stdout.split() == wanted


def test_no_color_is_respected(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    assert "\x1b[32m" in cli("check", "--entities=journals").out

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in cli("check", "--entities=journals").out


def test_v_tells_of_each_stream_and_vv_of_each_call(cli: Cli) -> None:
    arguments = ("sync", cli.destination, "--entities=accounts,journals")
    quiet, some, all_ = (cli(*arguments, *more) for more in ([], ["-v"], ["-vv"]))

    ends = [
        f"info: {e} of {d}: complete"
        for e in ("accounts", "journals")
        for d in cli.world.box.divisions
    ]
    assert [end for end in ends if end in quiet.err] == []
    assert [end for end in ends if end in some.err] == ends
    assert "debug: journals of division" not in some.err
    assert "debug: journals of division" in all_.err
    assert ": 200 in " in all_.err


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["sync", "--entities=accounts,journals"], None, 0),
        (["sync", "--entities=acounts"], "configuration", 2),
        (["sync", "--nope"], "usage", 2),
        (["sync", "--max-calls=1", "--entities=accounts"], None, 3),
    ],
    ids=["complete", "configuration", "usage", "limit"],
)
def test_with_log_format_json_every_line_on_stderr_is_an_object(
    cli: Cli, arguments: list[str], code: str | None, exit_code: int
) -> None:
    result = cli(*arguments[:1], "--log-format=json", "-vv", *arguments[1:])

    lines = [json.loads(line) for line in result.err.splitlines()]
    assert result.code == exit_code
    assert {"at", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    assert lines[-1]["exit_code"] == exit_code
    assert lines[-1].get("code") == code


def test_help_pays_for_no_heavy_import() -> None:
    imports = "; ".join(f"import exact_source.cli.{name}" for name in MODULES)
    heavy = "[m for m in ('dlt', 'pyarrow', 'httpx', 'duckdb', 'rich.table') if m in sys.modules]"

    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {imports}; print({heavy})"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert done.stdout.strip() == "[]"
