"""What goes wrong in one stream is reported, and spoils no other."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import Any

import httpx
import pytest

from exact_source.engine.result import StreamResult
from tests.support.fixtures import MakeWorld
from tests.support.syncs import result
from tests.support.world import Calls, World

ACCOUNTS = "sync/CRM/Accounts"
LINES = "bulk/Financial/TransactionLines"


@pytest.mark.parametrize("how", ["403", "module", "NoDivisionAccess"])
def test_a_refused_entity_is_asked_once_and_the_others_are_loaded(world: World, how: str) -> None:
    world.box.deny(world.division, ACCOUNTS, how)
    outcome = world.sync("accounts", "contacts")

    refused = result(outcome, "accounts", world.division)
    assert (outcome.exit_code, refused.status) == (0, "refused")
    assert "403" in refused.error
    assert "accounts" in refused.error
    assert str(world.division) in refused.error
    assert "\n" not in refused.error
    assert [c.status for c in world.box.requests if c.path == ACCOUNTS and c.status != 200] == [403]
    world.assert_equal("contacts")
    assert len(world.table("accounts", world.other)) == len(world.keys(ACCOUNTS, world.other))
    world.box.allow(world.division)
    assert world.sync("accounts", "contacts", retry_refused=True).exit_code == 0
    world.assert_equal("accounts")


def test_if_everything_is_refused_the_sync_failed(world: World) -> None:
    for division in world.box.divisions:
        world.box.deny(division, "inventory/Warehouses")

    assert world.sync("warehouses").exit_code == 1


@pytest.mark.parametrize("path", [ACCOUNTS, "sync/Deleted", "system/Divisions"])
def test_runs_every_few_minutes_stay_far_below_the_error_limit(world: World, path: str) -> None:
    world.box.deny(world.division, path)
    per_run = []
    for _ in range(8):  # every seven minutes
        with world.watch() as calls:
            world.sync("accounts", divisions=world.box.divisions, retry_refused=True)
        per_run.append(calls.statuses(path).count(403))
        world.clock.sandbox.advance(300)
    assert max(per_run) == 1
    assert sum(per_run) <= 5, "the eleventh error of an hour blocks the key"
    if path == ACCOUNTS:
        assert sum(per_run) <= 3
    world.clock.sandbox.advance(3600)
    world.login()
    world.box.allow(world.division, path)
    again = world.sync("accounts", divisions=world.box.divisions, retry_refused=True)
    assert again.exit_code == 0
    world.assert_equal("accounts")


def test_a_blocked_division_is_skipped_without_a_call(world: World) -> None:
    world.box.block_division(world.other)
    with world.watch() as calls:
        outcome = world.sync("accounts", "journals", "deleted")

    skipped = result(outcome, "accounts", world.other)
    assert (outcome.exit_code, skipped.status) == (0, "skipped")
    assert "blocked" in skipped.error
    assert {c.division for c in calls.all} <= {None, world.division}
    world.box.block_division(world.other, 0)
    assert world.sync("accounts", "journals").exit_code == 0
    world.assert_equal("accounts")
    world.assert_equal("journals")


@pytest.mark.parametrize("named", [True, False])
def test_a_blocked_first_division_does_not_hold_up_the_others(world: World, named: bool) -> None:
    world.sync("accounts")
    world.box.block_division(world.division)
    key = world.keys(ACCOUNTS, world.other)[0]
    world.box.update(ACCOUNTS, world.other, key, {"Name": "changed"})
    options: dict[str, Any] = {"divisions": world.box.divisions} if named else {}
    outcome = world.sync("accounts", **options)

    assert result(outcome, "accounts", world.division).status == "skipped"
    assert result(outcome, "accounts", world.other).status == "complete"
    world.assert_equal("accounts")


@pytest.mark.parametrize("kind", ["wrong-division", "foreign-next", "repeat-next"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_page_that_cannot_be_right_is_not_loaded(world: World, kind: str, after: int) -> None:
    world.box.fault(kind, path=ACCOUNTS, division=world.division, times=50, after=after)
    with world.watch() as calls:
        outcome = world.sync("accounts", "contacts")

    failed = result(outcome, "accounts", world.division)
    assert (outcome.exit_code, failed.status) == (3, "failed")
    assert len(calls.to(ACCOUNTS, world.division)) <= 3
    assert {c.status for c in calls.all} == {200}
    known = {k.lower() for k in world.keys(ACCOUNTS)}
    assert {row["id"] for row in world.table("accounts", world.division)} <= known
    assert {row["division"] for row in world.table("accounts")} <= set(world.box.divisions)
    world.assert_equal("contacts")
    world.box.state.faults.clear()
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_pages_that_lead_on_without_rows_for_ever_are_given_up(world: World) -> None:
    world.box.fault("empty-page", path=ACCOUNTS, division=world.division, times=500)
    with world.watch() as calls:
        outcome = world.sync("accounts", "contacts")

    assert outcome.exit_code == 3
    assert len(calls.to(ACCOUNTS, world.division)) <= 60
    world.assert_equal("contacts")


def test_an_empty_page_that_leads_on_is_not_the_end(world: World) -> None:
    world.box.fault("empty-page", path="*", times=4, after=3)
    outcome = world.sync("accounts", "journals", "sales_invoice_lines")

    assert outcome.exit_code == 0
    for entity in ("accounts", "journals", "sales_invoice_lines"):
        world.assert_equal(entity)


@pytest.mark.parametrize("kind", ["408", "500", "503", "599", "html", "empty", "drop", "truncate"])
def test_a_page_that_went_wrong_is_asked_for_again_and_no_other(
    make_world: MakeWorld, kind: str
) -> None:
    world = make_world(companies=1)
    world.box.fault(kind, path=ACCOUNTS, times=1, after=1)
    with world.watch() as calls:
        outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    asked = Counter(str(c.query.get("$skiptoken")) for c in calls.to(ACCOUNTS))
    assert max(asked.values()) == 2
    assert sum(asked.values()) == len(asked) + 1
    world.assert_equal("accounts")


@pytest.mark.parametrize("kind", ["duplicate-row", "bom", "control-character"])
def test_odd_pages_are_read_all_the_same(world: World, kind: str) -> None:
    world.box.fault(kind, path=ACCOUNTS, times=3)
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    if kind != "control-character":  # it changes the text itself
        world.assert_equal("accounts")


@pytest.mark.parametrize("kind", ["500", "html", "truncate"])
def test_what_stays_broken_fails_alone_and_is_made_up_for(world: World, kind: str) -> None:
    world.box.fault(kind, path=ACCOUNTS, division=world.division, times=100, after=1)
    outcome = world.sync("accounts", "contacts")

    failed = result(outcome, "accounts", world.division)
    assert (outcome.exit_code, failed.status) == (3, "failed")
    world.assert_equal("contacts")
    world.box.state.faults.clear()
    assert world.sync("accounts", "contacts").exit_code == 0
    world.assert_equal("accounts")


def test_a_night_of_503_gets_patience(world: World) -> None:
    world.box.fault(503, path=ACCOUNTS, division=world.division, times=4)
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    world.assert_equal("accounts")


def test_an_error_that_nobody_expected_fails_its_stream_alone(world: World) -> None:
    run = world.make_run()

    def stumble(result: StreamResult) -> None:
        where = result.entity, result.division, result.status
        if where == ("accounts", world.division, "running"):
            raise KeyError("secret")

    run.log.on_progress = stumble
    outcome = world.sync_with(run, "accounts", "journals")

    failed = result(outcome, "accounts", world.division)
    assert (outcome.exit_code, failed.status, failed.permanent) == (3, "failed", True)
    assert "unexpected KeyError in " in failed.error
    assert "secret" not in failed.error
    world.assert_equal("journals")
    assert len(world.table("accounts", world.other)) == len(world.keys(ACCOUNTS, world.other))
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


# -- the place of a chain ------------------------------------------------------------------------


def links(calls: Calls, path: str) -> list[str]:
    return [str(c.query.get("$skiptoken")) for c in calls.to(path)]


def begun(make_world: MakeWorld) -> World:
    """A company of which some pages are loaded."""
    world: World = make_world(companies=1, large_page_size=2)
    world.one_round("transaction_lines", max_pages=4)
    return world


def test_one_page_that_is_wrong_costs_no_page_before_it(make_world: MakeWorld) -> None:
    world = begun(make_world)
    world.box.fault("wrong-division", path=LINES, times=1, after=2)
    with world.watch() as calls:
        outcome = world.sync("transaction_lines")
    assert result(outcome, "transaction_lines", world.division).status == "failed"
    *read, wrong = links(calls, LINES)[:3]

    with world.watch() as more:
        assert world.sync("transaction_lines").exit_code == 0
    assert links(more, LINES)[0] == wrong
    assert not set(read) & set(links(more, LINES)) - {"None"}
    world.assert_equal("transaction_lines")


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_link_that_went_stale_begins_the_scan_again(make_world: MakeWorld, status: int) -> None:
    world = begun(make_world)
    world.box.fault(status, path=LINES, times=1)
    with world.watch() as calls:
        outcome = world.sync("transaction_lines")

    assert outcome.exit_code == 0
    assert calls.statuses(LINES).count(status) == 1
    assert links(calls, LINES)[1] == "None"
    world.assert_equal("transaction_lines")


@pytest.mark.parametrize("status", [404, 410])
def test_a_new_beginning_that_is_refused_as_well_leaves_the_place_as_it_was(
    make_world: MakeWorld, status: int
) -> None:
    world = begun(make_world)
    world.box.fault(status, path=LINES, times=2)
    with world.watch() as calls:
        assert world.sync("transaction_lines").exit_code == 1
    place, beginning = links(calls, LINES)
    assert (place != "None", beginning) == (True, "None")

    with world.watch() as calls:
        assert world.sync("transaction_lines").exit_code == 0
    assert links(calls, LINES)[0] == place
    world.assert_equal("transaction_lines")


def test_pages_without_end_are_given_up_over_any_number_of_rounds(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    world.box.fault("empty-page", path=ACCOUNTS, times=500)
    with world.watch() as calls:
        outcome = world.sync("accounts", max_pages=9)

    assert outcome.exit_code == 1
    assert outcome.rounds > 3
    assert len(calls.to(ACCOUNTS)) <= 60


# -- the list of divisions -----------------------------------------------------------------------


def test_a_refused_list_of_divisions_is_no_move(world: World) -> None:
    world.box.move_division(world.division)
    world.box.clock.advance(
        2 * 86_400
    )  # a deletion on the day of a move may be older than the move
    world.sync("accounts", "journals")
    world.box.deny(world.division, "system/Divisions")
    world.box.deny(world.other, "system/Divisions")
    key = world.keys("crm/Accounts")[0]
    world.box.delete("crm/Accounts", world.division, key)
    outcome = world.sync("accounts", "journals", divisions=world.box.divisions)

    assert outcome.exit_code == 0
    assert sum(r.rows for r in outcome.results) == 0
    assert not any(r.notes for r in outcome.results)
    for division in world.box.divisions:
        world.box.allow(division, "system/Divisions")
    outcome = world.sync("accounts", "journals")
    assert not any(r.notes for r in outcome.results)
    world.assert_equal("accounts")


def test_a_blocked_division_that_was_named_is_no_success_if_strict(world: World) -> None:
    world.box.block_division(world.other)
    outcome = world.sync("accounts", divisions=world.box.divisions, strict=True)

    assert outcome.exit_code == 3
    assert result(outcome, "accounts", world.other).status == "skipped"
    assert result(outcome, "accounts", world.division).status == "complete"


class Refusing(httpx.AsyncBaseTransport):
    """Refuses the reads of a path in these words, and lets all others through."""

    def __init__(self, others: httpx.AsyncBaseTransport, path: str, words: str) -> None:
        self._others, self._path = others, path
        self._body = json.dumps({"error": {"code": "", "message": {"lang": "", "value": words}}})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(self._path):
            return httpx.Response(403, content=self._body)
        return await self._others.handle_async_request(request)


def test_the_full_text_of_a_refusal_is_logged_at_debug_only(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world: Any = make_world(companies=1)
    world._wire = Refusing(world._wire, "CRM/Accounts", "Name 'Jansen' of 31-01-2026 is not open.")
    with caplog.at_level(logging.DEBUG, "exact_source"):
        outcome = world.sync("accounts", "journals")

    refused = result(outcome, "accounts", world.division)
    assert refused.status == "refused"
    assert "is not open" in refused.error
    shown = [refused.error, *(r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG)]
    assert not [text for text in shown if "Jansen" in text or "2026" in text]
    told = [r.getMessage() for r in caplog.records if "Jansen" in r.getMessage()]
    assert told
    assert all("31-01-2026" in text for text in told)
