"""The first load brings everything, the second what changed, both by the fewest calls."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dlt.common.schema import Schema
from dlt.common.storages.live_schema_storage import LiveSchemaStorage

from exact_source.catalogue import load_catalogue
from tests.support.fixtures import MakeWorld
from tests.support.world import World

CORE = [e for e in load_catalogue().core if e not in {"divisions", "deleted"}]
# One of each kind: sync, bulk with Modified, regular, full refresh.
FEEDS = ["accounts", "transaction_lines", "journals", "sales_invoice_lines"]


def test_tokens_are_rotated_in_the_middle_of_a_load(make_world: MakeWorld) -> None:
    world = make_world(minute_limit=2, companies=1, large_page_size=1)
    outcome = world.sync("transaction_lines", "accounts")

    refreshes = [t for t in world.box.token_requests if t.grant_type == "refresh_token"]
    assert outcome.exit_code == 0
    assert refreshes
    assert {t.status for t in refreshes} == {200}
    assert {c.status for c in world.box.requests} == {200}
    world.assert_equal("transaction_lines")


def test_a_wrong_secret_is_a_setting_to_mend_and_loses_nothing(world: World) -> None:
    world.sync("accounts")
    right, world.settings = world.settings, replace(world.settings, client_secret="wrong")
    world.clock.sandbox.advance(700)
    with world.watch() as calls:
        outcome = world.sync("accounts")

    assert outcome.exit_code == 2
    assert "client_secret" in str(outcome.error)
    assert "\n" not in str(outcome.error)
    assert len(calls) == 0
    world.settings = right
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_dlt_hashes_its_schema_as_often_for_many_entities_as_for_few(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows with the entities, so once per entity would be their square."""
    world.sync(*FEEDS)
    world.sync(*FEEDS)  # the last that has news
    asked: list[str] = []
    get = LiveSchemaStorage.__getitem__

    def counted(storage: LiveSchemaStorage, name: str) -> Schema:
        asked.append(name)
        return get(storage, name)

    monkeypatch.setattr(LiveSchemaStorage, "__getitem__", counted)

    def times(*entities: str) -> int:
        asked.clear()
        assert world.sync(*entities).exit_code == 0
        return len(asked)

    assert times(*FEEDS[:2]) == times(*FEEDS) > 0
