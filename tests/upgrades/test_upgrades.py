"""What an earlier version left behind goes on with this one; ``write_state.py`` made the archives."""

from __future__ import annotations

import json
import shutil
import tarfile
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import pytest

from exact_source.auth import FileTokenStorage
from exact_source.cli.app import run
from exact_source.sandbox import Sandbox, SandboxClock
from exact_source.sandbox.data.store import Table
from tests.support.destinations import FROM, TO, states
from tests.support.isolation import forget_settings
from tests.support.world import World, make_box

FOLDER = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))
VERSIONS = [name for name in NAMES if "-" not in name]
WITH_STATES = [name for name in NAMES if name.endswith("-states")]
MARKS = ("/PROJECT", "http://127.0.0.1:1")
ENTITIES = (
    "accounts",
    "deleted",
    "divisions",
    "financial_periods",
    "journals",
    "receivables",
    "transaction_lines",
    "sync_transaction_lines",
)
LINES = "sync/Financial/TransactionLines"
HOUR_S = 3600.0


@dataclass
class Earlier:
    """The folders that an earlier version left, and the company that it had read."""

    world: World
    project: Path
    home: Path

    def __call__(self, *arguments: str) -> int:
        forget_settings()
        return int(run(arguments, self.world.clock))

    def sync(self) -> int:
        return self("sync", "--entities", ",".join(ENTITIES))

    @property
    def refreshes(self) -> list[int]:
        """Statuses of the replies to refresh tokens."""
        requests = self.world.box.token_requests
        return [r.status for r in requests if r.grant_type == "refresh_token"]

    def since(self, moment: float) -> dict[str, int]:
        """Rows that each entity has read in syncs since a moment."""
        read: dict[str, int] = {}
        for row in self.world.outcomes():
            if row["started_at"].timestamp() > moment and row["rows"]:
                read[row["entity"]] = read.get(row["entity"], 0) + row["rows"]
        return read


