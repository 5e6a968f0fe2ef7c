"""Deletions, and requests for all rows, while the pass over all rows is spread over several runs."""

from __future__ import annotations

from typing import Any

from exact_source.client.limits import Limits
from exact_source.engine.divisions import Division
from exact_source.engine.run import EarlierRuns, Run
from exact_source.engine.starts import refresh_begun_at
from tests.support.fixtures import MakeWorld
from tests.support.world import World

PATH, FEED = "crm/Accounts", "sync/CRM/Accounts"
HOUR_S = 3600.0


def stop_after_list(run: Run) -> None:
    """Stop a run before its first stream begins."""
    list_divisions = run.divisions.chosen

    async def list_and_stop() -> list[Division]:
        found = await list_divisions()
        run.rounds.request_stop()
        return found

    run.divisions.chosen = list_and_stop  # type: ignore[method-assign]


def test_a_row_that_is_deleted_between_two_parts_of_the_first_pass_goes(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1, large_page_size=2)
    world.one_round("accounts", max_pages=1)
    loaded = [row["id"] for row in world.table("accounts")]
    assert 0 < len(loaded) < len(world.keys(PATH))
    world.box.delete(PATH, world.division, loaded[0])

    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_a_refresh_that_a_run_has_ended_is_not_begun_again_by_the_next(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=1, large_page_size=2)
    world.sync("accounts")
    world.one_round("accounts", full_refresh=["accounts"], max_pages=1)
    run = world.make_run(full_refresh=["accounts"])

    def stop_behind_the_pass(result: Any) -> None:
        if result.status == "incomplete":
            run.rounds.request_stop()

    run.log.on_progress = stop_behind_the_pass
    assert world.sync_with(run, "accounts").exit_code == 3
    outcome = world.sync("accounts", full_refresh=["accounts"])

    assert outcome.exit_code == 0
    assert sum(r.rows for r in outcome.results) < len(world.keys(PATH))
    world.assert_equal("accounts")


def test_the_latest_refresh_is_under_way_until_the_changes_since_then_are_read() -> None:
    states: list[dict[str, Any]] = [
        {"refreshed_for": 5.0, "scan": {"since": None}},
        {"refreshed_for": 6.0, "behind": True},
        {"refreshed_for": 7.0, "behind": False},
        {"refreshed_for": 8.0},
        {"behind": True},
        {"refresh_wanted": 4.0},
    ]
    begun = [refresh_begun_at(states), refresh_begun_at(states[:1]), refresh_begun_at(states[2:])]
    assert begun == [6.0, 5.0, 4.0]


def test_a_run_takes_over_the_refresh_that_is_under_way_when_it_begins(
    make_world: MakeWorld,
) -> None:
    """Its own first round may end the refresh, and then no time is stored."""
    run = make_world(companies=1).make_run()
    for asked_at in (5.0, None):
        run.begin_round()
        earlier = EarlierRuns(selected=frozenset(), tombstones={}, refresh_asked_at=asked_at)
        run.recall(earlier)
        assert run.refresh_asked_at == 5.0


def test_tombstones_that_may_not_be_read_will_not_be_readable_by_another_run(
    world: World,
) -> None:
    world.box.deny(world.division, "sync/Deleted", "403")
    outcome = world.sync("accounts", divisions=[world.division])

    assert [(r.status, r.permanent) for r in outcome.results] == [("incomplete", True)]


def test_a_stream_that_is_refused_will_be_refused_again(world: World) -> None:
    world.box.deny(world.division, FEED, "403")
    outcome = world.sync("accounts", divisions=[world.division])

    assert [(r.status, r.permanent) for r in outcome.results] == [("refused", True)]


def test_all_rows_are_read_again_if_tombstones_were_refused_after_a_move(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1)
    world.sync("accounts")
    world.box.move_division(world.division)
    world.box.deny(world.division, "sync/Deleted", "403")
    assert world.sync("accounts").exit_code == 3
    world.box.allow(world.division)
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    assert outcome.results[0].rows == len(world.keys(PATH))
    world.assert_equal("accounts")


def test_no_key_twice_hours_apart_is_believed(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    world.sync("journals")
    for key in world.keys("financial/Journals"):
        world.box.delete("financial/Journals", world.division, key)
    world.box.fault(500, path="users/UserHasRights", times=100)
    outcomes = []
    for _ in range(2):
        outcomes.append(world.sync("journals", reconcile=["journals"]).exit_code)
        world.clock.sandbox.advance(6 * HOUR_S)
        world.login()

    assert outcomes == [3, 0]
    assert world.table("journals") == []


def test_a_stop_before_a_stream_begins_leaves_it_to_the_next_run(world: World) -> None:
    run = world.make_run()
    stop_after_list(run)
    outcome = world.sync_with(run, "accounts")

    assert outcome.exit_code == 3
    assert {r.status for r in outcome.results} == {"incomplete"}
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_a_refresh_that_is_stopped_before_it_begins_is_made_by_the_next_run(
    make_world: MakeWorld,
) -> None:
    world = make_world(companies=2)
    world.sync("journals")
    for code in world.box.divisions:  # Exact lists no tombstone of a journal
        world.box.delete("financial/Journals", code, world.keys("financial/Journals", code)[0])
    run = world.make_run(full_refresh=["journals"])
    stop_after_list(run)
    assert world.sync_with(run, "journals").exit_code == 3

    assert world.sync("journals").exit_code == 0
    world.assert_equal("journals")


def test_a_refresh_without_enough_calls_is_made_by_the_next_run(make_world: MakeWorld) -> None:
    names = ("accounts", "journals")
    world = make_world(companies=3)
    world.sync(*names)
    for code in world.box.divisions:
        world.box.delete("financial/Journals", code, world.keys("financial/Journals", code)[0])
    assert world.sync(*names, full_refresh=names, limits=Limits(max_calls=4)).exit_code == 3

    assert world.sync(*names).exit_code == 0
    world.assert_equal("journals")


def test_a_request_for_a_refresh_is_noted_until_it_begins(make_world: MakeWorld) -> None:
    names = ["accounts", "journals"]
    world = make_world(companies=2)
    world.sync(*names)
    for _ in range(2):
        run = world.make_run(full_refresh=names)
        stop_after_list(run)
        world.sync_with(run, *names)
    assert world.sync(*names, full_refresh=names).exit_code == 0
    cursors = world.ledger.cursors
    assert not any(cursors[key].refresh_wanted for key in cursors)
    with world.watch() as calls:  # it is complete, so this is another one
        world.sync(*names, full_refresh=names)
    assert {c.division for c in calls.to(FEED)} == set(world.box.divisions)
