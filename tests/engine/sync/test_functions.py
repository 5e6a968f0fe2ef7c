"""Functions are asked for every value of their parameters, wherever a sync stops and goes on."""

from __future__ import annotations

from collections import Counter

import pytest

from exact_source.client.limits import Limits
from tests.support.fixtures import MakeWorld
from tests.support.function_rows import (
    EXTRA,
    STOCK,
    assert_extra_fields,
    assert_stock,
    items,
)
from tests.support.sandbox_kit import Caller, new_box
from tests.support.world import World


def test_a_function_is_asked_for_every_row_of_its_parent_in_the_same_sync(world: World) -> None:
    with world.watch() as calls:
        outcome = world.sync("stock_position", "items")

    assert (outcome.exit_code, outcome.rounds) == (0, 2)
    for division in world.box.divisions:
        queries = [call.query["itemId"] for call in calls.to(STOCK, division)]
        assert sorted(queries) == sorted(f"guid'{item}'" for item in items(world, division))
    assert_stock(world)


def test_a_second_sync_loads_nothing_new_and_removes_deleted_rows(world: World) -> None:
    world.sync("items", "stock_position")
    again = world.sync("items", "stock_position")
    assert {r.rows for r in again.results} == {0}

    gone = world.table("stock_position", world.division)[0]["item_id"]
    world.box.delete("logistics/Items", world.division, gone)
    world.sync("items", "stock_position")

    assert gone not in {row["item_id"] for row in world.table("stock_position")}
    assert_stock(world)


def test_deleted_rows_stay_marked_with_soft_deletes(world: World) -> None:
    world.sync("items", "stock_position", deletes="soft")
    gone = world.table("stock_position", world.division)[0]["item_id"]
    world.box.delete("logistics/Items", world.division, gone)
    world.sync("items", "stock_position", deletes="soft")

    rows = world.table("stock_position", world.division)
    assert {r["item_id"] for r in rows if r["_deleted_at"] is not None} == {gone}


def test_a_single_load_says_that_the_parent_comes_first(world: World) -> None:
    first = {r.entity: r for r in world.one_round("stock_position", "items")}
    assert first["stock_position"].status == "incomplete"
    assert "its parent items was not loaded yet: run again" in first["stock_position"].error
    assert first["stock_position"].calls == 0

    second = world.one_round("stock_position", "items")
    assert {r.status for r in second} == {"complete"}
    assert_stock(world)


def test_without_its_parent_a_function_says_what_to_load(world: World) -> None:
    outcome = world.sync("stock_position")

    assert outcome.exit_code == 1
    assert "its parent items was never loaded: load it as well" in outcome.results[0].error
    assert not [c for c in world.box.requests if c.path == STOCK]


def test_a_parent_that_is_refused_keeps_the_function_from_being_asked(world: World) -> None:
    world.box.deny(world.division, "sync/Logistics/Items")
    outcome = world.sync("items", "stock_position")

    status = {(r.entity, r.division): r.status for r in outcome.results}
    assert status["items", world.division] == "refused"
    assert status["stock_position", world.division] == "skipped"
    assert status["stock_position", world.other] == "complete"
    assert outcome.exit_code == 0


def test_a_company_without_rows_of_the_parent_is_complete(world: World) -> None:
    for item in items(world, world.division):
        world.box.delete("logistics/Items", world.division, item)
    outcome = world.sync("items", "stock_position")

    assert outcome.exit_code == 0
    assert not world.table("stock_position", world.division)
    notes = [n for r in outcome.results if r.division == world.division for n in r.notes]
    assert notes == ["no value to ask with: its parents have no rows"]


def test_a_chain_of_values_stops_and_goes_on_over_rounds(world: World) -> None:
    with world.watch() as calls:
        outcome = world.sync("items", "stock_position", max_pages=3)

    assert outcome.exit_code == 0
    assert outcome.rounds > 3
    counted = Counter((c.division, c.query["itemId"]) for c in calls.to(STOCK))
    assert set(counted.values()) == {1}
    assert_stock(world)


def test_a_chain_of_values_goes_on_the_next_day(world: World) -> None:
    world.sync("items")
    with world.watch() as before:
        first = world.sync("items", "stock_position", limits=Limits(max_calls=14))
    assert first.exit_code == 3
    everything = sum(len(items(world, d)) for d in world.box.divisions)
    assert 0 < len(before.to(STOCK)) < everything

    world.box.clock.advance(86_400)
    with world.watch() as after:
        assert world.sync("items", "stock_position").exit_code == 0
    assert len(before.to(STOCK)) + len(after.to(STOCK)) == everything
    assert_stock(world)


def test_a_chain_continues_after_a_deleted_value(world: World) -> None:
    world.sync("items")
    with world.watch() as calls:
        world.one_round("stock_position", divisions=[world.division], max_pages=3)
    order = sorted(items(world, world.division))
    assert [c.query["itemId"] for c in calls.to(STOCK)] == [f"guid'{i}'" for i in order[:3]]
    world.box.delete("logistics/Items", world.division, order[3])
    world.sync("items")

    with world.watch() as calls:
        world.sync("stock_position", divisions=[world.division])
    assert [c.query["itemId"] for c in calls.to(STOCK)] == [f"guid'{i}'" for i in order[4:]]


