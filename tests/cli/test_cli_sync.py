"""``exact-source sync`` and ``demo`` as a person or a script runs them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pexpect
import psycopg2
import pytest

from exact_source.cli.app import run
from exact_source.sync.runner import read_in_rounds
from tests.support.cli_fixtures import Cli

CORE = "--entities=accounts,journals,transaction_lines"
LINES = "--entities=transaction_lines"
WRONG = [
    (["--divisions="], "divisions must be codes"),
    (["--divisions=999999999"], "999999999 cannot be seen"),
    (["--entities=acounts"], "did you mean accounts"),
    (["--entities=,,"], "',,' is unknown"),
    (["--route=fast"], "route 'fast' is unknown"),
    (["--route=journals=sync"], "journals has no sync feed"),
    (["--deletes=maybe"], "hard, soft or ignore"),
    (["--start-date=soon"], "start_date must be a date"),
    (["--start-date=2026-03-12"], "start_date 2026-03-12 is in the future"),
    (["--max-calls=x"], "'--max-calls': it must be a whole number"),
    (["--max-calls=0"], "'--max-calls': the least is 1"),
    (["--max-minutes=0"], "'--max-minutes': the least is 0.01"),
    (["--round-minutes=x"], "'--round-minutes': it must be a number"),
    (["--destination=oracle"], "--destination 'oracle'"),
    (["--region=mars"], "sources.exact_online.region is 'mars'; use one of nl be"),
    (["--region=be"], "region be is https://start.exactonline.be, but base_url says"),
    (["--base-url=ftp://x"], "sources.exact_online.base_url must be an https origin"),
    (["--base-url=http://example.com"], "https origin"),
    (["--base-url=https://jan:hush@start.exactonline.nl"], "https origin"),
    (["--dataset="], "--dataset is ''; use letters, digits and _ only"),
    (["--dataset=exact online"], "--dataset is 'exact online'; use letters"),
    (["--nope"], "No such option"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=[a[-1] for a, _ in WRONG])
def test_a_wrong_setting_gets_one_line_and_nothing_is_written(
    cli: Cli, arguments: list[str], text: str
) -> None:
    destination = [] if any("destination" in a for a in arguments) else [cli.destination]

    result = cli("sync", *destination, CORE, *arguments)

    assert (result.code, result.out) == (2, "")
    assert len(result.err.strip().splitlines()) == 1
    assert text in result.err
    assert not Path(cli.destination.partition("duckdb:")[2]).exists() or not tables(cli)


def test_empty_names_of_entities_are_ignored(cli: Cli) -> None:
    result = cli("sync", cli.destination, "--entities=journals,,", "--json")

    assert result.code == 0
    assert {stream["entity"] for stream in result.json["streams"]} == {"journals"}


def test_a_first_and_a_second_sync_end_with_zero_and_say_what_they_did(cli: Cli) -> None:
    first = cli("sync", cli.destination, CORE, "--json")
    second = cli("sync", cli.destination, CORE, "--json")

    assert (first.code, second.code) == (0, 0)
    assert {s["status"] for s in first.json["streams"]} == {"complete"}
    assert first.json["rows"] == sum(
        count(cli, t) for t in ("accounts", "journals", "transaction_lines")
    )
    assert second.json["rows"] == 0


def test_it_says_where_the_tables_are(cli: Cli) -> None:
    result = cli("sync", cli.destination, "--entities=journals")

    place, closing = result.err.splitlines()[-2:]
    assert place == f"the tables are in {cli.world.folder / 'exact.duckdb'}, schema exact_online"
    assert closing.startswith("complete: ")


def test_when_the_calls_are_used_up_it_stops_with_three_and_goes_on(cli: Cli) -> None:
    stopped = cli("sync", cli.destination, CORE, "--json", "--max-calls=4")
    again = cli("sync", cli.destination, CORE, "--json")

    assert (stopped.code, again.code) == (3, 0)
    assert "waiting" in {s["status"] for s in stopped.json["streams"]}
    assert stopped.json["calls"] == 4
    for division in cli.world.box.divisions:
        truth = cli.world.box.rows("financialtransaction/TransactionLines", division)
        assert count(cli, "transaction_lines", division) == len(truth)


def test_when_its_minutes_are_over_it_stops_with_three_and_goes_on(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(companies=1, minute_limit=2, large_page_size=1)
    world = cli.world
    began = world.clock.now()
    stopped = cli("sync", cli.destination, LINES, "--max-minutes=2")

    assert stopped.code == 3
    assert stopped.err.splitlines()[-1].startswith("stopped by the time limit: ")
    assert 120 <= world.clock.now() - began < 120 + 62
    loaded = count(cli, "transaction_lines", world.division)
    assert 0 < loaded < len(world.box.rows("financialtransaction/TransactionLines", world.division))
    world.box.state.limits.minute_limit = 60
    assert cli("sync", cli.destination, LINES).code == 0
    world.assert_equal("transaction_lines")


def test_a_stream_without_rights_is_no_failure_and_the_others_are_loaded(cli: Cli) -> None:
    division = cli.world.box.divisions[0]
    cli.world.box.deny(division, "financial/Journals", "403")

    result = cli("sync", cli.destination, CORE, "--json")

    assert result.code == 0
    bad = [s for s in result.json["streams"] if s["status"] != "complete"]
    assert [(s["division"], s["entity"], s["status"]) for s in bad] == [
        (division, "journals", "refused")
    ]
    assert count(cli, "accounts", division) > 0


def test_what_the_database_says_while_rows_are_read_is_what_is_said(cli: Cli) -> None:
    with duckdb.connect(str(cli.world.folder / "exact.duckdb")) as database:
        database.execute("CREATE SCHEMA exact_online")
        database.execute("CREATE VIEW exact_online.accounts AS SELECT 1 AS id")
    result = cli("sync", cli.destination, "--entities=accounts")

    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith("error: dataset exact_online: the sync failed: Binder Error: ")
    assert '"division"' in line


@pytest.mark.parametrize("has_dataset", [False, True], ids=["no dataset", "a dataset"])
def test_a_user_of_postgres_who_may_create_nothing_learns_so_before_the_first_call(
    cli: Cli, postgres: str, has_dataset: bool
) -> None:
    name = f"role_{uuid.uuid4().hex[:12]}"
    address = postgres.rpartition("@")[2]
    with closing(psycopg2.connect(postgres)) as admin, admin.cursor() as cursor:
        admin.autocommit = True
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
        if has_dataset:
            cursor.execute("CREATE SCHEMA exact_online")
            cursor.execute(f"GRANT USAGE ON SCHEMA exact_online TO {name}")
        try:
            url = f"--destination=postgresql://{name}:right@{address}"
            refused = cli("sync", url, "--entities=journals")
            asked = list(cli.world.box.requests)
            if has_dataset:
                cursor.execute(f"GRANT CREATE ON SCHEMA exact_online TO {name}")
            cursor.execute(f"GRANT CREATE ON DATABASE {address.rpartition('/')[2]} TO {name}")
            granted = cli("sync", url, "--entities=journals")
        finally:
            cursor.execute(f"DROP OWNED BY {name} CASCADE")
            cursor.execute(f"DROP ROLE {name}")

    (line,) = refused.err.splitlines()
    assert (refused.code, "grant" in line, asked) == (1, True, [])
    assert granted.code == 0


def test_without_a_login_it_says_so_and_sends_no_data_call(cli: Cli) -> None:
    (cli.world.folder / "tokens.json").unlink()

    result = cli("sync", cli.destination, CORE)

    assert result.code == 1
    assert "exact-source login" in result.err
    assert cli.world.box.requests == []


def test_a_sync_that_ended_has_no_stream_that_is_being_read(cli: Cli) -> None:
    result = cli(
        "sync", cli.destination, "--entities=divisions,journals", "--divisions=9", "--json"
    )
    assert result.code == 2
    assert "running" not in {s["status"] for s in result.json["streams"]}

    shown = cli("sync", cli.destination, "--entities=divisions", "--divisions=9")
    assert shown.out == ""  # no table that repeats the error
    assert len(shown.err.splitlines()) == 1


def test_a_wrong_client_secret_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__CLIENT_SECRET", "wrong")
    cli.world.box.clock.advance(700)

    result = cli("sync", cli.destination, CORE)

    assert result.code == 2
    assert "client_secret" in result.err


def test_small_rounds_load_the_same(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=1, large_page_size=1)

    result = cli("sync", cli.destination, CORE, "--json", "--round-minutes=0.01")

    assert result.code == 0
    assert result.json["loads"] > 1
    for division in cli.world.box.divisions:
        truth = cli.world.box.rows("crm/Accounts", division)
        assert count(cli, "accounts", division) == len(truth)


def interrupt_during(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once, while the next sync waits for a minute to end."""
    seen: list[bool] = []

    def interrupt_once() -> None:
        reading = threading.current_thread() is not threading.main_thread()
        seen.append(reading)
        if reading and sum(seen) == 30:
            os.kill(os.getpid(), signal.SIGINT)

    cli.world.box.state.limits.minute_limit = 10
    advance = cli.world.box.clock.advance

    def advance_and_interrupt(seconds: float) -> None:
        interrupt_once()
        advance(seconds)

    monkeypatch.setattr(cli.world.box.clock, "advance", advance_and_interrupt)


