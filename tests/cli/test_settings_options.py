"""Settings are the defaults of the options of ``sync``, ``plan`` and ``check``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.cli.settings_names import KNOWN, check_section, check_variables
from exact_source.errors import ConfigurationError
from tests.support.cli_fixtures import Cli
from tests.support.isolation import forget_settings
from tests.support.world import feed_path

ACCOUNTS = feed_path("accounts")
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture
def project() -> Path:
    """The project folder, in which dlt looks for settings."""
    return Path.cwd()


def write(project: Path, lines: str, file: str = "config.toml") -> None:
    text = f"[sources.exact_online]\n{lines}\n"
    (project / ".dlt").mkdir(exist_ok=True)
    (project / ".dlt" / file).write_text(text, "utf-8")
    forget_settings()


def tables(cli: Cli) -> dict[str, int]:
    with duckdb.connect(str(cli.world.folder / "exact.duckdb"), read_only=True) as database:
        names = [name for (name,) in database.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'exact_online' AND table_name NOT LIKE '\\_%' ESCAPE '\\'"
        ).fetchall()]  # fmt: skip
        return {
            name: database.sql(f"SELECT count(*) FROM exact_online.{name}").fetchall()[0][0]
            for name in names
        }


def test_a_soft_deletion_that_the_settings_ask_for_keeps_the_row(cli: Cli, project: Path) -> None:
    write(project, 'deletes = "soft"\nentities = ["accounts"]')
    assert cli("sync", cli.destination).code == 0
    before = tables(cli)
    box, division = cli.world.box, cli.world.division
    box.delete(ACCOUNTS, division, cli.world.keys(ACCOUNTS)[0])

    assert cli("sync", cli.destination).code == 0

    assert tables(cli) == before
    assert set(before) == {"accounts"}


@pytest.mark.parametrize("where", ["file", "environment"])
def test_entities_and_divisions_come_from_the_settings(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    division = cli.world.box.divisions[1]
    if where == "file":
        write(project, f'entities = ["accounts", "journals"]\ndivisions = [{division}]')
    else:
        monkeypatch.setenv("SOURCES__EXACT_ONLINE__ENTITIES", "accounts,journals")
        monkeypatch.setenv("SOURCES__EXACT_ONLINE__DIVISIONS", str(division))

    with cli.world.watch() as calls:
        assert cli("sync", cli.destination).code == 0

    assert set(tables(cli)) == {"accounts", "journals"}
    assert {c.division for c in calls.to(ACCOUNTS)} == {division}


def test_an_option_overrides_its_setting(cli: Cli, project: Path) -> None:
    write(project, 'entities = ["accounts"]\nmax_calls = 1')

    assert cli("sync", cli.destination, "--entities=journals", "--max-calls=100").code == 0

    assert set(tables(cli)) == {"journals"}


def test_calls_are_kept_for_others_as_the_settings_say(cli: Cli, project: Path) -> None:
    write(project, 'reserve_calls = 4999\nentities = ["accounts"]')
    assert cli("sync", cli.destination).code == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_calls", '"many"'), ("reserve_calls", "-1"), ("raw_codes", '"perhaps"'),
        ("reconcile_days", '"often"'), ("deletes", '"none"'), ("entities", '["acounts"]'),
        ("route", '"fastest"'), ("start_date", '"soon"'), ("change_log", '"maybe"'),
        ("change_log", "3"), ("change_log", '"yes"'), ("max_calls", "0"), ("contract_cap", "0"),
        ("reconcile_days", "-1"), ("reconcile_days", "nan"), ("round_minutes", "0"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_before_the_first_call(
    cli: Cli, project: Path, name: str, value: Any
) -> None:
    write(project, f"{name} = {value}")

    with cli.world.watch() as calls:
        result = cli("sync", cli.destination)

    assert (result.code, calls.statuses()) == (2, [])
    assert [name.replace("_", "") in line.replace("_", "") for line in result.err.splitlines()] == [
        True
    ]
    assert not (cli.world.folder / "exact.duckdb").exists()


@pytest.mark.parametrize("command", ["sync", "plan", "check"])
@pytest.mark.parametrize("where", ["config.toml", "secrets.toml", "environment"])
def test_a_wrong_setting_is_named_with_its_place(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, command: str, where: str
) -> None:
    variable = "SOURCES__EXACT_ONLINE__CHANGE_LOG"
    if where == "environment":
        monkeypatch.setenv(variable, "maybe")
    else:
        write(project, 'change_log = "maybe"', where)

    result = cli(command, cli.destination)

    assert (result.code, cli.world.box.requests) == (2, [])
    line = result.err.splitlines()[-1]
    assert "sources.exact_online.change_log" in line
    places = {"config.toml", "secrets.toml", variable}
    assert {p for p in places if p in line} == {variable if where == "environment" else where}


def test_a_count_of_the_environment_is_corrected_there(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__RESERVE_CALLS", "abc")

    result = cli("sync", cli.destination)

    assert result.code == 2
    assert "SOURCES__EXACT_ONLINE__RESERVE_CALLS" in result.err
    assert "config.toml" not in result.err


@pytest.mark.parametrize("where", ["file", "environment", "option", "nowhere"])
def test_inf_days_switch_off_comparisons_of_keys(
    make_cli: Callable[..., Cli], project: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    cli = make_cli(companies=1, page_size=1)
    path = feed_path("journals")
    sync = ["sync", cli.destination, "--entities=journals"]
    assert cli(*sync).code == 0
    rows = tables(cli)["journals"]
    cli.world.box.delete(path, cli.world.division, cli.world.keys(path)[0])
    cli.world.clock.sandbox.advance(8 * 86_400)
    cli.world.login()
    if where == "file":
        write(project, "reconcile_days = inf")
    if where == "environment":
        monkeypatch.setenv("SOURCES__EXACT_ONLINE__RECONCILE_DAYS", "inf")

    assert cli(*sync, *(["--reconcile-days=inf"] if where == "option" else [])).code == 0

    assert tables(cli)["journals"] == rows - (where == "nowhere")


def test_a_plan_counts_what_the_settings_choose(cli: Cli, project: Path) -> None:
    write(project, 'entities = ["accounts"]\nroute = {accounts = "regular"}')

    with cli.world.watch() as calls:
        assert cli("plan", cli.destination).code == 0

    assert calls.to(feed_path("accounts", "regular"))
    assert not calls.to(ACCOUNTS) + calls.to(feed_path("journals"))


def test_a_check_looks_at_what_the_settings_choose(cli: Cli, project: Path) -> None:
    first, second = cli.world.box.divisions
    write(project, f'entities = ["accounts"]\nexclude_divisions = [{first}]')

    with cli.world.watch() as calls:
        assert cli("check", cli.destination, "--all-divisions").code == 0

    asked = calls.to("users/UserHasRights")
    assert [(c.division, "CRM/Accounts" in c.query["endpoint"]) for c in asked] == [(second, True)]


@pytest.mark.parametrize("command", ["sync", "plan", "check", "status", "divisions", "tokens"])
def test_a_misspelt_setting_ends_a_command_before_the_first_call(
    cli: Cli, project: Path, command: str
) -> None:
    write(project, 'delets = "soft"')

    result = cli(command)

    assert (result.code, result.out, cli.world.box.requests) == (2, "", [])
    (line,) = result.err.splitlines()
    assert str(project / ".dlt" / "config.toml") in line
    assert "delets" in line
    assert "deletes" in line


def test_a_misspelt_variable_ends_a_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__DELETS", "soft")

    result = cli("status")

    assert result.code == 2
    assert "SOURCES__EXACT_ONLINE__DELETS" in result.err
    assert "SOURCES__EXACT_ONLINE__DELETES" in result.err


@pytest.mark.parametrize(
    ("lines", "remedy"),
    [
        ("[a]\nb = 1\n[a]\nc = 2", "section"),
        ("b = 1\nb = 2", "setting"),
        ("b = secret", "quotes"),
    ],
)
def test_a_remedy_for_a_broken_file_does_not_quote_it(
    cli: Cli, project: Path, lines: str, remedy: str
) -> None:
    (project / ".dlt").mkdir(exist_ok=True)
    (project / ".dlt" / "config.toml").write_text(lines, "utf-8")
    result = cli("plan")

    assert result.code == 2
    assert remedy in result.err
    assert "secret" not in result.err


def test_a_value_of_an_unknown_setting_is_not_shown(cli: Cli, project: Path) -> None:
    write(project, 'client_secrets = "do-not-show"')

    assert "do-not-show" not in cli("status").err


def test_every_documented_setting_is_known() -> None:
    table = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
    documented = set(table.findall(PAGE.read_text("utf-8")))

    assert set(KNOWN) - {"clock"} == documented


@pytest.mark.parametrize(
    "name", ["exact_online", "extract", "normalize", "load", "schema", "data_writer", "credentials"]
)
def test_subtables_of_dlt_and_of_resources_are_accepted(name: str) -> None:
    names = [name, *load_catalogue().entities]
    section = {"exact_online": {each: {"workers": 1} for each in names}}

    check_section("config.toml", {"sources": section})
    check_variables([f"SOURCES__EXACT_ONLINE__{each.upper()}__WORKERS" for each in names])
    check_variables(["PATH", "SOURCES__OTHER__DELETS", "DESTINATION__POSTGRES__CREDENTIALS"])


def test_a_misspelt_subtable_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"paramters .*did you mean parameters"):
        check_section("c", {"sources": {"exact_online": {"paramters": {"years": [2024]}}}})


@pytest.mark.parametrize("document", [{}, {"sources": 1}, {"sources": {"exact_online": "x"}}])
def test_a_file_without_our_section_is_accepted(document: dict[str, Any]) -> None:
    check_section("config.toml", document)


@pytest.mark.parametrize("name", ["sources.exact", "source.exact_online", "exact_online"])
def test_the_app_in_a_section_that_nothing_reads_is_refused(name: str) -> None:
    document: dict[str, Any] = {"client_id": "hush"}
    for part in reversed(name.split(".")):
        document = {part: document}
    with pytest.raises(ConfigurationError, match=rf"\[{name}\].*\[sources.exact_online\]") as told:
        check_section("secrets.toml", document)
    assert "hush" not in str(told.value)


def test_the_apps_of_other_sources_and_of_pipelines_are_accepted() -> None:
    app = {"client_id": "x"}
    check_section("secrets.toml", {"sources": {"hubspot": app}})
    check_section("secrets.toml", {"exact_online": {"sources": {"exact_online": app}}})
    check_section("secrets.toml", {"sources": {"exact": app, "exact_online": app}})


def test_a_history_of_the_settings_may_name_entities_of_other_syncs(
    cli: Cli, project: Path
) -> None:
    write(project, 'history = ["accounts", "journals"]')
    assert cli("sync", cli.destination, "--entities=journals").code == 0
    assert "accounts_history" not in tables(cli)


def test_a_history_of_an_entity_that_is_not_read_is_refused_before_any_call(cli: Cli) -> None:
    with cli.world.watch() as calls:
        result = cli("sync", cli.destination, "--entities=journals", "--history=accounts")
    assert (result.code, len(calls)) == (2, 0)
    assert "accounts" in result.err


WRONG_FOR_A_SYNC = [
    'hash_columns = ["accounts.email"]', 'start_date = "foo"', 'deletes = "hrd"', 'history = ["acounts"]',
    'strict = "maybe"', "leases = true", 'max_calls = "abc"', 'reserve_calls = "many"',
    'contract_cap = "x"', 'route = "blk"', 'round_minutes = "five"', 'reconcile_days = "week"',
    'utc_instants = "perhaps"', 'trust_empty = ["foo"]', 'exclude_columns = ["accounts.nme"]',
]  # fmt: skip


@pytest.mark.parametrize("line", WRONG_FOR_A_SYNC)
def test_what_a_sync_would_refuse_is_refused_by_check_and_plan(
    cli: Cli, project: Path, line: str
) -> None:
    write(project, line)

    for command in ("check", "plan", "sync"):
        result = cli(command, cli.destination, "--entities=accounts")
        assert (result.code, line.partition(" ")[0] in result.err) == (2, True), command
        assert len(result.err.splitlines()) == 1
    assert cli.world.box.requests == []
