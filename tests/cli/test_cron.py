"""Unattended runs: what overlaps, what a machine reads, who is told of a failure; docs/cron.md as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dlt
import pytest

from exact_source.errors import HeldError
from exact_source.sync.pipeline_lock import pipeline_lock
from tests.support.cli_fixtures import Cli
from tests.support.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "cron.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SERVICE, TIMER = (text for language, text in BLOCKS if language == "ini")
STREAM_KEYS = {
    "division", "entity", "feed", "status", "calls", "rows", "deleted", "cursor", "started_at",
    "ended_at", "resumes_at", "code", "error", "notes",
}  # fmt: skip


def as_process(world: World, *arguments: str, cwd: Path | None = None) -> Any:
    command = [sys.executable, "-m", "exact_source", "sync", "--entities=accounts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


# -- runs that overlap -------------------------------------------------------------------------------


@pytest.mark.nightly
def test_a_second_process_at_a_pipeline_or_a_duckdb_file_ends_at_once(
    make_cli: Callable[..., Cli],
) -> None:
    """The other processes run from beginning to end in the middle of the first one.

    That reads one entity of one company, so that no call of its own is on the way meanwhile.
    """
    cli = make_cli(companies=1)
    world = cli.world
    destination = dlt.destinations.duckdb(str(world.folder / "exact.duckdb"))
    world.pipeline = dlt.pipeline(
        "exact_online", destination=destination, dataset_name="exact_online"
    )
    run, others, calls = world.make_run(), [], []

    def meanwhile(_: object) -> None:
        run.log.on_progress = lambda _: None
        with world.watch() as made:
            others.append(as_process(world, cli.destination))
            others.append(as_process(world, cli.destination, "--json"))
            others.append(as_process(world, cli.destination, "--pipeline=another"))
            others.append(as_process(world, cli.destination, "--pipeline=third", "--dataset=third"))
        calls.extend(made.all)

    run.log.on_progress = meanwhile
    outcome = world.sync_with(run, "accounts")

    same, as_json, elsewhere, other_dataset = others
    assert [p.returncode for p in others] == [3] * 4
    assert calls == []
    assert "pipeline exact_online" in same.stderr
    assert f"process {os.getpid()} in {Path.cwd()}, since" in same.stderr
    assert same.stderr.count("\n") == 1
    assert same.stdout == ""
    assert json.loads(as_json.stdout)["error"] == same.stderr.removeprefix("error: ").strip()
    assert json.loads(as_json.stdout)["status"] == "incomplete"
    assert elsewhere.stderr.count("\n") == 1
    assert "dataset exact_online is being loaded by pipeline exact_online" in elsewhere.stderr
    assert f"process {os.getpid()} has the DuckDB file open" in other_dataset.stderr
    assert outcome.exit_code == 0
    world.assert_equal("accounts")


def test_a_killed_process_leaves_no_lock_behind(world: World) -> None:
    program = (
        "import sys, types; from exact_source.sync.pipeline_lock import pipeline_lock\n"
        "pipeline = types.SimpleNamespace(pipeline_name='p', pipelines_dir=sys.argv[1])\n"
        "with pipeline_lock(pipeline, 0.0):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    pipeline = dlt.pipeline("p", pipelines_dir=str(world.folder))
    with subprocess.Popen(
        [sys.executable, "-c", program, str(world.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(HeldError, match="another sync of the pipeline p"),
            pipeline_lock(pipeline, 0),
        ):
            pass
        other.kill()
    with pipeline_lock(pipeline, 0):
        pass


# -- what a machine reads ----------------------------------------------------------------------------


def test_the_result_has_what_the_page_names_however_it_ended(cli: Cli) -> None:
    good = cli("sync", cli.destination, "--entities=accounts", "--json")
    cli.world.sql("ALTER TABLE exact_online.accounts RENAME TO away")
    cli.world.sql("CREATE TABLE exact_online.accounts AS SELECT id FROM exact_online.away")
    cli.world.box.touch("crm/Accounts", cli.world.division)
    bad = cli("sync", cli.destination, "--entities=accounts", "--json")

    for result, code, status in ((good, 0, "complete"), (bad, 1, "failed")):
        document = result.json
        assert result.out.count("\n") == 1
        assert (result.code, document["exit_code"], document["status"]) == (code, code, status)
        assert all(f"`{key}`" in PAGE for key in document)
        for stream in document["streams"]:
            assert set(stream) == STREAM_KEYS
            assert stream["ended_at"] >= stream["started_at"] > 0
    assert {s["entity"] for s in good.json["streams"]} == {"accounts"}
    assert all(f"`{key}`" in PAGE for key in STREAM_KEYS)
    assert good.json["seconds"] > 0
    assert (bad.json["streams"], bool(bad.json["error"])) == ([], True)


# -- who is told -------------------------------------------------------------------------------------


@contextmanager
def slack(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """The address of a hook with a secret in it, and the messages that it was sent."""
    heard: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append(json.loads(body)["text"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/services/T000/secret-hook", heard
        finally:
            server.shutdown()
            thread.join()


def test_slack_gets_failures_only(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.known.add("secret-hook")
    box, both = cli.world.box, "--entities=accounts,journals"
    with slack() as (hook, heard):
        monkeypatch.setenv("RUNTIME__SLACK_INCOMING_HOOK", hook)
        box.deny(box.divisions[0], "financial/Journals", "403")
        refused = cli("sync", cli.destination, both)
        waiting = cli("sync", cli.destination, both, "--max-calls=2")
        assert heard == []
        box.allow(box.divisions[0])
        box.fault("html", path="financial/Journals", division=box.divisions[1], times=99)
        partly = cli("sync", cli.destination, both)
        (cli.world.folder / "tokens.json").unlink()
        failed = cli("sync", cli.destination, both, "--json")

    assert [r.code for r in (refused, waiting, partly, failed)] == [0, 3, 3, 1]
    assert [text.splitlines()[0] for text in heard] == [
        "exact-source sync of exact_online: 1 stream failed; the others are loaded",
        "exact-source sync of exact_online failed",
    ]
    assert f"journals of division {box.divisions[1]}" in heard[0]
    assert "exact-source login" in heard[1]
    assert not [secret for secret in cli.secrets() for text in heard if secret in text]


def test_failures_before_the_first_call_are_reported_too(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.known.add("secret-hook")
    notices = "postgresql://nobody@127.0.0.1:1/notices"
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__NOTICES_URL", notices)
    with slack() as (hook, heard):
        monkeypatch.setenv("RUNTIME__SLACK_INCOMING_HOOK", hook)
        unreachable = cli("sync", cli.destination, "--changed", "--json")
        monkeypatch.delenv("SOURCES__EXACT_ONLINE__CLIENT_SECRET")
        unset = cli("sync", cli.destination, "--json")
        for_people = cli("sync", cli.destination)

    found = [(r.code, r.json["status"], r.json["exit_code"]) for r in (unreachable, unset)]
    assert found == [(1, "failed", 1), (2, "configuration", 2)]
    assert "exact_notices" in unreachable.json["error"]
    assert "client_secret is not set" in unset.json["error"]
    assert (for_people.code, for_people.out) == (2, "")
    assert for_people.err.count("\n") == 1
    assert [text.splitlines()[0] for text in heard] == [
        "exact-source sync of exact_online failed"
    ] * 3
    assert cli.world.box.requests == []


@pytest.mark.parametrize("kind", ["500", "gone"])
def test_an_alert_that_cannot_be_sent_changes_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    cli.known.add("secret-hook")
    (cli.world.folder / "tokens.json").unlink()
    with slack(500) as (hook, _):
        monkeypatch.setenv(
            "RUNTIME__SLACK_INCOMING_HOOK",
            hook if kind == "500" else "http://127.0.0.1:1/secret-hook",
        )
        result = cli("sync", cli.destination, "--json")

    assert (result.code, result.json["status"]) == (1, "failed")
    assert "the alert could not be sent" in result.err


# -- the page ----------------------------------------------------------------------------------------


@pytest.fixture
def books(cli: Cli, tmp_path: Path) -> Path:
    """A folder as on the page, and a sandbox that goes by the computer's clock."""
    world, folder = cli.world, tmp_path / "books"
    (folder / ".venv" / "bin").mkdir(parents=True)
    command = Path(sys.executable).with_name("exact-source")
    (folder / ".venv" / "bin" / "exact-source").symlink_to(command)
    world.box.state.limits.minute_limit = 1000
    world.box.clock.set(time.time())
    world.box.clock.run()
    world.login()
    return folder


