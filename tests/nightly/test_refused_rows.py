"""What a person reads if a real server refuses a row; no value of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg2
import pytest

from tests.nightly.test_destination_stories import PREPARE, REQUIREMENTS, ROOT
from tests.support import mariadb
from tests.support.cli_fixtures import Cli
from tests.support.environments import environment

pytestmark = pytest.mark.nightly
SOME = "--entities=accounts"
ACCOUNTS = "sync/CRM/Accounts"
NAME = "Vermogensbeheer 😀"


def rename(cli: Cli) -> None:
    world = cli.world
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": NAME})
    world.clock.sandbox.advance(700)


def test_postgres_quotes_the_whole_row(cli: Cli, postgres: str) -> None:
    where = f"--destination={postgres}"
    assert cli("sync", where, SOME).code == 0
    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE exact_online.accounts ADD CHECK (name NOT LIKE 'Vermogensbeheer%')"
        )
    rename(cli)

    refused = cli("sync", where, SOME, "-vv")

    assert refused.code == 1
    assert "table accounts: psycopg2.errors.CheckViolation (23514)" in refused.err
    assert "Vermogensbeheer" not in refused.err + refused.out


def test_a_mariadb_without_utf8mb4(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver is in the environment of the stories."""
    python = environment("lakes", REQUIREMENTS, prepare=PREPARE)
    url = mariadb.mariadb_url()
    make = f"""
import sqlalchemy
with sqlalchemy.create_engine({url!r}).begin() as connection:
    connection.exec_driver_sql("CREATE DATABASE exact_online CHARACTER SET latin1")
"""
    made = run([python, "-c", make])
    assert made.returncode == 0, made.stderr
    rename(cli)

    monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", f"{url}exact_online")
    refused = run([python, "-m", "exact_source", "sync", "--destination=sqlalchemy", SOME, "-vv"])

    assert refused.returncode == 1, refused.stderr
    assert "pymysql.err.DataError (1366)" in refused.stderr, refused.stderr
    assert "utf8mb4" in refused.stderr
    assert "Vermogensbeheer" not in refused.stderr + refused.stdout


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250
    )
