"""What a person at a terminal sees while a command works: a moving line, with colours if wanted."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.flow.cli_fixtures import Cli, make_cli

__all__ = ["make_cli"]

# What a spinner writes: colours, and moves of the cursor.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOURS = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


@pytest.fixture
def timed(make_cli: Callable[..., Cli]) -> Cli:
    """Two companies that live by the computer's own clock."""
    cli = make_cli()
    cli.world.box.clock.set(time.time())
    cli.world.box.clock.run()
    cli.world.login()
    return cli


def watch(*arguments: str, **environment: str) -> tuple[int | None, str]:
    """The exit code, and all that a terminal of 160 columns was sent."""
    person = pexpect.spawn(
        sys.executable, ["-m", "exact_source", *arguments], cwd=Path.cwd(), timeout=120,
        env={k: v for k, v in os.environ.items() if k != "NO_COLOR"} | environment,
        dimensions=(24, 160), encoding="utf-8",
    )  # fmt: skip
    person.logfile_read = io.StringIO()
    person.expect(pexpect.EOF)
    person.close()
    return person.exitstatus, person.logfile_read.getvalue()


def test_a_sync_shows_calls_rows_the_stream_and_that_it_loads(timed: Cli) -> None:
    code, shown = watch("sync", timed.destination, "--entities=accounts,journals")

    plain = ESCAPES.sub("", shown)
    assert code == 0
    assert re.search(
        r"round 1 · \d+ calls · \d+ rows · \w+ of \d+ · [\d,]+ calls left today", plain
    )
    assert re.search(r"round 1 · \d+ calls · \d+ rows · loading", plain)
    assert COLOURS.search(shown)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("check", "--all-divisions"), r"\d+ calls · asking Exact Online"),
        (("plan",), r"\d+ calls · (asking Exact Online|counted \d+ of 4 streams)"),
    ],
    ids=["check", "plan"],
)
def test_a_command_that_asks_shows_how_far_it_is(
    timed: Cli, command: tuple[str, ...], words: str
) -> None:
    code, shown = watch(*command, timed.destination, "--entities=accounts,journals")

    assert code == 0
    assert re.search(words, ESCAPES.sub("", shown))


@pytest.mark.parametrize("command", ["sync", "plan"])
def test_no_colour_is_sent_to_a_terminal_that_wants_none(timed: Cli, command: str) -> None:
    code, shown = watch(command, timed.destination, "--entities=journals", NO_COLOR="1")

    assert code == 0
    assert COLOURS.findall(shown) == []


def test_who_waits_is_said_where_no_terminal_shows_it(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(companies=1)
    cli.world.box.state.limits.minute_limit = 3

    result = cli("plan", cli.destination, "--entities=accounts,journals,items,contacts")

    assert result.code == 0
    assert re.search(r"waits until \d\d:\d\d:\d\d UTC: ", result.err)
