"""Settings are the defaults of the options of ``sync`` and ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import forget_settings
from tests.support.cli_fixtures import Cli, cli, make_cli
from tests.support.world import feed_path

__all__ = ["cli", "make_cli"]
ACCOUNTS = feed_path("accounts")


@pytest.fixture
def project() -> Path:
    """The project folder, in which dlt looks for settings."""
    return Path.cwd()


def write(project: Path, lines: str) -> None:
    text = f"[sources.exact_online]\n{lines}\n"
    (project / ".dlt").mkdir(exist_ok=True)
    (project / ".dlt" / "config.toml").write_text(text, "utf-8")
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
        ("route", '"fastest"'), ("start_date", '"soon"'),
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


def test_a_plan_counts_what_the_settings_choose(cli: Cli, project: Path) -> None:
    write(project, 'entities = ["accounts"]\nroute = {accounts = "regular"}')

    with cli.world.watch() as calls:
        assert cli("plan", cli.destination).code == 0

    assert calls.to(feed_path("accounts", "regular"))
    assert not calls.to(ACCOUNTS) + calls.to(feed_path("journals"))