def test_a_refused_value_stops_the_stream_and_is_where_it_goes_on(world: World) -> None:
    world.sync("items")
    world.box.fault(400, path=STOCK, division=world.division, after=2)
    outcome = world.sync("items", "stock_position")

    status = {(r.entity, r.division): r.status for r in outcome.results}
    assert status["stock_position", world.division] == "refused"
    assert status["stock_position", world.other] == "complete"
    assert outcome.exit_code == 3
    statuses = [c.status for c in world.box.requests if c.path == STOCK]
    assert statuses.count(400) == 1

    with world.watch() as calls:
        assert world.sync("items", "stock_position").exit_code == 0
    assert len(calls.to(STOCK, world.division)) == len(items(world, world.division)) - 2
    assert_stock(world)


@pytest.mark.parametrize("max_pages", [None, 1])
def test_pages_of_a_function_without_key_are_numbered_on(
    make_world: MakeWorld, max_pages: int | None
) -> None:
    world = make_world(companies=1, page_size=2)
    world.box.state.settings.paged_reads = True
    account = world.box.rows("crm/Accounts", world.division)[0]["ID"]
    counts = world.box.state.store.table(world.division, "account_documents_count").rows.values()
    for row in counts:
        row["__accountId"] = account
    parameters = {"account_ids": [account]}
    with world.watch() as calls:
        outcome = world.sync("account_documents_count", max_pages=max_pages, parameters=parameters)

    assert outcome.exit_code == 0
    assert len(calls.to("read/crm/AccountDocumentsCount")) > 1
    rows = world.table("account_documents_count")
    assert [row["_row"] for row in rows] == list(range(len(counts)))


# -- a function that is read in one chain ------------------------------------------------------


def drop_extra_fields(world: World) -> None:
    for row in world.box.rows(EXTRA, world.division):
        world.box.delete(EXTRA, world.division, (row["ItemID"], row["Number"]))


def test_a_company_without_extra_fields_is_an_empty_list_and_not_a_refusal(world: World) -> None:
    drop_extra_fields(world)
    for _ in range(2):
        with world.watch() as calls:
            outcome = world.sync("item_extra_field")
        assert {r.status for r in outcome.results} == {"complete"}
        assert outcome.exit_code == 0
        assert {c.status for c in calls.to(EXTRA, world.other)} == {200}
    statuses = [c.status for c in world.box.requests if c.path == EXTRA]
    assert statuses.count(400) == 1  # the next one is an hour later

    world.box.clock.advance(3601)
    with world.watch() as calls:
        assert world.sync("item_extra_field").exit_code == 0
    assert [c.status for c in calls.to(EXTRA, world.division)] == [400]
    assert not world.table("item_extra_field", world.division)
    assert_extra_fields(world)


def test_rows_go_when_the_last_extra_field_does(world: World) -> None:
    world.sync("item_extra_field")
    assert world.table("item_extra_field", world.division)
    drop_extra_fields(world)

    assert world.sync("item_extra_field").exit_code == 0
    assert_extra_fields(world)


def test_another_refusal_of_extra_fields_stays_one(world: World) -> None:
    world.sync("item_extra_field")
    world.box.deny(world.division, EXTRA)
    outcome = world.sync("item_extra_field")

    status = {r.division: r.status for r in outcome.results}
    assert status == {world.division: "refused", world.other: "complete"}
    assert_extra_fields(world)


def test_the_sandbox_refuses_extra_fields_without_modified_as_exact_does() -> None:
    caller = Caller(new_box(companies=1))
    item = caller.box.rows("logistics/Items", caller.division)[0]["ID"]
    answer = caller.get(EXTRA, {"itemId": f"guid'{item}'"})

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]["value"] == "Invalid: ItemID or Modified."


def test_functions_that_give_a_bare_number_are_kept_as_they_answer(world: World) -> None:
    outcome = world.sync("accounts", "account_documents_count")

    assert outcome.exit_code == 0
    rows = world.table("account_documents_count", world.division)
    accounts = {row["ID"] for row in world.box.rows("crm/Accounts", world.division)}
    assert rows
    assert {row["account_id"] for row in rows} <= accounts
    assert {(row["search_text"], row["use_full_text_search"]) for row in rows} == {("", False)}


def test_parameters_come_from_an_argument_or_from_the_settings(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.watch() as calls:
        world.sync("revenue_list_by_year", parameters={"years": [2021, 2022]})
    assert {c.query["year"] for c in calls.all if "year" in c.query} == {"2021", "2022"}

    monkeypatch.setenv("SOURCES__EXACT_ONLINE__PARAMETERS", '{"years": [2023]}')
    with world.watch() as calls:
        world.sync("revenue_list_by_year")
    assert {c.query["year"] for c in calls.all if "year" in c.query} == {"2023"}


def test_a_given_value_needs_no_parent(world: World) -> None:
    item = items(world, world.division)[0]
    with world.watch() as calls:
        outcome = world.sync("stock_position", parameters={"item_ids": [item]})

    assert outcome.exit_code == 0
    assert {c.query["itemId"] for c in calls.to(STOCK)} == {f"guid'{item}'"}


def test_a_function_without_any_value_says_which_setting_it_wants(world: World) -> None:
    outcome = world.sync("preferred_mailbox_for_operation")

    assert outcome.exit_code == 0
    assert outcome.results[0].notes == ("no value to ask with: set parameters.operations",)
    assert outcome.results[0].calls == 0
