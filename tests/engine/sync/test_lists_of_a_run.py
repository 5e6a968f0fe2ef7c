"""Lists that all streams share are read once a run, and a refused list costs only what depends on it."""

from __future__ import annotations

import pytest

from exact_source.engine import dedupe, page_reader
from exact_source.errors import RefusedError
from tests.support.fixtures import MakeWorld
from tests.support.world import World, feed_path

LIST, ROWS = "system/Divisions", "crm/Accounts"


def test_lists_are_read_once_a_run_however_many_rounds_it_has(make_world: MakeWorld) -> None:
    world = make_world(companies=1, large_page_size=2)
    with world.watch() as calls:
        outcome = world.sync("divisions", "me", "accounts", max_pages=1)

    assert outcome.exit_code == 0
    assert outcome.rounds > 2
    assert len(calls.to(LIST)) == 1
    assert len(calls.to("current/Me")) == 2  # for the table, and for the current division
    assert {r.entity: r.calls for r in outcome.results} == {
        "divisions": 1, "me": 1, "accounts": len(calls.to("sync/CRM/Accounts")),
    }  # fmt: skip
    assert all(0 < r.started_at <= r.ended_at for r in outcome.results)


def test_a_list_of_divisions_that_is_a_table_is_read_once_a_round(make_world: MakeWorld) -> None:
    world = make_world(companies=1, page_size=60)
    with world.watch() as calls:
        assert world.sync("divisions", "units").exit_code == 0

    assert len(calls.to(LIST)) == 1


def test_calls_for_a_list_that_one_division_refuses_are_counted(make_world: MakeWorld) -> None:
    world: World = make_world()
    world.box.deny(world.division, LIST, "403")
    with world.watch() as calls:
        outcome = world.sync("divisions", divisions=world.box.divisions)

    assert outcome.exit_code == 0
    assert calls.statuses(LIST) == [403, 200]
    assert [r.calls for r in outcome.results] == [2]


def test_a_run_of_some_minutes_is_one_round(world: World) -> None:
    assert world.sync("accounts", round_s=300).rounds == 1


def test_named_divisions_are_read_although_their_list_is_refused(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    world.box.deny(world.division, LIST, "403")
    outcome = world.sync("accounts", divisions=[world.division])

    assert outcome.exit_code == 0
    world.assert_equal("accounts")


def test_without_names_a_refused_list_is_the_error(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.box.deny(world.division, LIST, "403")

    assert isinstance(world.sync("accounts").error, RefusedError)


def test_a_list_that_is_too_long_is_not_held(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(companies=1, page_size=1)
    rows = len(world.keys("financial/Journals"))
    held: list[int] = []
    run = world.make_run()
    run.log.on_progress = lambda _: held.append(run.held_rows.count)
    monkeypatch.setattr(dedupe, "HOLD_ROWS", 2)
    monkeypatch.setattr(page_reader, "TOGETHER_PAGES", 1)
    world.sync_with(run, "journals")

    assert rows > 4
    assert max(held) <= 3
    world.assert_equal("journals")


def test_a_list_of_several_pages_that_did_not_change_loads_nothing(make_world: MakeWorld) -> None:
    world = make_world(companies=1, page_size=1, large_page_size=1)
    world.sync("sales_invoice_lines")
    with world.watch() as calls:
        outcome = world.sync("sales_invoice_lines")

    assert len(calls.to(feed_path("sales_invoice_lines"))) > 1
    assert sum(r.rows for r in outcome.results) == 0


def test_a_window_asks_for_no_row_outside_of_it(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    for key in world.keys(ROWS)[1:]:
        world.box.touch(ROWS, world.division, [key])
    with world.watch() as calls:
        outcome = world.sync(
            "accounts", route="regular", start_date="2026-03-10", end_date="2026-03-11"
        )
    assert sum(r.rows for r in outcome.results) == len(world.keys(ROWS)) - 1
    assert sum(c.rows for c in calls.to(ROWS)) == len(world.keys(ROWS)) - 1

    with world.watch() as calls:
        world.sync("accounts", route="regular", start_date="2026-01-01", end_date="2026-01-02")
    assert sum(c.rows for c in calls.to(ROWS)) == 0
