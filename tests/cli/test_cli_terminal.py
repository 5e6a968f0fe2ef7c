"""What a person at a terminal sees while a command works: a moving line, with colours if wanted."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import sys
import termios
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pexpect
import pytest
from rich.console import Console

from exact_source.cli._output.database_errors import DestinationError
from exact_source.cli._output.display import Display
from exact_source.cli._output.logs import logging_to_stderr, notes
from exact_source.cli._output.start import ERASE
from exact_source.cli._output.stored_syncs import Memory
from exact_source.cli.eta import TimeLeft, in_words
from exact_source.sync.runner import sync
from tests.support.cli_fixtures import Cli
from tests.support.world import BETWEEN_SYNCS_S, MIDDAY, World

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


@pytest.mark.nightly
def test_a_sync_shows_calls_rows_the_stream_and_that_it_loads(timed: Cli) -> None:
    code, shown = watch("sync", timed.destination, "--entities=accounts,journals")

    plain = ESCAPES.sub("", shown)
    assert code == 0
    assert re.search(r"company \d of 2 · \d+ calls · \d+ rows · \w+ of \d+", plain)
    assert re.search(r"company 2 of 2 · \d+ calls · \d+ rows · loading", plain)
    assert COLOURS.search(shown)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param(
            ("check", "--all-divisions"),
            r"\d+ calls · asking Exact Online",
            marks=pytest.mark.nightly,
        ),
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


@pytest.mark.parametrize("width", [40, 80])
def test_a_note_is_wrapped_between_words(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = "a note about " + " ".join(f"company-{number}" for number in range(40))
    address = "https://start.exactonline.nl/api/oauth2/auth?client_id=" + "x" * 80
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, width))
    with os.fdopen(slave, "w") as terminal, logging_to_stderr([]):
        monkeypatch.setattr(sys, "stderr", terminal)
        notes.info("%s\n  %s", text, address)
        terminal.flush()
    with os.fdopen(master, "rb") as seen:
        *lines, whole = os.read(seen.fileno(), 9999).decode().splitlines()

    assert max(map(len, lines)) <= width
    assert " ".join(lines) == text
    assert whole.strip() == address


@pytest.mark.nightly
@pytest.mark.parametrize("command", ["sync", "plan"])
def test_no_colour_is_sent_to_a_terminal_that_wants_none(timed: Cli, command: str) -> None:
    code, shown = watch(command, timed.destination, "--entities=journals", NO_COLOR="1")

    assert code == 0
    assert COLOURS.findall(shown) == []


LINES = "--entities=transaction_lines,accounts"


@pytest.fixture
def narrow(make_cli: Callable[..., Cli]) -> Cli:
    """A company of some pages that was loaded once, and may make eight calls a minute now."""
    cli = make_cli(companies=1, large_page_size=1, minute_limit=1000)
    first = cli("sync", cli.destination, LINES, "--log-format=json")
    assert (first.code, "left_s" in first.err) == (0, False)
    cli.world.box.state.limits.minute_limit = 8
    cli.world.clock.sandbox.advance(BETWEEN_SYNCS_S)
    return cli


def waits(err: str) -> list[tuple[datetime, dict[str, Any]]]:
    """Until when each wait lasts, and the line that tells of it."""
    told = [json.loads(line) for line in err.splitlines()]
    times = [(re.search(r"waits until (\d\d:\d\d:\d\d): ", t["message"]), t) for t in told]
    day = MIDDAY.astimezone()
    return [(datetime.fromisoformat(f"{day:%F}T{t[1]}").astimezone(), o) for t, o in times if t]


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("--round-minutes=9", 0),
        pytest.param("--max-minutes=2", 3, marks=pytest.mark.nightly),
        pytest.param("--max-calls=20", 3, marks=pytest.mark.nightly),
    ],
    ids=["all is read", "minutes", "calls"],
)
def test_a_wait_tells_the_time_left_which_comes_true(narrow: Cli, option: str, code: int) -> None:
    options = ("--full-refresh", "--log-format=json", option)
    again = narrow("sync", narrow.destination, LINES, *options)
    ended_at = narrow.world.clock.now()

    assert again.code == code
    told = waits(again.err)
    assert len(told) >= 2
    for until, line in told:
        assert (line["left_days"], line["left_at_least"]) == (1, False)
        assert line["message"].endswith(f"about {-(-line['left_s'] // 60)} min left")
        # It was told within the minute before the wait ends.
        assert -62 <= ended_at - (until.timestamp() + line["left_s"]) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize("option", ["--route=auto", "--reconcile"], ids=["changes", "and keys"])
def test_the_time_left_is_by_what_changes_took_before(narrow: Cli, option: str) -> None:
    world = narrow.world
    world.box.state.limits.minute_limit = 1000
    accounts = world.keys("crm/Accounts")
    for number in range(3):
        for key in accounts:
            world.box.update("crm/Accounts", world.division, key, {"Name": f"name {number}"})
        if number < 2:
            assert world.sync("accounts").exit_code == 0
    world.box.state.limits.minute_limit = 4
    world.clock.sandbox.advance(BETWEEN_SYNCS_S)
    options = ("--entities=accounts", "--log-format=json", option)
    again = narrow("sync", narrow.destination, *options)
    ended_at = world.clock.now()

    assert again.code == 0
    told = waits(again.err)
    assert len(told) >= 2
    for until, line in told:
        assert line["left_at_least"] is False
        assert -62 <= ended_at - (until.timestamp() + line["left_s"]) <= 1


@pytest.mark.nightly
def test_the_time_left_of_later_rounds_comes_true(narrow: Cli) -> None:
    options = ("--full-refresh", "--round-minutes=1", "--log-format=json")
    again = narrow("sync", narrow.destination, LINES, *options)
    ended_at = narrow.world.clock.now()

    assert again.code == 0
    assert re.search(r"round 2 · about \d min left", again.err)
    assert "round 3" in again.err
    for until, line in waits(again.err):
        assert -62 <= ended_at - (until.timestamp() + line["left_s"]) <= 1


@pytest.mark.nightly
def test_a_sync_that_never_waits_tells_the_time_left_with_its_rounds(
    narrow: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow.world.box.state.limits.minute_limit = 1000
    monkeypatch.setattr("tests.support.world.TICK_S", 0.5)  # what each look at the clock takes
    again = narrow("sync", narrow.destination, LINES, "--full-refresh", "--round-minutes=0.5")

    assert again.code == 0
    assert "waits until" not in again.err
    assert re.search(r"round 3 · about \d min left", again.err)


@pytest.mark.nightly
def test_a_stream_that_nobody_knows_of_makes_it_at_least(narrow: Cli) -> None:
    names = f"{LINES},contacts"
    again = narrow("sync", narrow.destination, names, "--full-refresh", "--log-format=json")

    until, line = waits(again.err)[0]
    assert line["left_at_least"] is True
    assert re.search(r"at least \d+ min left$", line["message"])
    assert narrow.world.clock.now() >= until.timestamp() - 60 + line["left_s"]


@pytest.fixture
def counted(make_cli: Callable[..., Cli]) -> Cli:
    """A company of some pages that was planned, and never loaded; it may make six calls a minute."""
    cli = make_cli(companies=1, invoices=60, page_size=60, minute_limit=1000)
    assert cli("plan", cli.destination, BY_PAGES, "--route=regular").code == 0
    cli.world.box.state.limits.minute_limit = 6
    return cli


BY_PAGES = "--entities=transaction_lines,sales_invoice_lines"


@pytest.mark.parametrize(
    "rounds",
    ["--round-minutes=9", pytest.param("--round-minutes=1", marks=pytest.mark.nightly)],
    ids=["one", "some"],
)
def test_a_first_load_that_was_planned_tells_the_time_left(counted: Cli, rounds: str) -> None:
    options = ("--route=regular", "--log-format=json", rounds)
    first = counted("sync", counted.destination, BY_PAGES, *options)
    ended_at = counted.world.clock.now()

    assert first.code == 0
    told = waits(first.err)
    assert len(told) >= 2
    for until, line in told:
        assert line["left_at_least"] is False
        assert -62 <= ended_at - (until.timestamp() + line["left_s"]) <= 1


@pytest.mark.nightly
def test_a_first_load_that_was_stopped_goes_on_by_what_was_planned(counted: Cli) -> None:
    options = ("--route=regular", "--log-format=json")
    stopped = counted("sync", counted.destination, BY_PAGES, *options, "--max-calls=12")
    again = counted("sync", counted.destination, BY_PAGES, *options)
    ended_at = counted.world.clock.now()

    assert (stopped.code, again.code) == (3, 0)
    told = waits(again.err)
    assert told
    for until, line in told:
        assert -62 <= ended_at - (until.timestamp() + line["left_s"]) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("options", "text"),
    [(("--start-date=2020-01-01",), None), ((), "{"), ((), '{"rows": [[1]], "start_ms": 0}')],
    ids=["another start", "cut off", "of another version"],
)
def test_a_count_of_something_else_tells_nothing(
    counted: Cli, options: tuple[str, ...], text: str | None, tmp_path: Path
) -> None:
    (file,) = tmp_path.rglob("*.exact-counts.json")
    if text is not None:
        file.write_text(text)
    more = ("--route=regular", "--log-format=json", "--max-minutes=2", *options)
    first = counted("sync", counted.destination, BY_PAGES, *more)

    assert first.code == 3
    assert waits(first.err)
    assert "left_s" not in first.err


def test_a_terminal_shows_the_time_left(narrow: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    again = narrow("sync", narrow.destination, LINES, "--full-refresh")

    shown = ESCAPES.sub("", again.err)
    assert re.search(r"\d+ calls · \d+ rows · about \d min left · \w+ of \d+ ", shown)


def test_a_sync_goes_on_where_nobody_can_tell_what_it_took_before(world: World) -> None:
    def recall() -> Memory:
        raise DestinationError("destination duckdb: gone")

    run = world.make_run()
    terminal = Console(force_terminal=True, file=io.StringIO())
    with Display(terminal).follow(run, recall) as on_round:
        outcome = sync(world.pipeline, run, ["journals"], on_round=on_round)

    assert outcome.exit_code == 0


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (None, ""),
        (TimeLeft(0), ""),
        (TimeLeft(0.2), "about 1 min left"),
        (TimeLeft(61), "about 2 min left"),
        (TimeLeft(7_260), "about 2 h 1 min left"),
        (TimeLeft(59, at_least=True), ""),  # nothing is known of what may come
        (TimeLeft(119, at_least=True), "at least 1 min left"),
        (TimeLeft(90_000, 2), "about 2 days left"),
    ],
)
def test_the_time_left_in_words_is_rounded_to_the_honest_side(
    left: TimeLeft | None, words: str
) -> None:
    assert in_words(left) == words


def test_who_waits_is_said_where_no_terminal_shows_it(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(companies=1)
    cli.world.box.state.limits.minute_limit = 3

    result = cli("plan", cli.destination, "--entities=accounts,journals,items,contacts")

    assert result.code == 0
    assert re.search(r"waits until \d\d:\d\d:\d\d: ", result.err)


@pytest.mark.parametrize("arguments", [("status",), ("webhooks",), ("status", "--no-such-option")])
def test_a_sign_of_life_comes_first_and_is_erased(timed: Cli, arguments: tuple[str, ...]) -> None:
    del timed
    _, shown = watch(*arguments)

    first, _, rest = shown.partition(ERASE)
    assert first == "starting ..."
    assert rest.strip()
    assert "starting" not in rest


def test_help_has_no_sign_of_life() -> None:
    assert "starting" not in watch("--help")[1]


@pytest.mark.parametrize("answers", [(), ("an-id\n",)], ids=["first", "hidden"])
def test_ctrl_c_at_a_question_of_init_writes_nothing(
    tmp_path: Path, answers: tuple[str, ...]
) -> None:
    person = pexpect.spawn(
        sys.executable, ["-m", "exact_source", "init", "--region=nl"], cwd=tmp_path, timeout=120,
        env=dict(os.environ), dimensions=(24, 160), encoding="utf-8",
    )  # fmt: skip
    person.logfile_read = io.StringIO()
    for question, answer in zip(("Client id", "Client secret"), (*answers, "\x03"), strict=False):
        person.expect(f"{question}.*: ")
        person.send(answer)
    person.expect(pexpect.EOF)
    person.close()

    shown = ESCAPES.sub("", person.logfile_read.getvalue())
    assert (person.exitstatus, person.signalstatus) == (130, None)
    assert shown.rstrip().endswith("stopped")
    assert "Traceback" not in shown
    assert list(tmp_path.rglob("*.toml")) == []
