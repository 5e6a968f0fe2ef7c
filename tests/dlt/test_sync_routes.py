"""Each feed brings the same rows; feeds can be changed; a start date works on all of them."""

from __future__ import annotations

import pytest

from tests.support.world import World, feed_path


@pytest.mark.parametrize(("first", "second"), [("sync", "bulk"), ("bulk", "regular")])
def test_a_changed_route_ends_with_the_same_rows(world: World, first: str, second: str) -> None:
    world.sync("accounts", route=first)
    path = feed_path("accounts", second)
    gone, changed, *_ = world.keys(path)
    world.box.delete(path, world.division, gone)
    world.box.update(path, world.division, changed, {"Name": "changed"})
    world.box.insert(path, world.other, {"Name": "new", "Code": "17"})
    world.sync("accounts", route=second)

    world.assert_equal("accounts", by=second)
    assert world.sync("accounts", route=second).exit_code == 0
    world.assert_equal("accounts", by=second)
