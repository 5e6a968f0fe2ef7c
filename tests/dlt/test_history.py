"""Earlier states of rows: what did this customer look like then?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dlt
import pytest

from exact_source.engine import page_reader as reading
from exact_source.engine import rounds
from exact_source.engine.result import StreamResult
from exact_source.errors import ConfigurationError
from exact_source.loading.session import Session
from exact_source.source import run_source
from tests.support.destinations import FROM, TO, states
from tests.support.fixtures import MakeWorld
from tests.support.tiers import variants
from tests.support.world import Row, World, feed_path


@pytest.fixture(params=variants(["duckdb", "postgres"], "duckdb"))
def anywhere(request: pytest.FixtureRequest, make_world: MakeWorld) -> World:
    world: World = make_world()
    if request.param == "postgres":
        destination = dlt.destinations.postgres(request.getfixturevalue("postgres"))
        world.pipeline = world.new_pipeline(destination=destination)
    return world


def assert_present(world: World, entity: str) -> None:
    """The states that hold now are the rows of the entity's table, and no key has two."""
    now = [row for row in states(world, entity) if row[TO] is None]
    assert set(Counter(row["_key"] for row in now).values()) <= {1}
    hidden = {"_synced_at", "_key", "_version", FROM, TO, "timestamp"}
    held = [{k: v for k, v in r.items() if k not in hidden} for r in now if not r["_deleted_at"]]
    stored = [
        {k: v for k, v in r.items() if k not in hidden}
        for r in world.table(entity)
        if not r["_deleted_at"]
    ]
    by = [k for k in ("division", "id", "code") if stored and k in stored[0]]
    assert sorted(held, key=lambda r: [str(r[k]) for k in by]) == sorted(
        stored, key=lambda r: [str(r[k]) for k in by]
    )


def test_each_state_has_the_time_in_which_it_held(anywhere: World) -> None:
    world = anywhere
    key, other = world.keys("crm/Accounts")[:2]
    for name in ("first", "second", "first"):
        world.box.update("crm/Accounts", world.division, key, {"Name": name})
        assert world.sync("accounts", history="accounts").exit_code == 0
        assert_present(world, "accounts")
    world.sync("accounts", history="accounts")

    mine = states(world, "accounts", key)
    assert [row["name"] for row in mine] == ["first", "second", "first"]
    assert [row[TO] for row in mine] == [mine[1][FROM], mine[2][FROM], None]
    assert len(states(world, "accounts", other)) == 1
    at = mine[1][FROM]
    then = [r for r in mine if r[FROM] <= at and (r[TO] is None or r[TO] > at)]
    assert [row["name"] for row in then] == ["second"]
    world.assert_equal("accounts")


def test_dlt_has_no_warning_about_a_history_that_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("dlt.common.logger.warning", lambda text, *_, **__: said.append(text))
    for name in ("first", "second"):
        world.sync("accounts", history="accounts")
        key = world.keys("crm/Accounts")[0]
        world.box.update("crm/Accounts", world.division, key, {"Name": name})

    assert states(world, "accounts")
    assert said == []


@pytest.mark.parametrize("deletes", variants(["hard", "soft"], "hard"))
def test_a_row_that_goes_and_comes_back_leaves_its_states(anywhere: World, deletes: str) -> None:
    world = anywhere
    key = world.keys("crm/Accounts")[0]
    world.sync("accounts", history="accounts", deletes=deletes)
    world.box.delete("crm/Accounts", world.division, key)
    world.sync("accounts", history="accounts", deletes=deletes)
    assert_present(world, "accounts")
    world.box.insert("crm/Accounts", world.division, {"ID": key, "Name": "back", "Code": "9"})
    world.sync("accounts", history="accounts", deletes=deletes)

    assert_present(world, "accounts")
    gone = [row["_deleted_at"] is not None for row in states(world, "accounts", key)]
    assert gone == [False, True, False]


@pytest.mark.parametrize(
    "entity", variants(["sales_invoice_lines", "journals", "divisions"], "sales_invoice_lines")
)
def test_lists_that_are_read_whole_have_states_too(world: World, entity: str) -> None:
    path = feed_path(entity)
    column = "Description"
    world.sync(entity, history=[entity])
    rows = world.box.rows(path, world.division)
    key = rows[0].get("ID", rows[0].get("Code"))
    world.box.update(path, world.division, key, {column: "changed"})
    world.sync(entity, history=[entity])

    assert_present(world, entity)
    assert len(states(world, entity)) == len(world.table(entity)) + 1


@pytest.mark.nightly
@pytest.mark.parametrize("entity", ["accounts", "sales_invoice_lines"])
def test_states_begin_with_all_rows_whenever_they_are_asked_for(world: World, entity: str) -> None:
    world.sync(entity)
    outcome = world.sync(entity, history=entity)
    assert outcome.exit_code == 0
    assert_present(world, entity)
    assert len(states(world, entity)) == len(world.table(entity))
    world.sync(entity)
    column = "Name" if entity == "accounts" else "Notes"
    key = world.keys(feed_path(entity))[0]
    world.box.update(feed_path(entity), world.division, key, {column: "meanwhile"})
    world.sync(entity)
    world.sync(entity, history=entity)

    assert_present(world, entity)
    world.assert_equal(entity)


