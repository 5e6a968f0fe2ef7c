"""``start_by="timestamp"``: a first read begins where Exact says that a date begins; nothing stored goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exact_source import exact_online
from exact_source.source import run_of
from tests.support.cli_fixtures import Cli
from tests.support.start_versions import ASKED, BY_TIMESTAMP, ENTITY, PATH, START, age, began_at
from tests.support.world import World, digits


def test_a_row_that_comes_from_elsewhere_while_the_first_read_is_under_way_is_deleted(
    aged: World,
) -> None:
    """Such as from a backup; the table has more rows than were loaded, so all are read."""
    aged.box.touch(PATH, aged.division, aged.keys(PATH)[:13], modified=digits("2026-02-04"))
    aged.one_round(ENTITY, max_pages=1, **BY_TIMESTAMP)
    table = f"{aged.dataset}.{ENTITY}"
    aged.sql(
        f"INSERT INTO {table} SELECT * REPLACE ('other' AS id, TIMESTAMPTZ '2026-01-01' AS _synced_at)"
        f" FROM {table} LIMIT 1"
    )
    outcome = aged.sync(ENTITY, **BY_TIMESTAMP)

    assert outcome.exit_code == 0
    assert {r.deleted for r in outcome.results} == {1}
    assert "other" not in {row["id"] for row in aged.table(ENTITY)}


# -- what people type ------------------------------------------------------------------------------

OPTIONS = (f"--entities={ENTITY}", f"--start-date={START}")


@pytest.fixture
def aged_cli(make_cli: Callable[..., Cli]) -> Cli:
    cli = make_cli(companies=1)
    age(cli.world)
    return cli


def planned(cli: Cli, *options: str) -> dict[str, Any]:
    report = cli("plan", cli.destination, *OPTIONS, *options, "--json").json
    (found,) = (s for s in report["order"] if s["entity"] == ENTITY)
    return dict(found)


def test_the_plan_counts_what_a_read_from_the_version_takes(aged_cli: Cli) -> None:
    cli, world = aged_cli, aged_cli.world
    lines = len(world.keys(PATH))
    every = planned(cli)
    assert (every["rows"], every["calls"]) == (lines, 1)
    with world.watch() as calls:
        late = planned(cli, "--start-by=timestamp")
    assert (len(calls.to(ASKED)), len(calls.to(PATH))) == (1, 1)
    assert (late["rows"], late["calls"]) == (5, 2)
    (version,) = began_at(calls.to(PATH))
    number = version.removeprefix("Timestamp gt ").removesuffix("L")
    assert late["note"] == f"from Timestamp {number} on, by SyncTimestamp"

    with world.watch() as calls:
        result = cli("sync", cli.destination, *OPTIONS, "--start-by=timestamp", "--json")
    assert result.code == 0
    assert len(calls.to(ASKED) + calls.to(PATH)) == late["calls"]
    assert began_at(calls.to(PATH)) == [version]


def test_a_plan_says_that_exact_names_no_row(aged_cli: Cli) -> None:
    lines = len(aged_cli.world.keys(PATH))
    found = planned(aged_cli, "--start-date=2026-03-09", "--start-by=timestamp")
    assert found["note"] == "SyncTimestamp names no row: all are read"
    assert (found["rows"], found["calls"]) == (lines, 2)


def test_a_plan_goes_on_where_the_read_began(aged_cli: Cli) -> None:
    cli, world = aged_cli, aged_cli.world
    world.box.touch(PATH, world.division, world.keys(PATH)[:13], modified=digits("2026-02-04"))
    stopped = cli(
        "sync",
        cli.destination,
        *OPTIONS,
        "--start-by=timestamp",
        "--round-minutes=0.01",
        "--max-calls=4",
    )
    assert stopped.code == 3
    with world.watch() as calls:
        found = planned(cli, "--start-by=timestamp")
    assert calls.to(ASKED) == []
    assert (found["rows"], found["note"]) == (12, "6 rows were read before")


def test_the_settings_may_say_it(aged_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__START_BY", "timestamp")
    with aged_cli.world.watch() as calls:
        assert aged_cli("sync", aged_cli.destination, *OPTIONS).code == 0
    assert len(calls.to(ASKED)) == 1
    source = exact_online(start_date=START, token_storage=aged_cli.world.storage)
    assert run_of(source).options.start_by == "timestamp"
    refused = aged_cli("sync", aged_cli.destination, *OPTIONS, "--start-by=date")
    assert (refused.code, "use modified or timestamp" in refused.err) == (2, True)
