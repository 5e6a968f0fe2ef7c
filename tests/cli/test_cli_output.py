"""Results and progress at any width and for any number of companies: no value is ever cut."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from exact_source.cli import webhooks
from exact_source.cli._output.display import Line
from exact_source.cli._output.logs import logging_to_stderr
from exact_source.cli._output.outcome import grouped, show_outcome, show_results, to_json
from exact_source.cli._output.streams import Problem, print_problems
from exact_source.cli._output.tables import Column, print_table
from exact_source.cli._output.view import View
from exact_source.cli.divisions import show
from exact_source.cli.eta import TimeLeft
from exact_source.engine.divisions import Division
from exact_source.engine.result import StreamResult
from exact_source.errors import StoppedError
from exact_source.sync.outcome import Outcome
from exact_source.webhooks.subscriptions import Subscription
from tests.support.cli_fixtures import Cli

COLUMNS = (
    Column("division"),
    Column("name", rank=2),
    Column("rows", right=True),
    Column("cursor", rank=3),
    Column("empty"),
    Column("error", wraps=True, rank=1),
)
ROWS = [
    ["1000123", "Van Dijk Fietsen & Zonen B.V.", 12_345_678, "2026-11-28 12:00:00", None, "no right " * 9],
    ["1000124", "[bold]\x1b[31mRed\x07", 7, None, None, ""],
]  # fmt: skip


def printed(width: int, columns: Any = COLUMNS, rows: Any = ROWS) -> list[str]:
    out = io.StringIO()
    print_table(Console(file=out, width=width, highlight=False), columns, rows)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "heading"),
    [
        (200, "division name rows cursor error"),
        (85, "division name rows error"),
        (60, "division rows error"),
        (30, "division rows"),
    ],
)
def test_columns_are_left_out_by_rank_and_every_value_is_whole(width: int, heading: str) -> None:
    lines = printed(width)

    assert " ".join(lines[0].split()) == heading
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)
    assert "12,345,678" in lines[1]
    words = " ".join("\n".join(lines).split())
    assert words.count("no right") == (9 if "error" in heading else 0)
    assert ("Van Dijk Fietsen & Zonen B.V." in words) is ("name" in heading)


def test_what_does_not_fit_beside_each_other_becomes_a_block_of_lines() -> None:
    lines = printed(12)

    assert lines[0].split() == ["division", "1000123"]
    assert lines[2].split() == ["rows", "12,345,678"]
    assert "" in lines  # between the rows


def test_what_comes_from_exact_is_no_markup_and_moves_no_cursor() -> None:
    text = "\n".join(printed(200))

    assert "[bold] [31mRed" in text
    assert "\x1b" not in text
    assert "\x07" not in text


ENTITIES = [f"entity_{number:02}" for number in range(17)]
NAMES = {1_000_000 + n: f"Company {n} B.V." for n in range(300)}


def outcome_of(companies: int, *, refused: int = 0) -> Outcome:
    """Each company has 17 entities; of the first ``refused`` companies five are refused."""
    results = []
    for n, code in enumerate(list(NAMES)[:companies]):
        for position, entity in enumerate(ENTITIES):
            result = StreamResult(
                code, entity, "sync", 0.0, calls=1, rows=12_345, status="complete"
            )
            if n < refused and position < 5:
                result.end(
                    "refused", f"{entity} of division {code}: Exact Online answered 403", "refused"
                )
                result.permanent = True
            results.append(result)
    return Outcome(results, 1, len(results))


@pytest.mark.parametrize("companies", [1, 3, 300])
@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_of_a_sync_fit_and_name_companies(
    companies: int, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exact_source.cli._output.tables.PIPE_WIDTH", width)
    outcome = outcome_of(companies, refused=companies)

    lines = show_results(outcome, NAMES)
    out = capsys.readouterr().out.splitlines()

    assert lines == len(out)
    assert max(map(len, out)) <= width
    assert out[0].split() == ["entity", "companies", "rows", "calls", "problems"]
    count = str(companies)
    assert out[1].split() == [ENTITIES[0], count, f"{companies * 12_345:,}", count, count]
    assert sum("Company" in line for line in out) == min(companies, 6)
    assert any(line.split()[:4] == ["1000000", "Company", "0", "B.V."] for line in out)


@pytest.mark.parametrize("companies", [1, 300])
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("every", [False, True])
def test_the_calls_of_a_table_add_up_to_the_total(
    companies: int, width: int, *, every: bool, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("exact_source.cli._output.tables.PIPE_WIDTH", width)
    outcome = outcome_of(companies)
    outcome.calls += companies + 2  # of lists that are not loaded themselves

    show_results(outcome, NAMES, every=every)

    out = capsys.readouterr().out.splitlines()
    end = out[0].index("calls") + len("calls")
    column = [line[:end].split()[-1].replace(",", "") for line in out[1:]]
    assert sum(map(int, column)) == outcome.calls
    assert max(map(len, out)) <= width


SENTENCE = "what Exact Online says about it in so many words " * 3


def in_trouble(companies: int) -> Outcome:
    """Five kinds each of errors, waits and notes in every company, and streams that Exact does not offer."""
    outcome = outcome_of(companies)
    outcome.calls += companies + 2
    for n, result in enumerate(outcome.results):
        kind, where = n % len(ENTITIES), f"{result.entity} of division {result.division}"
        result.status = "running"
        if kind < 5:
            result.end("refused", f"{where}: error {kind}: {SENTENCE}", "refused", permanent=True)
        elif kind < 10:
            result.end("waiting", f"{where}: wait {kind}: {SENTENCE}", "limit")
        elif kind == 10:
            result.end("refused", f"{where}: 403", "unavailable", permanent=True)
        elif kind == 11:
            result.end("skipped", f"{where}: blocked", "blocked")
        else:
            result.end("complete")
            result.note(f"note {kind}: {SENTENCE}")
    return outcome


@pytest.mark.parametrize("companies", [1, 3, 300])
@pytest.mark.parametrize("width", [80, 120])
def test_a_sync_ends_with_at_most_forty_lines(
    companies: int, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exact_source.cli._output.tables.PIPE_WIDTH", width)
    for module in ("logs", "outcome"):
        monkeypatch.setattr(f"exact_source.cli._output.{module}.terminal_width", lambda: width)
    place = f"/srv/{'a-long-folder/' * 7}exact.duckdb, schema exact_online"

    def ending(outcome: Outcome, view: View) -> tuple[list[str], list[str]]:
        with logging_to_stderr([]):
            show_outcome(outcome, 75.0, place, NAMES, view)
        shown = capsys.readouterr()
        return shown.out.splitlines(), shown.err.splitlines()

    out, err = ending(in_trouble(companies), View())
    _, whole = ending(in_trouble(companies), View(problems=True))

    assert len(out) + len(err) <= 40
    assert all(len(line) <= width or " " not in line.strip() for line in err)
    said, every = " ".join(err), " ".join(whole)
    assert "error 0" in said
    assert "not available" in said
    assert "; run again to continue" in said
    assert said.count("more messages") == 2
    for text in (
        f"{word} {n}" for word, n in zip(["error"] * 5 + ["wait"] * 5, range(10), strict=True)
    ):
        assert text in every
    assert "more messages" not in every
    assert len(ending(outcome_of(companies), View())[1]) <= 4


def test_after_a_stop_only_real_problems_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    results = [StreamResult(1, f"e{n}", "sync", 0.0, calls=1, rows=n) for n in range(5)]
    results[0].end("complete")
    results[1].end("waiting", "e1 of division 1: stopped", "stopped")
    results[2].end("incomplete", "goes on in the next round", permanent=True)
    results[3].end("failed", "e3 of division 1: boom", "remote")
    results[4].end("incomplete", "e4 of division 1: rows without a key", "keyless", permanent=True)
    outcome = Outcome(results, 1, 5, stopped_by="Ctrl-C")

    with logging_to_stderr([]):
        show_outcome(outcome, 75.0, "somewhere", {}, View(problems=True))

    shown = capsys.readouterr()
    assert [line.split()[1] for line in shown.out.splitlines()[1:]] == ["e3", "e4"]
    errors, closing = shown.err.splitlines()[:-2], shown.err.splitlines()[-1]
    assert [line.split()[1] for line in errors] == ["e3", "e4"]
    assert closing.startswith("stopped by Ctrl-C: ")
    assert (outcome.exit_code, to_json(outcome, 0.0)["code"]) == (3, "remote")
    text = str(outcome).splitlines()
    assert [line.split()[0] for line in text[1:]] == ["e3", "e4", "stopped"]


def test_a_stop_before_the_first_call_loads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is anything of it noted, so the whole command must be repeated."""
    outcome = Outcome([], 1, 0, StoppedError("stopped", resumes_at=0.0), stopped_by="Ctrl-C")
    with logging_to_stderr([]):
        show_outcome(outcome, 75.0, "somewhere", {}, View())

    closing = capsys.readouterr().err.splitlines()[-1]
    assert closing.startswith("stopped by Ctrl-C")
    assert "continue" not in closing
    assert outcome.exit_code == 3


