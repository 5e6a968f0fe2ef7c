"""``exact-source check``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_fixtures import Cli, Result
from tests.support.lakes import without_extensions

SOME = "--entities=accounts,journals"


def states(result: Result) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for check in result.json["checks"]:
        found.setdefault(check["check"], []).append(check["state"])
    return found


def found(result: Result, check: str, state: str) -> dict[str, Any]:
    return next(
        dict(c) for c in result.json["checks"] if (c["check"], c["state"]) == (check, state)
    )


def test_when_all_is_well_it_ends_with_0_and_no_refusal(cli: Cli) -> None:
    with cli.world.watch() as calls:
        result = cli("check", cli.destination, SOME, "--json")

    assert result.code == result.json["exit_code"] == 0
    assert states(result) == {
        "settings": ["ok"],
        "tokens": ["ok"],
        "connection": ["ok"],
        "divisions": ["ok"],
        "rights": ["ok", "ok", "skipped"],
        "destination": ["ok"],
    }
    assert [r.path for r in calls.all] == [
        "current/Me",
        "current/Me",
        "system/Divisions",
        "users/UserHasRights",
        "users/UserHasRights",
    ]
    assert {r.status for r in calls.all} == {200}


def test_it_leaves_nothing_in_the_destination(cli: Cli) -> None:
    assert cli("check", cli.destination, SOME).code == 0
    assert list(cli.world.folder.glob("*.duckdb*")) == []

    cli.world.sync("journals")
    tables = "SELECT table_name FROM information_schema.tables ORDER BY 1"
    before = cli.world.sql(tables)
    assert cli("check", cli.destination, SOME).code == 0

    assert cli.world.sql(tables) == before


def test_every_missing_setting_is_named_and_the_destination_is_still_checked(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI"):
        monkeypatch.delenv(f"SOURCES__EXACT_ONLINE__{name}")

    result = cli("check", cli.destination, "--json")

    assert result.code == 2
    told = [c["found"] for c in result.json["checks"] if c["check"] == "settings"]
    assert [f"sources.exact_online.{n} is not set" in t for n, t in zip(
        ("client_id", "client_secret"), told, strict=True)] == [True, True]  # fmt: skip
    assert states(result)["tokens"] == ["skipped"]
    assert states(result)["destination"] == ["ok"]
    assert cli.world.box.requests == []


def test_a_folder_without_settings_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCES__EXACT_ONLINE__CLIENT_ID")
    monkeypatch.delenv("DLT_PROJECT_DIR", raising=False)
    (empty := tmp_path / "empty").mkdir()
    monkeypatch.chdir(empty)

    result = cli("check", cli.destination, "--json")

    assert result.code == 2
    assert str(empty) in found(result, "settings", "failed")["remedy"]


@pytest.mark.parametrize("missing", [(), ("CLIENT_ID",), ("CLIENT_ID", "CLIENT_SECRET")])
def test_a_wrong_region_is_named_once(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    monkeypatch.delenv("SOURCES__EXACT_ONLINE__BASE_URL", raising=False)
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__REGION", "xx")
    for name in missing:
        monkeypatch.delenv(f"SOURCES__EXACT_ONLINE__{name}")

    checks = cli("check", cli.destination, SOME, "--json").json["checks"]

    failed = [c["found"] for c in checks if (c["check"], c["state"]) == ("settings", "failed")]
    assert failed == ["sources.exact_online.region is 'xx'"]
    assert "localhost" not in json.dumps(checks)


def test_a_missing_redirect_uri_is_a_warning(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCES__EXACT_ONLINE__REDIRECT_URI")

    result = cli("check", cli.destination, SOME, "--json")

    assert result.code == 0
    assert "redirect_uri" in found(result, "settings", "warning")["found"]


def test_without_tokens_it_says_log_in(cli: Cli) -> None:
    cli.world.storage.delete_tokens()

    result = cli("check", cli.destination, SOME, "--json")

    assert result.code == 1
    assert "exact-source login" in found(result, "tokens", "failed")["remedy"]
    assert states(result)["connection"] == ["skipped"]
    assert states(result)["destination"] == ["ok"]


@pytest.mark.parametrize(("days", "state"), [(22, "ok"), (25, "warning"), (31, "failed")])
def test_the_thirty_days_of_an_unused_token_are_watched(cli: Cli, days: int, state: str) -> None:
    cli.world.clock.sandbox.advance(days * 86_400)

    result = cli("check", cli.destination, SOME, "--json")

    assert states(result)["tokens"] == [state]
    assert result.code == (1 if state == "failed" else 0)
    assert f"{days} d" in found(result, "tokens", state)["found"]


def test_a_damaged_token_file_fails_and_is_left_alone(cli: Cli) -> None:
    file = cli.world.folder / "tokens.json"
    file.write_text("{")

    result = cli("check", cli.destination, SOME, "--json")

    assert (result.code, states(result)["tokens"]) == (1, ["failed"])
    assert file.read_text() == "{"


def test_a_wrong_client_secret_fails_the_connection_only(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__CLIENT_SECRET", "mistyped-secret")
    cli.world.clock.sandbox.advance(700)

    result = cli("check", cli.destination, SOME, "--json")

    assert result.code == 2
    assert states(result)["connection"] == ["failed"]
    assert states(result)["divisions"] == ["skipped"]
    assert states(result)["destination"] == ["ok"]
    assert "mistyped-secret" not in result.out + result.err


def test_a_site_that_is_down_fails_the_connection(cli: Cli) -> None:
    cli.world.box.fault("drop", path="current/Me", times=99)
    began = cli.world.clock.now()

    result = cli("check", cli.destination, SOME, "--json")

    assert (result.code, states(result)["connection"]) == (1, ["failed"])
    assert cli.world.clock.now() - began < 60  # somebody waits for the answer


def test_a_missing_right_is_reported_with_its_scope_and_without_a_refusal(cli: Cli) -> None:
    world = cli.world
    world.box.deny(world.division, "sync/CRM/Accounts")

    with world.watch() as calls:
        result = cli("check", cli.destination, SOME, "--json")

    missing = found(result, "rights", "warning")
    assert "accounts may not be read" in missing["found"]
    assert "Crm accounts" in missing["remedy"]
    assert states(result)["rights"] == ["ok", "warning", "skipped"]
    assert {r.status for r in calls.all} == {200}
    # As the sync, which skips the stream.
    assert (result.code, cli("sync", cli.destination, SOME).code) == (0, 0)


def test_it_fails_as_the_sync_does_if_nothing_can_be_read(cli: Cli) -> None:
    world = cli.world
    for division in world.box.divisions:
        world.box.deny(division, "sync/CRM/Accounts")
        world.box.deny(division, "financial/Journals")

    result = cli("check", cli.destination, SOME, "--all-divisions", "--json")

    assert states(result)["rights"] == ["failed", "failed"]
    assert (result.code, cli("sync", cli.destination, SOME).code) == (1, 1)


def test_all_divisions_are_asked_on_demand(cli: Cli) -> None:
    world = cli.world
    world.box.deny(world.other, "sync/CRM/Accounts")
    assert states(cli("check", cli.destination, SOME, "--json"))["rights"] == [
        "ok",
        "ok",
        "skipped",
    ]

    result = cli("check", cli.destination, SOME, "--all-divisions", "--json")

    assert str(world.other) in found(result, "rights", "warning")["found"]
    assert str(world.division) not in found(result, "rights", "warning")["found"]


def test_a_blocked_company_is_a_warning_and_all_blocked_a_failure(cli: Cli) -> None:
    world = cli.world
    world.box.block_division(world.other, 1)
    result = cli("check", cli.destination, SOME, "--json")
    assert (result.code, states(result)["divisions"]) == (0, ["warning", "ok"])

    result = cli("check", cli.destination, SOME, f"--divisions={world.other}", "--json")

    assert (result.code, states(result)["divisions"]) == (1, ["failed"])
    assert "blocked: backup" in found(result, "divisions", "failed")["found"]


def test_many_blocked_companies_are_one_line_for_each_reason(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(companies=7)
    first, *others, last = cli.world.box.divisions
    for division in others:
        cli.world.box.block_division(division, 1)
    cli.world.box.block_division(last, 2)

    result = cli("check", cli.destination, SOME, "--json")

    assert states(result)["divisions"] == ["warning", "warning", "ok"]
    told = [c["found"] for c in result.json["checks"] if c["state"] == "warning"]
    assert [str(division) in told[0] for division in others] == [True] * 3 + [False] * 2
    assert ("2 more" in told[0], str(last) in told[1]) == (True, True)
    assert str(first) in found(result, "divisions", "ok")["found"]


def test_the_list_is_read_through_an_earlier_company_if_the_current_one_is_blocked(
    cli: Cli,
) -> None:
    world = cli.world
    assert cli("sync", cli.destination, "--entities=accounts").code == 0
    world.box.block_division(world.division)

    result = cli("check", cli.destination, SOME, "--json")

    assert (result.code, states(result)["divisions"]) == (0, ["warning", "ok"])


def test_a_company_out_of_sight_is_a_wrong_setting(cli: Cli) -> None:
    result = cli("check", cli.destination, SOME, "--divisions=42", "--json")

    assert result.code == 2
    assert found(result, "divisions", "failed")["found"].startswith("42 ")
    assert result.err.count("divisions:") == 1
    assert states(result)["rights"] == ["skipped"]


def test_rights_that_cannot_be_asked_are_a_warning(cli: Cli) -> None:
    cli.world.box.fault(404, path="users/UserHasRights")

    result = cli("check", cli.destination, SOME, "--json")

    assert (result.code, states(result)["rights"]) == (0, ["warning", "skipped"])


@pytest.mark.parametrize(
    ("destination", "code"), [("oracle", 2), ("duckdb:/no/such/folder/x.duckdb", 2)]
)
def test_a_wrong_destination_fails_after_everything_else_was_checked(
    cli: Cli, destination: str, code: int
) -> None:
    result = cli("check", f"--destination={destination}", SOME, "--json")

    assert result.code == code
    assert states(result)["destination"] == ["failed"]
    assert states(result)["connection"] == ["ok"]


def test_an_unreachable_destination_is_reported_without_its_password(cli: Cli) -> None:
    url = "postgresql://loader:unguessable@127.0.0.1:1/warehouse"

    result = cli("check", f"--destination={url}", SOME, "--json")

    assert (result.code, states(result)["destination"]) == (1, ["failed"])
    assert "unguessable" not in result.out + result.err


UNREADABLE = {
    "bracket": "postgresql://me:hush-5ecret@[x/books",
    "port": "postgresql://me:hush-5ecret@db.example:port/books",
    "look-alike": "postgresql://me:hush-5ecr℀t@db.example/books",
    "at": "postgresql://me:first-part@hush-5ecret@127.0.0.1/books",
    "slash": "postgresql://me:first-part/hush-5ecret@127.0.0.1/books",
    "question mark": "postgresql://me:first-part?hush-5ecret@127.0.0.1/books",
    "number sign": "postgresql://me:first-part#hush-5ecret@127.0.0.1/books",
}


@pytest.mark.parametrize(("command", "in_a_file"), [("status", False), ("check", True)])
@pytest.mark.parametrize("url", UNREADABLE.values(), ids=UNREADABLE)
def test_a_malformed_address_is_refused_and_nothing_of_it_is_said(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str, command: str, in_a_file: bool
) -> None:
    if in_a_file:
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", url)

    result = cli(command, f"--destination={'postgres' if in_a_file else url}", SOME)

    said = result.err + result.out
    place = "destination.postgres.credentials" if in_a_file else "--destination"
    assert (result.code, [place in line for line in result.err.splitlines()]) == (2, [True]), said
    assert [part for part in ("hush", "5ecr", "first-part", "db.example") if part in said] == []


def test_a_file_that_is_not_a_database_is_reported(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "taken.duckdb").write_bytes(b"not a database")

    result = cli("check", f"--destination=duckdb:{tmp_path / 'taken.duckdb'}", SOME, "--json")

    assert (result.code, states(result)["destination"]) == (1, ["failed"])


def test_postgres_can_be_written_and_is_left_as_it_was(cli: Cli, postgres: str) -> None:
    import psycopg2

    result = cli("check", f"--destination={postgres}", SOME, "--json")

    assert (result.code, states(result)["destination"]) == (0, ["ok"])
    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'exact_online'")
        assert cursor.fetchone() == (0,)


def test_people_get_a_line_for_each_check(cli: Cli) -> None:
    cli.world.box.deny(cli.world.division, "financial/Journals")

    result = cli("check", cli.destination, SOME)

    lines = [line.split()[:2] for line in result.out.splitlines()]
    assert lines == [
        ["ok", "settings"],
        ["ok", "tokens"],
        ["ok", "connection"],
        ["ok", "divisions"],
        ["warning", "rights"],
        ["ok", "rights"],
        ["skipped", "rights"],
        ["ok", "destination"],
    ]
    assert "\x1b" not in result.out
    more = cli("check", cli.destination, f"{SOME},items")
    assert "all of the other 2 entities" in more.out


def test_unknown_entities_do_not_hide_the_rest(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli()

    result = cli("check", cli.destination, "--entities=acounts", "--json")

    assert result.code == 2
    assert "accounts" in found(result, "options", "failed")["remedy"]
    assert states(result)["divisions"] == ["ok"]


def test_a_day_that_is_used_up_is_no_failure_and_says_until_when(cli: Cli) -> None:
    for division in cli.world.box.divisions:
        cli.world.box.consume(division, 5000)

    result = cli("check", cli.destination, SOME, "--json")

    failed = [check for check in result.json["checks"] if check["state"] == "failed"]
    assert (result.code, result.json["exit_code"]) == (3, 3)
    assert [check["code"] for check in failed] == ["limit"]
    assert failed[0]["resumes_at"] > cli.world.clock.now()
    assert failed[0]["remedy"].startswith("check again after ")
    assert [line[:24] for line in result.err.splitlines()] == ["error: divisions: divisi"]


@pytest.mark.parametrize(
    "chosen", [["--divisions={name}*"], ["--exclude-divisions={other}"]], ids=["name", "without"]
)
def test_companies_are_chosen_as_a_sync_chooses_them(cli: Cli, chosen: list[str]) -> None:
    world = cli.world
    names = {row["Code"]: row["Description"] for row in world.box.rows("system/Divisions", 0)}
    values = {"name": names[world.division][:-1].upper(), "other": names[world.other]}
    options = [option.format(**values) for option in chosen]

    with world.watch() as calls:
        result = cli("check", cli.destination, SOME, "--all-divisions", "--json", *options)

    assert (result.code, states(result)["rights"]) == (0, ["ok", "ok"])
    assert str(world.other) not in result.out
    assert {c.division for c in calls.to("users/UserHasRights")} == {world.division}


def test_a_name_of_no_company_is_a_wrong_setting(cli: Cli) -> None:
    result = cli("check", cli.destination, SOME, "--divisions=Nobody*", "--json")

    assert (result.code, states(result)["divisions"]) == (2, ["failed"])
    assert "Nobody*" in found(result, "divisions", "failed")["found"]


def test_rights_name_the_company(cli: Cli) -> None:
    world = cli.world
    world.box.deny(world.division, "sync/CRM/Accounts")
    rows = world.box.rows("system/Divisions", 0)
    name = next(row["Description"] for row in rows if row["Code"] == world.division)

    result = cli("check", cli.destination, SOME, "--json")

    assert f"{world.division} {name}" in found(result, "rights", "warning")["found"]
    assert f"{world.division} {name}" in found(result, "rights", "ok")["found"]


def test_a_missing_extension_of_duckdb_is_found(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TABLE_FORMAT", "delta")
    without_extensions(monkeypatch, cli.world.folder)

    result = cli("check", f"--destination=filesystem:{cli.world.folder / 'lake'}", SOME, "--json")

    assert result.code == 2
    assert "INSTALL delta" in found(result, "destination", "failed")["remedy"]