def test_a_row_that_is_met_twice_in_one_load_has_one_state(make_world: MakeWorld) -> None:
    world: World = make_world(sync_order="Timestamp", companies=1)
    met: list[str] = []
    run_ = world.make_run(history="accounts")

    def meanwhile(result: StreamResult) -> None:
        """Behind the first page, a row of it changes and so comes again at the end."""
        if result.calls and not met:
            first = min(world.box.rows("sync/CRM/Accounts", world.division), key=version)
            met.append(first["ID"])
            world.box.update("crm/Accounts", world.division, first["ID"], {"Name": "later"})

    run_.log.on_progress = meanwhile
    outcome = world.sync_with(run_, "accounts")

    assert sum(r.rows for r in outcome.results) == len(world.table("accounts")) + 1
    assert_present(world, "accounts")
    assert [row["name"] for row in states(world, "accounts", met[0])] == ["later"]


def version(row: Row) -> int:
    return int(row["Timestamp"])


def test_a_round_ends_before_too_many_rows_wait_for_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "HISTORY_ROWS", 5)
    monkeypatch.setattr(reading, "AHEAD_PAGES", 1)  # rows count once their page is parsed
    outcome = world.sync("accounts", history="accounts")

    assert outcome.exit_code == 0
    assert outcome.rounds > 1
    assert_present(world, "accounts")
    world.assert_equal("accounts")


@pytest.mark.nightly
def test_a_limit_on_pages_loses_no_state(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    pages = 0
    while len(world.table("accounts")) < len(world.keys("crm/Accounts")) if pages else True:
        source = run_source(Session(world.make_run(history="accounts")), ["accounts"])
        source.accounts.add_limit(1)
        world.pipeline.run(source)
        pages += 1
        assert_present(world, "accounts")

    assert pages > 1


def test_a_name_that_is_no_entity_is_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match="history: 'acounts' is unknown; did you mean"):
        world.make_run(history="accounts,acounts")


def test_the_query_of_the_documentation_finds_what_was_true_then(anywhere: World) -> None:
    world = anywhere
    key = world.keys("crm/Accounts")[0]
    for name in ("before", "after"):
        world.box.update("crm/Accounts", world.division, key, {"Name": name})
        world.sync("accounts", history="accounts")
    moment = states(world, "accounts", key)[0][FROM]
    text = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
    query = text.partition("```sql\n")[2].partition("```")[0]
    assert query.count("2026-03-31 23:59:59") == 2
    query = query.replace("TIMESTAMP '2026-03-31 23:59:59'", f"TIMESTAMPTZ '{moment.isoformat()}'")
    names = [row[1] for row in world.sql(query)]

    assert "before" in names
    assert "after" not in names
    assert len(names) == len(world.table("accounts"))


@pytest.mark.parametrize(("entity", "field"), [("units", "Description"), ("journals", "Currency")])
def test_a_column_that_exact_withdraws_makes_no_state(
    make_world: MakeWorld, entity: str, field: str
) -> None:
    world: World = make_world(companies=1)
    world.sync(entity, history=entity)
    held = states(world, entity)
    world.box.drop_property(feed_path(entity), field)
    outcome = world.sync(entity, history=entity, full_refresh=[entity])

    assert any(field in note for r in outcome.results for note in r.notes)
    assert states(world, entity) == held


@pytest.mark.nightly
def test_a_move_to_another_database_makes_no_state(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    world.sync("accounts", history="accounts")
    held = states(world, "accounts")
    world.box.move_division(world.division)
    outcome = world.sync("accounts", history="accounts")

    assert any("moved" in note for r in outcome.results for note in r.notes)
    assert states(world, "accounts") == held


def test_a_load_that_did_not_arrive_leaves_no_hole_in_the_states(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world: World = make_world(companies=1)
    key, gone, *_ = world.keys("crm/Accounts")
    world.sync("accounts", history="accounts")
    world.box.update("crm/Accounts", world.division, key, {"Name": "lost"})
    world.box.delete("crm/Accounts", world.division, gone)
    with monkeypatch.context() as broken:
        broken.setattr(type(world.pipeline), "load", lambda *_a, **_k: None)
        world.one_round("accounts", history="accounts")
    world.pipeline.abort_packages()
    assert len(states(world, "accounts", key)) == 1
    world.sync("accounts", history="accounts")

    assert_present(world, "accounts")
    assert [row["name"] for row in states(world, "accounts", key)][1:] == ["lost"]
    assert [bool(row["_deleted_at"]) for row in states(world, "accounts", gone)] == [False, True]


def test_states_of_deleted_rows_continue_if_deletes_are_ignored(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    gone, *_ = world.keys("crm/Accounts")
    world.sync("accounts", history="accounts", deletes="ignore")
    world.box.delete("crm/Accounts", world.division, gone)
    world.sync("accounts", history="accounts", deletes="ignore")

    assert [(r[TO], r["_deleted_at"]) for r in states(world, "accounts", gone)] == [(None, None)]
    assert_present(world, "accounts")