@pytest.fixture(params=VERSIONS)
def earlier(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    project, home = tmp_path / "project", tmp_path / "home"
    with tarfile.open(FOLDER / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    company = json.loads((tmp_path / "company.json").read_text(), object_hook=as_moment)
    box = make_box(
        invoices=2,
        large_page_size=3,
        clock=SandboxClock(datetime.fromtimestamp(company["now"], UTC), frozen=True),
    )
    secrets = tomllib.loads((project / ".dlt" / "secrets.toml").read_text())
    key = secrets["sources"]["exact_online"].get("token_key")
    restore(box, company, FileTokenStorage(project / ".dlt" / "exact_online_tokens.json", key=key))
    with ExitStack() as stack:
        base_url = stack.enter_context(box.serve())
        for path in (*home.rglob("*.json"), *project.rglob("*.toml")):
            text = path.read_text()
            for mark, place in zip(MARKS, (str(project), base_url), strict=True):
                text = text.replace(mark, place)
            path.write_text(text)
        monkeypatch.chdir(project)
        monkeypatch.delenv("DLT_PROJECT_DIR")
        world = World(box, base_url, tmp_path / "reader")
        database = dlt.destinations.duckdb(str(project / "exact.duckdb"))
        world.pipeline = world.new_pipeline(destination=database)
        world.clock.sandbox.advance(HOUR_S)
        yield Earlier(world, project, home)


def as_moment(document: dict[str, Any]) -> Any:
    return datetime.fromisoformat(document["datetime"]) if "datetime" in document else document


def restore(box: Sandbox, company: dict[str, Any], storage: FileTokenStorage) -> None:
    """Give the sandbox the rows that the earlier one had, and the login whose tokens are stored."""
    store, oauth = box.state.store, box.state.oauth
    for home, entity, rows in company["tables"]:
        store._tables[home, entity] = Table(store.catalogue.entities[entity].key, rows)
    store._common.last = company["last_version"]
    tokens, connection = storage.get_tokens(), oauth.new_connection("of the earlier version")
    assert tokens is not None
    assert tokens.received_at is not None
    connection.refresh_token, connection.issued_at = tokens.refresh_token, tokens.received_at
    oauth._refresh_tokens[tokens.refresh_token] = connection
    oauth._last_token_at[connection.user] = connection.issued_at


@pytest.mark.parametrize(
    "lost",
    [False, pytest.param(True, marks=pytest.mark.nightly)],
    ids=["same host", "another host"],
)
def test_the_next_sync_reads_only_what_changed(earlier: Earlier, *, lost: bool) -> None:
    """It goes on in the middle of an entity, and refreshes the tokens of the file."""
    world, began = earlier.world, earlier.world.box.clock.now()
    if lost:
        shutil.rmtree(earlier.home / ".dlt")
    changed = world.keys("crm/Accounts")[1]
    world.box.update("crm/Accounts", world.division, changed, {"Name": "After the upgrade"})
    read = len(world.table("sync_transaction_lines"))
    lines = sum(len(world.box.rows(LINES, division)) for division in world.box.divisions)
    assert 0 < read < lines

    with world.watch() as calls:
        assert earlier.sync() == 0
    after_upgrade = earlier.since(began)
    again = world.box.clock.now()
    assert earlier.sync() == 0

    for entity in set(ENTITIES) - {"divisions", "deleted"}:
        world.assert_equal(entity)
    # A list without a cursor costs one call in any case; its mark is calculated in another way since.
    lists = {"divisions", "deleted", "receivables"}
    incremental = {name: rows for name, rows in after_upgrade.items() if name not in lists}
    assert incremental == {"accounts": 1, "sync_transaction_lines": lines - read}
    assert len(calls.to("bulk/Cashflow/Receivables")) == len(world.box.divisions)
    assert earlier.since(again).keys() <= {"divisions", "deleted"}
    assert "$skiptoken" in calls.to(LINES, world.division)[0].query
    assert earlier.refreshes == [200]
    named: dict[bool, set[str | None]] = {True: set(), False: set()}
    for row in world.outcomes():
        if row["division"]:
            named[row["started_at"].timestamp() > began].add(row["division_name"])
    companies = {row["Description"] for row in world.box.rows("system/Divisions", 0)}
    assert named == {False: {None}, True: companies}


@pytest.mark.parametrize("earlier", WITH_STATES, indirect=True)
def test_states_and_marked_deletions_continue_and_encrypted_tokens_are_read(
    earlier: Earlier,
) -> None:
    world, began = earlier.world, earlier.world.box.clock.now()
    before = states(world, "accounts")
    renamed, other = world.keys("crm/Accounts")[:2]
    assert [row["name"] for row in states(world, "accounts", renamed)][1:] == ["Before the upgrade"]
    world.box.update("crm/Accounts", world.division, other, {"Name": "After the upgrade"})

    words = ["sync", "--entities", "accounts", "--history", "accounts", "--deletes", "soft"]
    assert earlier(*words) == 0

    assert earlier.since(began) == {"accounts": 1}
    assert len(states(world, "accounts")) == len(before) + 1
    earlier_state, state = states(world, "accounts", other)
    assert (state["name"], state[TO]) == ("After the upgrade", None)
    assert earlier_state[TO] == state[FROM]
    assert len([row for row in world.table("accounts") if row["_deleted_at"]]) == 1
    assert earlier.refreshes == [200]


def test_commands_read_what_the_earlier_version_wrote(earlier: Earlier) -> None:
    assert earlier("status") == 0
    assert earlier("tokens") == 0
    assert earlier("check") == 0


def test_a_downgrade_is_refused_before_the_first_call(
    earlier: Earlier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = earlier.world
    with monkeypatch.context() as later:
        later.setattr("exact_source.loading.state.__version__", "9.4.0")
        assert earlier.sync() == 0
    capsys.readouterr()

    with world.watch() as calls:
        code = earlier.sync()

    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error:" in text]
    assert code == 2
    assert "9.4.0" in line
    assert calls.all == []
    with monkeypatch.context() as same:
        same.setattr("exact_source.loading.state.__version__", "9.4.7")
        assert earlier.sync() == 0
