"""Each division has one pool of connections, and each pool about as many divisions as any other."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from exact_source.api.pools import POOLS, Pools


@pytest.fixture
def pools() -> Pools:
    return Pools("http://127.0.0.1:9", httpx.MockTransport(lambda _: httpx.Response(200)))


def test_a_single_division_needs_one_pool(pools: Pools) -> None:
    assert pools.of(123456) is pools.of(123456)


@pytest.mark.parametrize("apart", [1, 2, 16, 100])
def test_divisions_are_spread_evenly_whatever_their_codes(pools: Pools, apart: int) -> None:
    codes = range(1_000_000, 1_000_000 + 500 * apart, apart)
    divisions = Counter(id(pools.of(code)) for code in codes)

    assert len(divisions) == POOLS
    assert max(divisions.values()) - min(divisions.values()) <= 1
    assert [pools.of(code) for code in codes] == [pools.of(code) for code in codes]


def test_each_is_closed(pools: Pools) -> None:
    opened = [pools.of(code) for code in range(20)]
    asyncio.run(pools.close())

    assert all(pool.is_closed for pool in opened)