def test_the_first_interrupt_loads_what_was_read_and_the_next_run_goes_on(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli(page_size=2, large_page_size=2)
    interrupt_during(cli, monkeypatch)

    stopped = cli("sync", cli.destination, CORE, "--json")
    again = cli("sync", cli.destination, CORE, "--json")

    assert (stopped.code, again.code) == (3, 0)
    assert stopped.json["rows"] > 0
    for division in cli.world.box.divisions:
        truth = cli.world.box.rows("financialtransaction/TransactionLines", division)
        assert count(cli, "transaction_lines", division) == len(truth)


def test_after_an_interrupt_the_streams_that_were_not_read_are_no_problems(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli(page_size=2, large_page_size=2)
    interrupt_during(cli, monkeypatch)

    stopped = cli("sync", cli.destination, CORE)

    assert stopped.code == 3
    assert "transaction_lines" in stopped.out
    assert "with problems" not in stopped.out
    lines = stopped.err.splitlines()
    assert lines[-2].startswith("the tables are in ")
    assert lines[-1].startswith("stopped by Ctrl-C: ")
    assert not [line for line in lines if line.startswith(("error", "waiting", "incomplete"))]


def test_an_interrupt_before_the_first_call_is_no_error(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        read_in_rounds(*given)

    monkeypatch.setattr("exact_source.sync.runner.read_in_rounds", interrupted)

    stopped = cli("sync", cli.destination, "--entities=accounts")
    as_json = cli("sync", cli.destination, "--entities=accounts", "--json")

    assert (stopped.code, cli.world.box.requests) == (3, [])
    assert stopped.err.splitlines()[-1].startswith("stopped by SIGTERM before")
    assert "error" not in stopped.err
    found = as_json.json
    assert (found["exit_code"], found["status"], found["code"]) == (3, "incomplete", "stopped")


def test_the_demo_empties_no_folder_but_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious.txt").write_text("mine")

    code = run(["demo", "--folder", str(tmp_path)])

    assert code == 2
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert "not empty" in capsys.readouterr().err


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exact_source", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_nothing_but_json_is_on_stdout_even_when_it_fails(cli: Cli) -> None:
    cli.world.box.deny(cli.world.box.divisions[0], "*", "403")

    result = cli("sync", cli.destination, CORE, "--json")

    assert json.loads(result.out)["exit_code"] == result.code


def tables(cli: Cli) -> list[str]:
    with duckdb.connect(cli.destination.partition("duckdb:")[2]) as database:
        return [
            row[0] for row in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        ]


def count(cli: Cli, table: str, division: int | None = None) -> int:
    with duckdb.connect(cli.destination.partition("duckdb:")[2]) as database:
        where = "" if division is None else f" WHERE division = {division}"
        found = database.execute(f"SELECT count(*) FROM exact_online.{table}{where}").fetchone()
        assert found is not None
        return int(found[0])


def test_on_a_terminal_one_line_tells_how_far_it_is(make_cli: Callable[..., Cli]) -> None:
    """A moving line on stderr that disappears at the end; the summary stays."""
    cli = make_cli(latency=0.05)
    cli.world.box.clock.set(time.time())
    cli.world.box.clock.run()
    cli.world.login()
    command = ["-m", "exact_source", "sync", cli.destination, CORE]
    person = pexpect.spawn(
        sys.executable, command, timeout=120, dimensions=(40, 200), encoding="utf-8",
        env=dict(os.environ),  # readline exports COLUMNS behind its back, and that overrules the terminal
    )  # fmt: skip
    person.logfile_read = io.StringIO()

    person.expect("connecting")
    person.expect(
        r"company \d of 2 · [1-9]\d* calls · [\d,]+ rows · \w+ of \d+ · [\d,]+.* calls left"
    )
    person.expect(pexpect.EOF)
    person.close()

    shown = person.logfile_read.getvalue()
    assert person.exitstatus == 0, shown
    assert "\x1b[?25h" in shown  # the cursor is back
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    end = plain[plain.rindex("loading") :]
    assert re.search(r"transaction_lines +2 ", end)
    assert "complete: " in end


def test_the_contract_cap_counts_the_calls_of_earlier_runs_of_the_day(cli: Cli) -> None:
    first = cli("sync", cli.destination, CORE, "--json")
    loaded = first.json["calls"]

    second = cli("sync", cli.destination, CORE, "--json", f"--contract-cap={loaded + 2}")
    cli.world.box.clock.advance(86_400)
    third = cli("sync", cli.destination, CORE, "--json", f"--contract-cap={loaded + 2}")

    assert (second.code, second.json["calls"]) == (3, 2)
    assert third.code == 0