def test_an_outcome_as_text_is_short_as_well() -> None:
    outcome = in_trouble(300)
    for n, result in enumerate(outcome.results):
        if result.status == "complete":
            result.status = "running"
            result.end("incomplete", f"stopped; goes on at {n}")
    lines = str(outcome).splitlines()

    assert len(lines) <= 15
    assert lines[0].startswith("exit code 3: ")
    assert (
        sum("entity_00 of division 1000000 and 299 more: refused: error 0" in t for t in lines) == 1
    )
    assert "blocked" in lines[-1]
    one = str(Outcome(outcome.results[:1], 1, 1)).splitlines()
    assert one[0].endswith(" of 1 stream, 1 call, 1 round")
    assert one[1:] == [f"entity_00 of division 1000000: refused: error 0: {SENTENCE}"]


def test_a_list_for_all_companies_has_no_division(capsys: pytest.CaptureFixture[str]) -> None:
    result = StreamResult(0, "divisions", "regular", 0.0)
    result.end("failed", "divisions: boom", "remote")
    outcome = Outcome([result], 1, 0)

    show_results(outcome, {})
    show_results(outcome, {}, problems=True)

    last = [line.split() for line in capsys.readouterr().out.splitlines() if "failed" in line]
    assert [words[0] for words in last] == ["1", "divisions"]


