"""``exact-source divisions``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from tests.support.cli_fixtures import Cli


def test_it_lists_every_company_with_two_calls(cli: Cli) -> None:
    result = cli("divisions", "--json")

    assert result.code == 0
    found = result.json["divisions"]
    assert [row["code"] for row in found] == cli.world.box.divisions
    assert [row["status"] for row in found] == ["open", "open"]
    assert [row["current"] for row in found] == [True, False]
    assert found[0]["name"] == "Molenaar Koffie B.V."
    assert [r.path for r in cli.world.box.requests] == ["current/Me", "system/Divisions"]


def test_a_blocked_company_says_why_and_a_moved_one_when(cli: Cli) -> None:
    cli.world.box.block_division(cli.world.other, 6)
    cli.world.box.move_division(cli.world.division)

    moved, blocked = cli("divisions", "--json").json["divisions"]

    assert blocked["status"] == "blocked: copy data busy"
    assert blocked["blocking_status"] == 6
    assert datetime.fromisoformat(moved["moved"]).year == 2026
    assert blocked["moved"] is None


def test_people_get_a_table_without_colours_in_a_pipe(cli: Cli) -> None:
    cli.world.box.block_division(cli.world.other, 100)

    result = cli("divisions")

    lines = result.out.splitlines()
    assert lines[0].split()[:3] == ["code", "name", "status"]
    assert str(cli.world.division) in lines[1]
    assert "blocked: wait for deletion" in lines[2]
    assert "\x1b" not in result.out


def test_another_company_can_be_asked_where_the_current_one_is_out_of_scope(cli: Cli) -> None:
    cli.world.box.deny(cli.world.division, how="NoDivisionAccess")

    assert cli("divisions").code == 1
    result = cli("divisions", "--via", str(cli.world.other), "--json")

    assert [row["code"] for row in result.json["divisions"]] == cli.world.box.divisions


def test_a_blocked_current_company_names_the_option_that_helps(cli: Cli) -> None:
    cli.world.box.block_division(cli.world.division)

    for command, option in (("divisions", "--via"), ("webhooks list", "--divisions")):
        failed = cli(*command.split())
        assert (failed.code, failed.err.count("\n"), option in failed.err) == (1, 1, True)
        assert cli(*command.split(), option, str(cli.world.other)).code == 0


def test_a_refused_list_is_one_line_on_stderr(cli: Cli) -> None:
    for division in cli.world.box.divisions:
        cli.world.box.deny(division, "system/Divisions")

    result = cli("divisions")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: divisions of division")
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_a_missing_setting_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(f"SOURCES__EXACT_ONLINE__{name.upper()}")

    result = cli("divisions")

    assert result.code == 2
    assert f"sources.exact_online.{name} is not set" in result.err
    assert cli.world.box.requests == []


def test_it_works_without_a_current_company_of_many(make_cli: Callable[..., Cli]) -> None:
    many = make_cli(companies=7)

    assert len(many("divisions", "--json").json["divisions"]) == 7


def test_companies_are_chosen_and_left_out_by_name(cli: Cli) -> None:
    listed = {d["code"]: d["name"] for d in cli("divisions", "--json").json["divisions"]}
    (first, name), (second, other) = listed.items()

    def read(*options: str) -> set[int]:
        result = cli("sync", cli.destination, "--entities=journals", "--json", *options)
        assert result.code == 0, result.err
        return {s["division"] for s in result.json["streams"] if s["division"]}

    assert read(f"--divisions={name[:6].upper()}*") == {first}
    assert read(f"--exclude-divisions={name}") == {second}
    shown = cli("status", cli.destination, "--json", f"--divisions={second}").json
    assert {d["division"] for d in shown["divisions"]} == {second}
    planned = cli("plan", cli.destination, "--json", "--no-count", f"--divisions={other}").json
    assert [d["division"] for d in planned["divisions"]] == [second]
    for option in (
        "--divisions=No Such Company",
        "--exclude-divisions=77",
        "--exclude-divisions=No*",
    ):
        refused = cli("sync", cli.destination, option)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
