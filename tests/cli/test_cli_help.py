"""Help of the commands that read."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from exact_source.cli._output.help import OWN, PANELS
from exact_source.cli._output.logs import logging_to_stderr
from exact_source.cli._output.options import CONNECTION, LIMITS, OUTPUT, ROWS, TARGET, WHAT
from exact_source.cli.app import COMMANDS, app
from tests.support.cli_fixtures import Cli

MODULES = (
    "check",
    "divisions",
    "entities",
    "init",
    "plan",
    "schema",
    "status",
    "_output.options",
    "connect",
)


@pytest.mark.parametrize("name", ["check", "divisions", "entities", "plan", "schema", "status"])
def test_help_has_an_example_and_says_what_json_does(cli: Cli, name: str) -> None:
    result = cli(name, "--help")

    assert result.code == 0
    assert f"exact-source {name}" in " ".join(result.out.split())
    assert "--json" in result.out


def test_help_never_imports_what_takes_long() -> None:
    heavy = "{'dlt', 'pyarrow', 'httpx', 'duckdb', 'rich.console', 'tomlkit', 'asyncio'} & set(sys.modules)"
    program = f"import sys; from exact_source.cli.app import run; run(['--help']); print({heavy})"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip().splitlines()[-1] == "set()"


def all_commands(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    """Every command, by its name as one types it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, *above, name)
        else:
            yield " ".join((*above, name)), command


def test_every_command_speaks_json() -> None:
    commands = dict(all_commands(typer.main.get_command(app)))
    mute = [n for n, c in commands.items() if "--json" not in {o for p in c.params for o in p.opts}]

    assert {"demo", "login", "sync", "sandbox", "webhooks serve", "webhooks list"} <= set(commands)
    assert mute == []


def test_no_help_shows_a_type_of_python() -> None:
    for name, command in all_commands(typer.main.get_command(app)):
        text = command.get_help(typer.Context(command, info_name=name))
        assert not re.search(r"<\w+( \w+)?>|list\[", text), name


def test_the_default_entities_of_status_are_those_that_were_loaded(cli: Cli) -> None:
    cli.world.sync("units")
    streams = cli("status", cli.destination, "--json").json["streams"]

    assert {s["entity"] for s in streams} == {"units"}
    assert "core set" not in " ".join(cli("status", "--help").out.split())


def test_the_list_of_commands_shows_each_summary_whole_and_the_first_steps(cli: Cli) -> None:
    shown = cli("--help").out
    words = " ".join(shown.split())

    assert "..." not in shown.partition("Commands:")[2]
    assert max(map(len, shown.splitlines())) <= 80
    for command in COMMANDS:
        sentence = " ".join((command.__doc__ or "").split()).partition(". ")[0]
        assert f"{command.__name__} {sentence}" in words
    assert "exact-source demo, then exact-source init and exact-source sync" in words


def test_the_options_of_a_command_are_in_groups(cli: Cli) -> None:
    shown = cli("sync", "--help").out
    heads = re.findall(r"^([A-Z][\w ]+):$", shown, re.MULTILINE)

    assert heads == [name for name in PANELS if name in heads]
    assert {WHAT, ROWS, LIMITS, CONNECTION, TARGET, OUTPUT} <= set(heads)
    assert OWN not in heads
    _, _, rows = shown.partition(f"{ROWS}:")
    assert "--deletes" in rows.partition(f"{LIMITS}:")[0]


def test_a_command_that_does_not_exist_is_one_sentence(cli: Cli) -> None:
    for name in ("alert", "synk"):
        result = cli(name)

        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        assert name in line
        assert not re.search(r"[.?];|\.\.", line)


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
        (["sync", "--max-calls=3", "--entities=accounts"], "limit", 3),
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


@pytest.mark.parametrize("group", [[], ["webhooks"]], ids=["exact-source", "webhooks"])
def test_without_a_command_the_help_is_shown(cli: Cli, group: list[str]) -> None:
    result = cli(*group)

    assert (result.code, result.out) == (2, "")
    assert result.err == cli(*group, "--help").out
    assert len(result.err.splitlines()) > 8


@pytest.mark.nightly
def test_what_other_libraries_say_is_said_in_the_form_asked_for_and_once(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "WARNING")
    arguments = ("status", cli.destination, "--dataset=Books")

    lines = run_process(*arguments, "--log-format=json").stderr.splitlines()
    plain = run_process(*arguments).stderr.splitlines()

    said = [json.loads(line) for line in lines]
    assert {(line["logger"], line["level"]) for line in said} == {("dlt", "warning")}
    assert len({line["message"] for line in said}) == len(said)
    assert plain == [f"warning: {' '.join(line['message'].split())}" for line in said]


def test_another_destination_than_the_last_time_is_no_warning(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("sync", cli.destination, "--entities=journals").code == 0
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "WARNING")

    said = run_process("status", "--destination=postgresql://u@127.0.0.1:1/books").stderr

    assert [line.split(": ")[0] for line in said.splitlines()] == ["error"], said


def run_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "exact_source", *arguments],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_no_is_no_interruption(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))

    result = cli("logout")

    assert result.code == 1
    assert "stopped" not in result.err
    assert cli("tokens").code == 0


def test_with_log_format_json_a_login_asks_in_objects(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("no-code\n"))

    result = cli("login", "--log-format=json", "--no-browser", "--no-listen")

    lines = [json.loads(line) for line in result.err.splitlines()]
    assert result.code == 1
    assert "/api/oauth2/auth?" in lines[0]["message"]
    assert lines[-1]["code"] == "login"


def test_what_a_stream_ended_with_is_said_once_and_named_for_machines(cli: Cli) -> None:
    box = cli.world.box
    box.deny(cli.world.division, "sync/CRM/Accounts", "LicenseExpired")
    arguments = ("sync", cli.destination, "--entities=accounts,journals")

    plain = cli(*arguments).err.splitlines()
    lines = [json.loads(line) for line in cli(*arguments, "--log-format=json").err.splitlines()]
    result = cli(*arguments, "--json")

    about = [line for line in plain if "Exact Online answered 403" in line]
    assert [line.startswith("error: accounts of ") for line in about] == [True]
    assert "run again to go on" not in plain[-1]
    told = next(line for line in lines if line["level"] == "error")
    assert {k: told[k] for k in ("code", "entity", "division", "permanent")} == {
        "code": "refused", "entity": "accounts", "division": cli.world.division, "permanent": True,
    }  # fmt: skip
    assert (lines[-1]["code"], lines[-1]["exit_code"]) == ("refused", 3)
    codes = {s["entity"]: s["code"] for s in result.json["streams"] if s["code"]}
    assert (result.json["code"], codes) == ("refused", {"accounts": "refused"})
    assert len(result.err.splitlines()) == 1


def test_what_is_torn_down_behind_an_error_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr([]):
        logging.getLogger("asyncio").error("an error occurred during closing of a generator")
        logging.getLogger("elsewhere").error("the disk\nis full")

    assert capsys.readouterr().err == "error: the disk is full\n"