def test_messages_that_differ_in_the_stream_only_are_one() -> None:
    outcome = outcome_of(3, refused=2)
    texts = [(r, r.error) for r in outcome.results if r.error]

    assert grouped(texts[:1], NAMES) == [
        "entity_00 of division 1000000 (Company 0 B.V.): Exact Online answered 403"
    ]
    assert grouped(texts, NAMES) == ["5 entities of 2 companies: Exact Online answered 403"]


def test_many_entities_are_summed_up_in_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        StreamResult(1, f"e{n}", "sync", 0.0, calls=1, rows=n, status="complete")
        for n in range(349)
    ]
    results[3].end("failed", "e3 of division 1: boom", "remote")

    show_results(Outcome(results, 1, 349), {})

    lines = capsys.readouterr().out.splitlines()
    table = lines[: lines.index("")]
    assert len(table) == 21
    assert table[-1].split()[:2] == ["330", "others"]
    assert any(line.split()[0] == "e3" for line in table)
    sums = [
        int(line.split()[-3 if line.split()[0] == "e3" else -2].replace(",", ""))
        for line in table[1:]
    ]
    assert sum(sums) == sum(range(349))


def test_problems_alone_have_name_code_and_message() -> None:
    out = io.StringIO()
    problem = Problem(1_000_000, "accounts", "refused", "refused", "Exact Online answered 403")

    print_problems(Console(file=out, width=100), [problem], NAMES)

    assert out.getvalue().splitlines()[1].split() == [
        "1000000", "Company", "0", "B.V.", "accounts", "refused", "refused",
        "Exact", "Online", "answered", "403",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_moving_line_shows_a_wait_at_any_width(width: int) -> None:
    run: Any = SimpleNamespace(
        log=SimpleNamespace(results=[]),
        limits=SimpleNamespace(calls=120),
        rounds=SimpleNamespace(number=0),
        divisions=SimpleNamespace(chosen_so_far=[]),
        selection=SimpleNamespace(names=frozenset()),
        clock=SimpleNamespace(now=lambda: 1e9),
    )
    line = Line(run, "counted 120 of 504 streams")
    why = "accounts of division 1000123 waits until 12:00:00: the minute's 60 calls are used up"
    line.wait = (why, 1e9 + 38)

    parts = line.fitting(width)

    assert "waits 38 s" in parts
    assert ("counted 120 of 504 streams" in parts) is (width >= 80)
    assert (why in parts) is (width == 200)
    line.wait = (why, 1e9 - 1)
    assert "waits" not in " ".join(line.fitting(200))


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_the_moving_line_leaves_parts_out_and_cuts_none(width: int) -> None:
    outcome = outcome_of(300)
    run: Any = SimpleNamespace(
        log=SimpleNamespace(results=outcome.results),
        limits=SimpleNamespace(
            calls=4_806, divisions=NAMES, day_remaining=lambda code: 5_000 - code % 700
        ),
        rounds=SimpleNamespace(number=2),
        divisions=SimpleNamespace(chosen_so_far=[Division(code) for code in NAMES]),
        selection=SimpleNamespace(names=frozenset(["accounts", "journals"])),
        clock=SimpleNamespace(now=lambda: 1e9),
        started_at=0.0,
    )
    line = Line(run, "loading")
    line.look(at_once=True)
    line.left = TimeLeft(500)
    for code in list(NAMES)[:36]:
        for entity in ("accounts", "journals"):
            line.companies.note(StreamResult(code, entity, "sync", 0.0, status="complete"))

    parts = line.fitting(width)

    every = [
        "round 2", "company 37 of 300", "4,806 calls", "62,959,500 rows", "about 9 min left",
        "loading", "4,301 to 4,600 calls left today",
    ]  # fmt: skip
    assert parts == [part for part in every if part in parts]
    assert len(" · ".join(parts)) <= width
    assert "4,806 calls" in parts
    assert ("company 37 of 300" in parts) is (width >= 40)
    assert (parts == every) is (width == 200)


def test_a_long_list_of_companies_begins_with_the_blocked_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found: list[dict[str, Any]] = [
        {"code": code, "name": name, "status": "open", "blocking_status": 0, "moved": None,
         "current": False, "country": "NL", "currency": "EUR", "customer": None}
        for code, name in NAMES.items()
    ]  # fmt: skip
    found[250] |= {"status": "blocked: backup", "blocking_status": 1}

    show(found, every=False)
    short = capsys.readouterr().out.splitlines()
    show(found, every=True)
    whole = capsys.readouterr().out.splitlines()

    assert short[1].startswith("1000250  Company 250 B.V.")
    assert len(short) < 40
    assert "300 companies in all, 1 of them blocked" in short[-1]
    assert len(whole) == 301
    found[250] |= {"status": "open", "blocking_status": 0}
    show(found, every=False)
    assert "blocked" not in capsys.readouterr().out


@pytest.mark.nightly
def test_each_command_has_a_summary_and_all_of_it(make_cli: Callable[..., Cli]) -> None:
    """One line for each entity; with ``--all`` one for each of each company, named."""
    cli = make_cli()
    world = cli.world
    world.box.deny(world.division, "financial/Journals", "LicenseExpired")
    some = (cli.destination, "--entities=divisions,accounts,journals")
    listed = cli("divisions", "--json").json["divisions"]
    name = next(d["name"] for d in listed if d["code"] == world.division)

    planned, planned_all = cli("plan", *some).out, cli("plan", *some, "--all").out
    synced = cli("sync", *some)
    synced_all = cli("sync", *some, "--all").out
    only = cli("sync", *some, "--problems").out
    status, status_all = (
        cli("status", cli.destination).out,
        cli("status", cli.destination, "--all").out,
    )
    status_only = cli("status", cli.destination, "--problems").out

    def lines(text: str, word: str) -> list[str]:
        return [line for line in text.splitlines() if word in line.split()]

    for text in (planned, synced.out, status):
        assert len(lines(text, "accounts")) == 1
    for text in (planned_all, synced_all, status_all):
        assert len(lines(text, "accounts")) == 2
        assert name in text
    for text in (synced.out, synced_all, status, status_all):
        assert f"{world.division} {name} 1 refused (journals)" in " ".join(text.split())
    for text in (only, status_only):
        assert [line.split()[0] for line in text.splitlines()[1:]] == [str(world.division)]
        assert name in text
        assert "refused" in text
    assert [line for line in synced.err.splitlines() if "403" in line] == [
        line for line in synced.err.splitlines() if line.startswith("error: ")
    ]
    machine = json.loads(cli("sync", *some, "--json").out)
    assert {(s["division"], s["entity"]) for s in machine["streams"]} >= {
        (d, e) for d in world.box.divisions for e in ("accounts", "journals")
    }


@pytest.mark.nightly
@pytest.mark.parametrize("companies", [1, 3, 300])
def test_no_screen_is_wider_than_the_terminal_and_summaries_are_short(
    make_cli: Callable[..., Cli],
    companies: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a word that is longer, such as an address or a path, may be wider."""
    cli = make_cli(companies=companies, invoices=1, page_size=60, large_page_size=1000)
    world = cli.world
    world.box.deny(world.division, "sync/Financial/GLAccounts", "LicenseExpired")
    if companies > 1:
        world.box.block_division(world.other, 1)
    some = (cli.destination, "--entities=divisions,gl_accounts,transaction_lines")
    summaries = [("plan", *some), ("sync", *some), ("status", cli.destination)]
    forms = ("--all", "--problems")
    details = [(*command, form) for command in summaries for form in forms]
    others = [
        ("check", *some, "--all-divisions"), ("check", *some), ("divisions",), ("divisions", "--all"),
        ("entities",), ("entities", "transaction_lines"), ("report", cli.destination), ("tokens",),
        ("webhooks", "list"), ("webhooks", "list", "--all"),
    ]  # fmt: skip

    for width in (120, 80):
        monkeypatch.setattr("exact_source.cli._output.tables.PIPE_WIDTH", width)
        for command in summaries:
            result = cli(*command)
            assert len((result.out + result.err).splitlines()) <= 40, command
            assert too_wide(result.out, width) == [], command
        for command in (*details, *others) if width == 80 else ():
            result = cli(*command)
            assert result.out, result.err
            assert too_wide(result.out, width) == [], command
    if companies == 1:  # it has two companies of its own
        shown = cli("demo", "--invoices=5", f"--folder={tmp_path / 'demo'}").out
        without_paths = [line for line in shown.splitlines() if "/" not in line]
        assert too_wide("\n".join(without_paths), width) == []


@pytest.mark.parametrize("width", [80, 120])
def test_a_list_of_900_subscriptions_is_no_wider_than_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exact_source.cli._output.tables.PIPE_WIDTH", width)
    topics = ("Accounts", "FinancialTransactions", "SalesInvoices")
    found = [Subscription(d, t, "id", "https://books.example/exact") for d in NAMES for t in topics]
    for every in (False, True):
        webhooks.show(found, NAMES, every=every)
        shown = capsys.readouterr().out
        assert too_wide(shown, width) == []
        assert len(shown.splitlines()) <= 40 or every


def too_wide(text: str, width: int) -> list[str]:
    """The lines with several words that are wider than the terminal."""
    return [line for line in text.splitlines() if len(line) > width and " " in line.strip()]
