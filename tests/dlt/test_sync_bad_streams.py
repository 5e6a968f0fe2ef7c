"""What goes wrong in one stream is reported, and spoils no other."""

from __future__ import annotations

from collections import Counter

import pytest

from exact_source.sync.runner import sync
from tests.support.fixtures import MakeWorld
from tests.support.syncs import result
from tests.support.world import World

ACCOUNTS = "sync/CRM/Accounts"


def test_a_refused_entity_is_asked_once_and_the_others_are_loaded(world: World) -> None:
    world.box.deny(world.division, ACCOUNTS, "module")
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


def test_the_outcome_of_every_stream_is_a_row_in_the_destination(world: World) -> None:
    world.box.deny(world.division, ACCOUNTS)
    outcome = world.sync("accounts", "journals", "sales_invoice_lines")

    rows = {(r["entity"], r["division"]): r for r in world.outcomes()}
    assert rows.keys() == {(r.entity, r.division) for r in outcome.results}
    for r in outcome.results:
        row = rows[r.entity, r.division]
        assert (row["feed"], row["calls"], row["rows"], row["deleted"]) == (
            r.feed, r.calls, r.rows, r.deleted,
        )  # fmt: skip
        assert (row["cursor"] or "", row["status"], row["error"] or "") == (
            r.cursor, r.status, r.error,
        )  # fmt: skip
        assert row["started_at"].timestamp() == pytest.approx(r.started_at, abs=1e-3)
        assert row["started_at"] <= row["ended_at"]
    good = rows["accounts", world.other]
    assert (good["status"], good["rows"]) == ("complete", len(world.keys(ACCOUNTS, world.other)))
    assert int(good["cursor"]) > 0
    assert rows["accounts", world.division]["status"] == "refused"
    world.box.allow(world.division)
    world.sync("accounts")
    assert len(world.outcomes()) == len(outcome.results) + 2


def test_a_row_without_a_key_is_kept_aside_and_the_rest_is_loaded(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    path = "documents/DocumentTypes"
    too_large = 2**40  # for the column
    world.box.insert(path, world.division, {"ID": too_large, "Description": "odd one"})
    for _ in range(2):
        outcome = world.sync("document_types", "journals")

        kept = result(outcome, "document_types", world.division)
        assert (outcome.exit_code, kept.status) == (3, "incomplete"), kept.error
        assert kept.error == "1 row without a key is in _exact_rejected, not in the table"
        assert kept.permanent
        assert len(world.table("document_types")) == len(world.keys(path)) - 1
        (row,) = world.table("_exact_rejected")
        assert (row["entity"], row["reason"]) == ("document_types", "no id")
        assert "odd one" in row["row"]
    world.assert_equal("journals")


# -- the list of divisions -----------------------------------------------------------------------


def test_a_refused_list_is_asked_for_a_few_times_an_hour_by_whatever_command(
    world: World,
) -> None:
    for division in world.box.divisions:
        world.box.deny(division, "system/Divisions")
    for _ in range(12):
        assert world.sync("accounts").exit_code == 1
        world.clock.sandbox.advance(120)
    refused = Counter(c.division for c in world.box.requests if c.status == 403)
    assert max(refused.values()) <= 5


def test_every_call_that_exact_counts_is_in_the_destination(world: World) -> None:
    for _ in range(2):
        world.sync("accounts", "journals", max_pages=3)
    asks_for_rights = "users/UserHasRights"  # which Exact does not bill (API 2.1)
    billed = [c for c in world.box.requests if c.division and c.path != asks_for_rights]
    assert {"system/Divisions", "sync/Deleted"} <= {c.path for c in billed}
    told = sum(row["calls"] + row["shared_calls"] for row in world.outcomes())
    assert told == len(billed)


def test_an_endless_503_does_not_keep_the_rows_of_others_from_being_loaded(world: World) -> None:
    world.box.fault(503, path=ACCOUNTS, division=world.division, times=999)
    started = world.clock.now()
    run = world.make_run(round_s=300.0)
    loaded: list[tuple[float, int]] = []
    outcome = sync(
        world.pipeline,
        run,
        ["accounts", "journals", "contacts"],
        on_round=lambda number: loaded.append((world.clock.now() - started, number)),
    )

    failed = result(outcome, "accounts", world.division)
    assert (outcome.exit_code, failed.status, failed.permanent) == (3, "failed", False)
    assert loaded[1][0] < 600, "the first round waited for the endpoint in trouble"
    for entity in ("journals", "contacts"):
        world.assert_equal(entity)
