"""Writes what an earlier version leaves behind: settings, tokens, working folder, DuckDB file.

It runs with the code of that version, so that nothing here guesses what it wrote. 0.1.0 has no tag: d6352c1
has that version and is the last commit before the modules were moved for 0.2.0:

    git archive d6352c1 | tar -x -C EARLIER
    cd EARLIER && PYTHONPATH=. python PROJECT/tests/upgrades/write_state.py 0.1.0.tar.xz
    cd EARLIER && PYTHONPATH=. python PROJECT/tests/upgrades/write_state.py 0.1.0-states.tar.xz states

Two companies are synced, changed and synced again; then the day's calls end while a third entity is
read. With ``states``, one entity is synced with history, marked deletions and encrypted tokens. The rows
that the sandbox held are kept beside it, because later sandboxes make other rows.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import tempfile
from contextlib import chdir
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

OUTPUT = Path(sys.argv[1]).absolute()
WITH_STATES = "states" in sys.argv[2:]
FOLDER = Path(tempfile.mkdtemp())
HOME, PROJECT = FOLDER / "home", FOLDER / "project"
os.environ |= {
    "HOME": str(HOME),
    "DLT_DATA_DIR": str(HOME / ".dlt"),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
}

ENTITIES = "accounts,deleted,divisions,financial_periods,journals,receivables,transaction_lines"
# What the files name instead of the places of the day.
PROJECT_MARK, SITE_MARK = "/PROJECT", "http://127.0.0.1:1"
WORKING_FOLDER = "home/.dlt/pipelines/exact_online"
KEPT = (
    f"{WORKING_FOLDER}/state.json",
    f"{WORKING_FOLDER}/schemas/",
    "project/.dlt/config.toml",
    "project/.dlt/secrets.toml",
    "project/.dlt/exact_online_tokens.json",
    "project/exact.duckdb",
)


def main() -> None:
    """Sync three times, and pack what is there then."""
    HOME.mkdir()
    (PROJECT / ".dlt").mkdir(parents=True)
    is_restructured = Path("tests/support").is_dir()
    kit: Any = import_module("tests.support.world" if is_restructured else "tests.world")
    box = kit.make_box(companies=2, invoices=2, large_page_size=3, sync_order="Timestamp")
    with box.serve() as base_url, chdir(PROJECT):
        world = kit.World(box, base_url, PROJECT / ".dlt")
        (PROJECT / ".dlt" / "tokens.json").rename(PROJECT / ".dlt" / "exact_online_tokens.json")
        write_settings(box, base_url)
        if WITH_STATES:
            encrypt_tokens()
            sync_with_states(world)
        else:
            sync_and_change(world)
        pack(box, world.clock.sandbox.now(), base_url)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size:,} bytes")  # noqa: T201 (a script)


def write_settings(box: Any, base_url: str) -> None:
    """As ``init`` does; the site of the sandbox is added."""
    from exact_source.cli.app import run

    app = ["--client-id", box.client_id, "--client-secret", box.client_secret]
    init = ["init", *app, "--redirect-uri", "https://books.example/", "--region", "nl"]
    assert run([*init, "--destination", "duckdb:exact.duckdb", "--no-login", "--no-check"]) == 0
    config, region = PROJECT / ".dlt" / "config.toml", 'region = "nl"\n'
    assert region in config.read_text()
    config.write_text(config.read_text().replace(region, f'{region}base_url = "{base_url}"\n'))
    os.environ["SOURCES__EXACT_ONLINE__BASE_URL"] = base_url  # dlt has read the file already


def sync_and_change(world: Any) -> None:
    """Three syncs; the last one ends in the middle of an entity."""
    from exact_source.cli.app import run

    def sync(entities: str) -> int:
        world.clock.sandbox.advance(120)
        return int(run(["sync", "--entities", entities], world.clock))

    box, lines = world.box, "financialtransaction/TransactionLines"
    assert sync(ENTITIES) == 0
    first = world.keys("crm/Accounts")[0]
    box.update("crm/Accounts", world.division, first, {"Name": "Before the upgrade"})
    box.delete(lines, world.division, world.keys(lines)[0])
    assert sync(ENTITIES) == 0
    box.state.limits.daily_limit = 50
    for division in box.divisions:
        box.consume(division, 50 - 2 - used(box, division))
    assert sync("sync_transaction_lines") == 3


def encrypt_tokens() -> None:
    """Add a key to the settings; the next refresh encrypts the file."""
    from cryptography.fernet import Fernet

    secrets, key = PROJECT / ".dlt" / "secrets.toml", Fernet.generate_key().decode()
    secrets.write_text(f'{secrets.read_text()}token_key = "{key}"\n')
    os.environ["SOURCES__EXACT_ONLINE__TOKEN_KEY"] = key


def sync_with_states(world: Any) -> None:
    """Three syncs, with a changed and a deleted row before the second one."""
    from exact_source.cli.app import run

    def sync() -> None:
        world.clock.sandbox.advance(601)
        words = ["sync", "--entities", "accounts", "--history", "accounts", "--deletes", "soft"]
        assert run(words, world.clock) == 0

    sync()
    changed, deleted = world.keys("crm/Accounts")[:2]
    world.box.update("crm/Accounts", world.division, changed, {"Name": "Before the upgrade"})
    world.box.delete("crm/Accounts", world.division, deleted)
    sync()
    sync()


def used(box: Any, division: int) -> int:
    """Calls of the day so far."""
    return sum(1 for call in box.requests if call.division == division)


def pack(box: Any, now: float, base_url: str) -> None:
    """Write the archive; places of this computer are replaced in it."""
    store = box.state.store
    company = {
        "now": now,
        "last_version": store._common.last,
        "tables": [
            [home, entity, list(table.rows.values())]
            for (home, entity), table in store._tables.items()
        ],
    }
    with tarfile.open(OUTPUT, "w:xz", preset=9) as archive:
        for path in sorted(p for p in FOLDER.rglob("*") if p.is_file()):
            name = str(path.relative_to(FOLDER))
            if not name.startswith(KEPT):
                continue
            content = path.read_bytes()
            if path.suffix != ".duckdb":
                text = content.decode().replace(str(PROJECT), PROJECT_MARK)
                content = text.replace(base_url, SITE_MARK).encode()
            add(archive, name, content)
        add(archive, "company.json", json.dumps(company, default=as_json).encode())


def as_json(value: Any) -> Any:
    """A moment, which is the only value of the sandbox that JSON lacks."""
    assert isinstance(value, datetime)
    return {"datetime": value.isoformat()}


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file without an owner or a date."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


main()
