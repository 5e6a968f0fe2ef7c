"""``exact-source sync`` into SQLite and into Delta files: the first load, then a change and a deletion."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.nightly.test_destination_stories import PREPARE, REQUIREMENTS, ROOT
from tests.support.cli_fixtures import Cli
from tests.support.environments import environment

pytestmark = pytest.mark.nightly
ACCOUNTS = "sync/CRM/Accounts"
# Kind -> option, settings, and a program that prints the stored keys and names as JSON.
SQLITE = """
import json, sqlite3
books = sqlite3.connect("{folder}/exact__exact_online.db")  # dlt makes a file for each dataset
found = books.execute("SELECT id, name FROM accounts").fetchall()
print(json.dumps(found))
"""
# It ends at once: threads of Arrow and deltalake sometimes abort the process while Python ends.
DELTA = """
import json, os, deltalake
table = deltalake.DeltaTable("{folder}/lake/exact_online/accounts").to_pyarrow_table(columns=["id", "name"])
print(json.dumps([list(row.values()) for row in table.to_pylist()]), flush=True)
os._exit(0)
"""
KINDS: dict[str, tuple[str, dict[str, str], str]] = {
    "sqlite": (
        "--destination=sqlalchemy",
        {"DESTINATION__SQLALCHEMY__CREDENTIALS": "sqlite:///{folder}/exact.db"},
        SQLITE,
    ),
    "delta": (
        "--destination=filesystem:{folder}/lake",
        {"SOURCES__EXACT_ONLINE__TABLE_FORMAT": "delta"},
        DELTA,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sync_by_the_command(kind: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    option, variables, look = KINDS[kind]
    world, folder = cli.world, cli.world.folder
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder=folder))
    python = environment("lakes", REQUIREMENTS, prepare=PREPARE)
    monkeypatch.setenv("HOME", str(python.parents[1] / "home"))  # with the extensions of DuckDB

    def sync() -> list[Any]:
        words = ("sync", option.format(folder=folder), "--entities=accounts")
        run(python, "-m", "exact_source", *words)
        return sorted(json.loads(run(python, "-c", look.format(folder=folder))))

    def wanted() -> list[Any]:
        rows = (row for d in world.box.divisions for row in world.box.rows(ACCOUNTS, d))
        return sorted([str(row["ID"]).lower(), row["Name"]] for row in rows)

    assert sync() == wanted()
    keys = world.keys(ACCOUNTS)
    world.clock.sandbox.advance(700)  # a deletion during the first read causes another
    world.box.update(ACCOUNTS, world.division, keys[0], {"Name": "Renamed"})
    world.box.delete(ACCOUNTS, world.division, keys[1])
    with world.watch() as calls:
        assert sync() == wanted()
    assert not [c for c in calls.to(ACCOUNTS) if "gt 1L" in c.query.get("$filter", "gt 1L")]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
