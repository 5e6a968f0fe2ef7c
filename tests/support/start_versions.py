"""A company for tests of ``start_by="timestamp"``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from exact_source.engine.cursors import TIMESTAMP_OVERLAP
from tests.support.fixtures import MakeWorld
from tests.support.world import World, digits, feed_path

ENTITY = "sync_transaction_lines"
PATH = feed_path(ENTITY)
ASKED = "read/sync/Sync/SyncTimestamp"
START = "2026-02-01"
BY_TIMESTAMP: dict[str, Any] = {"start_date": START, "start_by": "timestamp"}


@pytest.fixture
def aged(make_world: MakeWorld) -> World:
    """Lines of which the last few were changed since the date, far above the others in versions."""
    world: World = make_world(companies=1)
    age(world)
    return world


def age(world: World) -> None:
    keys = world.keys(PATH)
    world.box.touch(PATH, world.division, keys, modified=digits("2026-01-15"))
    world.advance_versions(10 * TIMESTAMP_OVERLAP)
    world.box.touch(PATH, world.division, keys[-5:], modified=digits("2026-02-03"))


def is_young(row: Any) -> bool:
    return bool(row["Modified"] >= digits(START))


def began_at(calls: Sequence[Any]) -> list[str]:
    return [call.query["$filter"] for call in calls if "$skiptoken" not in call.query]
