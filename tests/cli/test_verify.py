"""``exact-source verify``."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exact_source.verify import CHECKS
from tests.support.cli_fixtures import Cli

DIVISION_OF_SANDBOX = "1000123"
ALONE = (f"--division={DIVISION_OF_SANDBOX}", "--yes")


def values_of(cli: Cli) -> set[str]:
    """Every text, guid and amount of the rows that verify looks at, if it is long enough to be told apart."""
    world, found = cli.world, set[str]()
    for path in ("crm/Accounts", "financialtransaction/TransactionLines", "financial/GLAccounts"):
        for row in world.box.rows(path, world.division):
            found.update(text for v in row.values() if len(text := str(v).strip()) >= 4)
    return found - {"True", "False", "None", "60", "1000"}


def test_it_says_the_cost_and_reports_what_it_saw(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000)
    with cli.world.watch() as calls:
        result = cli("verify", cli.destination, *ALONE, "--json")

    assert result.code == 0
    assert "80 read-only calls" in result.err
    assert [c["name"] for c in result.json["checks"]] == [check.name for check in CHECKS]
    assert {c["verdict"] for c in result.json["checks"]} == {"holds", "not measured"}
    asked = [call for call in calls.all if call.path != "system/Divisions"]
    assert result.json["calls"] == len(asked) <= 80
    assert len(calls) == len(asked) + 1
    assert {call.status for call in calls.all} == {200}


@pytest.mark.parametrize(
    ("deviation", "code"), [("sync-by-key", 0), ("relative-links", 0), ("iso-dates", 1)]
)
def test_only_what_must_be_reported_changes_the_exit_code(
    make_cli: Callable[..., Cli], deviation: str, code: int
) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, deviations=[deviation])
    result = cli("verify", cli.destination, *ALONE, "--json")

    assert result.code == result.json["exit_code"] == code


def test_the_report_holds_no_value_of_a_row(make_cli: Callable[..., Cli], tmp_path: Path) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, deviations=["iso-dates", "capital-guids"])
    file = tmp_path / "verify.md"
    result = cli("verify", cli.destination, *ALONE, f"--report={file}", "--json")

    text = file.read_text("utf-8")
    words = set(re.findall(r"[\w.@-]+", text + json.dumps(result.json)))
    assert words & values_of(cli) <= {"Amsterdam"}  # the zone
    assert DIVISION_OF_SANDBOX not in text + result.out
    assert text.count("| guids |") == 1
    assert "report it" in text


def test_without_a_terminal_it_asks_for_options(cli: Cli) -> None:
    with cli.world.watch() as calls:
        result = cli("verify", cli.destination)

    assert result.code == 2
    assert "--division" in result.err
    assert "--yes" in result.err
    assert len(calls) == 0


def test_without_a_terminal_it_names_only_the_missing_option(cli: Cli) -> None:
    result = cli("verify", cli.destination, "--yes")

    assert result.code == 2
    (line,) = result.err.splitlines()
    assert "--division" in line
    assert "consent" not in line


class Terminal(io.StringIO):
    """A person's answers."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answers", "code"), [("1001434\ny\n", 0), ("1001434\nn\n", 1), ("7\n", 2)]
)
def test_on_a_terminal_it_asks_which_company_and_whether_to_go_on(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch, answers: str, code: int
) -> None:
    cli = make_cli(page_size=60, large_page_size=1000)
    monkeypatch.setattr("sys.stdin", Terminal(answers))
    with cli.world.watch() as calls:
        result = cli("verify", cli.destination, "--json")

    assert result.code == code
    asked = {c.division for c in calls.all if c.path not in {"current/Me", "system/Divisions"}}
    assert asked == ({1001434} if code == 0 else set())


@pytest.mark.parametrize("option", [[], ["--books"]])
def test_a_company_that_cannot_be_seen_is_refused_and_changes_nothing(
    cli: Cli, option: list[str]
) -> None:
    assert cli("sync", cli.destination, "--entities=journals").code == 0
    before = files_of(cli)
    with cli.world.watch() as calls:
        result = cli("verify", cli.destination, "--division=5", "--yes", "--json", *option)

    assert (result.code, result.out) == (2, "")
    assert "5 " in result.err
    assert "exact-source divisions" in result.err
    assert {c.path for c in calls.all} == {"current/Me", "system/Divisions"}
    assert files_of(cli).keys() == before.keys()


def files_of(cli: Cli) -> dict[str, int]:
    """Files of the project and their sizes, without those that count calls."""
    files = [f for f in cli.world.folder.rglob("*") if f.is_file() and "errors" not in f.name]
    return {str(file): file.stat().st_size for file in files}


def test_a_company_that_is_blocked_is_refused(cli: Cli) -> None:
    blocked = cli.world.box.divisions[1]
    cli.world.box.block_division(blocked)
    with cli.world.watch() as calls:
        result = cli("verify", cli.destination, f"--division={blocked}", "--yes")

    assert result.code == 2
    assert {c.path for c in calls.all} == {"current/Me", "system/Divisions"}


@pytest.mark.parametrize("file", ["none/x.md", "."])
def test_a_report_that_cannot_be_written_is_refused_before_the_calls(
    cli: Cli, tmp_path: Path, file: str
) -> None:
    with cli.world.watch() as calls:
        result = cli("verify", cli.destination, *ALONE, f"--report={tmp_path / file}")

    assert (result.code, len(calls)) == (2, 0)
    assert "Errno" not in result.err


def test_a_code_that_is_not_a_number_is_refused_in_words(cli: Cli) -> None:
    result = cli("verify", cli.destination, "--division=abc", "--yes")

    assert result.code == 2
    assert "integer" not in result.err
    assert "123456" in result.err


def test_it_does_not_ask_which_company_if_there_is_one(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli(companies=1, page_size=60, large_page_size=1000)
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    with cli.world.watch() as calls:
        assert cli("verify", cli.destination, "--json").code == 0

    assert {c.division for c in calls.all} >= {cli.world.division}


def test_used_up_calls_end_it_with_3(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, daily_limit=5)
    result = cli("verify", cli.destination, *ALONE, "--json")

    assert result.code == 3
    assert result.json["stopped"]
    assert result.json["calls"] <= 10


def test_what_the_user_may_not_read_is_not_tried(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000)
    for path in ("crm/Accounts", "sync/CRM/Accounts", "bulk/CRM/Accounts"):
        cli.world.box.deny(cli.world.division, path)
    with cli.world.watch() as calls:
        result = cli("verify", cli.destination, *ALONE, "--json")

    refused = [c for c in calls.all if c.status != 200]
    assert len(refused) <= 2
    by_name: dict[str, Any] = {c["name"]: c for c in result.json["checks"]}
    assert by_name["twins-accounts"]["verdict"] == "not measured"
    assert by_name["twins-gl-accounts"]["verdict"] == "holds"


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    cli = make_cli(page_size=60, large_page_size=1000, deviations=["filter-everywhere"])
    result = cli("verify", cli.destination, *ALONE)

    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.out)
    assert max(map(len, plain.splitlines())) <= width
    assert plain.index("filter-needless") < plain.index("server-time")
