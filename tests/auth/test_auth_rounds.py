"""The rounds of a sync share what the connection knows."""

from __future__ import annotations

import asyncio

import pytest

from exact_source.auth import TokenData
from exact_source.errors import AuthenticationError, TokenStoreError
from exact_source.loading.session import Session
from exact_source.loading.warehouse import NoTables
from exact_source.source import make_options, make_run
from tests.support.auth_kit import Memory
from tests.support.fixtures import MakeWorld
from tests.support.world import World


class FailsForARound(Memory):
    """A storage whose writes fail in the first round."""

    fails = True

    def save_tokens(self, tokens: TokenData) -> None:
        if self.fails:
            raise OSError(28, "No space left on device")
        super().save_tokens(tokens)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    world: World = make_world(companies=1)
    world.clock.sandbox.advance(575)
    world.box.token_requests.clear()
    return world


def test_a_pair_that_could_not_be_stored_is_stored_in_the_next_round(world: World) -> None:
    storage = FailsForARound(world.storage.get_tokens())
    session = Session(make_run(make_options(), world.settings, storage, clock=world.clock))

    async def one_round() -> None:
        async with session.connected(lambda: world.pipeline):
            await session.run.divisions.chosen()

    with pytest.raises(TokenStoreError, match="kept in memory"):
        asyncio.run(one_round())
    storage.fails = False
    asyncio.run(one_round())

    assert [request.status for request in world.box.token_requests] == [200]
    assert storage.tokens != world.storage.get_tokens()


def test_what_exact_refused_is_not_asked_again_in_the_next_round(world: World) -> None:
    world.box.state.oauth.issue(world.box.state.oauth.connections[-1])  # another program refreshed
    world.clock.sandbox.advance(575)
    session = Session(make_run(make_options(), world.settings, world.storage, clock=world.clock))

    async def one_round() -> None:
        async with session.connected(lambda: world.pipeline):
            await session.run.divisions.chosen()

    for _ in range(2):
        with pytest.raises(AuthenticationError, match="exact-source login"):
            asyncio.run(one_round())

    assert [request.status for request in world.box.token_requests] == [401]


def test_the_connection_is_closed_although_the_destination_cannot_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(make_run(make_options(), world.settings, world.storage, clock=world.clock))

    def fail(_stored: NoTables) -> None:
        raise OSError(5, "Input/output error")

    async def one_round() -> None:
        async with session.connected(lambda: world.pipeline):
            pass

    monkeypatch.setattr(NoTables, "close", fail)
    with pytest.raises(OSError, match="Input/output"):
        asyncio.run(one_round())

    assert not session.run.connection.is_open  # the next round has another event loop
