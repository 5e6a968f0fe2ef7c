"""Two hosts that load into one dataset, each with a working folder of its own."""

from __future__ import annotations

from typing import Any

import dlt
import pytest

from tests.support.tiers import variants
from tests.support.world import World

ACCOUNTS = "crm/Accounts"


def fail_to_load(world: World, *entities: str) -> None:
    """Read on this host, and leave the rows in its working folder."""

    def away(*_args: Any, **_more: Any) -> Any:
        raise ConnectionError("the destination is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.pipeline, "load", away)
        with pytest.raises(ConnectionError):
            world.sync(*entities)
    assert world.pipeline.has_pending_data


def take_over(world: World, folder: str) -> dlt.Pipeline:
    """Go on as a host with this working folder."""
    before = world.pipeline
    world.pipeline = world.new_pipeline(folder)
    return before


@pytest.mark.nightly
@pytest.mark.parametrize("change", ["update", "delete"])
def test_rows_that_waited_while_another_host_went_on_are_not_loaded(
    world: World, change: str
) -> None:
    for _ in range(2):
        world.sync("accounts")
    key = world.keys(ACCOUNTS)[0]
    world.box.update(ACCOUNTS, world.division, key, {"Name": "older"})
    fail_to_load(world, "accounts")

    first = take_over(world, "another")
    if change == "update":
        world.box.update(ACCOUNTS, world.division, key, {"Name": "newer"})
    else:
        world.box.delete(ACCOUNTS, world.division, key)
    for _ in range(3):  # dlt goes by the higher version of the two states
        assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")

    world.pipeline = first
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_rows_that_waited_while_nobody_went_on_are_not_read_again(world: World) -> None:
    for _ in range(2):
        world.sync("accounts")
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": "changed"})
    fail_to_load(world, "accounts")

    outcome = world.sync("accounts")
    assert outcome.exit_code == 0
    assert sum(result.rows for result in outcome.results) == 0
    world.assert_equal("accounts")


@pytest.mark.parametrize("change", variants(["update", "delete"], "delete"))
def test_rows_that_waited_while_another_pipeline_went_on_are_not_loaded(
    world: World, change: str
) -> None:
    world.sync("accounts", "items")
    key = world.keys(ACCOUNTS)[0]
    world.box.update(ACCOUNTS, world.division, key, {"Name": "older"})
    fail_to_load(world, "accounts")

    first, world.pipeline = world.pipeline, world.new_pipeline("another", name="another")
    if change == "update":
        world.box.update(ACCOUNTS, world.division, key, {"Name": "newer"})
    else:
        world.box.delete(ACCOUNTS, world.division, key)
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")

    world.pipeline, second = first, world.pipeline
    assert world.sync("items").exit_code == 0  # a sync that does not read the accounts again
    world.assert_equal("accounts")

    world.pipeline = second
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")