def local(text: str, folder: Path) -> str:
    """A line of the page with this folder and a DuckDB file in it; the rest as it is."""
    database = f"duckdb:{folder / 'exact.duckdb'} --entities accounts"
    return text.replace("--destination postgres", f"--destination {database}").replace(
        "/srv/books", str(folder)
    )


def unit(text: str) -> ConfigParser:
    """Its sections; a key that is there twice is an error, as none of these can be."""
    parsed = ConfigParser(interpolation=None, strict=True)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(text)
    return parsed


@pytest.mark.nightly
def test_the_crontab_line_and_the_units_command_do_their_work(cli: Cli, books: Path) -> None:
    """The day's calls end amid the first run, which is no failure and no mail; the second goes on."""
    (line,) = (text for _, text in BLOCKS if re.match(r"[\d*/]+( [\d*/]+){4}  ", text))
    command = line.strip().split("  ", 1)[1]
    cli.world.box.state.limits.daily_limit = 3
    bare = {
        k: v
        for k, v in os.environ.items()
        if k.startswith(("SOURCES__", "DLT_", "RUNTIME__", "HOME"))
    }
    done = subprocess.run(
        local(command, books), shell=True, env={"PATH": "/usr/bin:/bin", **bare}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    cli.world.box.state.limits.daily_limit = 5000
    service = unit(SERVICE)["Service"]
    start = service["ExecStart"]
    again = subprocess.run(
        local(start, books).split(), cwd=books, check=False, capture_output=True, text=True
    )

    first, second = json.loads((books / "sync.log").read_text()), json.loads(again.stdout)
    assert (done.returncode, first["status"]) == (3, "incomplete")
    assert first["resumes_at"] > time.time()
    assert done.stderr == ""  # which cron would mail
    assert service["SuccessExitStatus"].split() == [str(done.returncode)]
    assert (again.returncode, second["status"]) == (0, "complete")
    truth = sum(len(cli.world.box.rows("crm/Accounts", d)) for d in cli.world.box.divisions)
    assert 0 < first["rows"] < truth == first["rows"] + second["rows"]


# For where there is no systemd to ask: the keys as systemd.unit, .service, .timer and .exec name them.
KEYS = {
    "Unit": {"Description", "Wants", "After"},
    "Service": {
        "Type", "User", "WorkingDirectory", "ExecStart", "SuccessExitStatus", "TimeoutStopSec",
        "NoNewPrivileges", "PrivateTmp",
    },
    "Timer": {"OnCalendar", "Persistent"},
    "Install": {"WantedBy"},
}  # fmt: skip


def test_each_line_of_the_page_is_of_a_form_that_cron_or_systemd_knows() -> None:
    lines = {
        (section, key): value
        for parsed in map(unit, (SERVICE, TIMER))
        for section in parsed.sections()
        for key, value in parsed[section].items()
    }
    assert set(lines) <= {(section, key) for section, keys in KEYS.items() for key in keys}
    assert lines["Service", "Type"] == "oneshot"  # a run that ends; the timer begins the next
    assert lines["Install", "WantedBy"] == "timers.target"
    found = re.fullmatch(r"\*-\*-\* \*:(\d\d):00", lines["Timer", "OnCalendar"])
    minute, *others = next(text for language, text in BLOCKS if not language).split()[:5]
    assert found is not None
    assert (found.group(1), others) == (minute, ["*"] * 4)
    folder = lines["Service", "WorkingDirectory"]
    assert lines["Service", "ExecStart"].startswith(f"{folder}/.venv/bin/exact-source sync ")
    names = re.findall(r"`/etc/systemd/system/([\w.-]+)`", PAGE)
    assert names == ["exact-source.service", "exact-source.timer"]
    assert "`systemctl enable --now exact-source.timer`" in PAGE
    assert "`journalctl -u exact-source -o cat`" in PAGE


def test_systemd_accepts_the_units(books: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze (Debian: systemd)")
    units = {"exact-source.service": SERVICE, "exact-source.timer": TIMER}
    for name, text in units.items():
        (tmp_path / name).write_text(local(text, books))
    command = [analyze, "verify", "--man=no", *(str(tmp_path / name) for name in units)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (calendar,) = re.findall(r"^OnCalendar=(.*)$", TIMER, re.MULTILINE)
    hourly = subprocess.run([analyze, "calendar", calendar], capture_output=True, check=False)

    complaints = [line for line in done.stderr.splitlines() if "exact-source" in line]
    assert (done.returncode, complaints) == (0, [])
    assert hourly.returncode == 0
