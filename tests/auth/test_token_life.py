"""Access tokens that live shorter than documented, and a token endpoint that has a rule of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from exact_source.auth import FileTokenStorage, OAuth
from exact_source.errors import RemoteError
from exact_source.sandbox import SandboxClock
from tests.support.auth_kit import Exact, Memory, Reply, Wire, exact_online, pair_body, tokens
from tests.support.fixtures import MakeWorld
from tests.support.world import Clock, World

ENTITIES = ("accounts", "journals")


@pytest.mark.parametrize(
    ("life_s", "earliest_s", "refusals"),
    [
        (40, 36, 0),  # refreshed in the last tenth of the life
        (400, 370, 0),
        (40, 40, 1),  # only once the token has expired: asked at its end
        (40, 100, 2),  # later still: waited for until the documented 570 s are over
    ],
)
def test_a_sync_goes_on_however_short_tokens_live(
    make_world: MakeWorld, life_s: int, earliest_s: int, refusals: int
) -> None:
    world: World = make_world(companies=1, minute_limit=2)
    oauth = world.box.state.oauth
    oauth.access_life_s, oauth.earliest_refresh_s = life_s, earliest_s
    world.clock.sandbox.advance(600)

    with world.watch() as calls:
        outcome = world.sync(*ENTITIES)

    assert outcome.exit_code == 0
    for entity in ENTITIES:
        world.assert_equal(entity)
    statuses = [request.status for request in world.box.token_requests[1:]]
    assert statuses.count(200) >= 1
    assert statuses.count(400) <= refusals * statuses.count(200)
    assert (
        calls.statuses().count(401) <= 2
    )  # another stream may have slept past the end of the life


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        exact.box.state.oauth.access_life_s = 40
        yield exact


@pytest.fixture
def storage(exact: Exact) -> FileTokenStorage:
    storage = FileTokenStorage(exact.folder / "tokens.json")
    storage.save_tokens(exact.new_tokens())
    return storage


def access_token(oauth: OAuth) -> str:
    return asyncio.run(oauth.access_token())


def test_a_token_that_may_be_renewed_only_at_its_end_is_used_until_then(
    exact: Exact, storage: FileTokenStorage
) -> None:
    exact.box.state.oauth.earliest_refresh_s = 40
    oauth = exact.oauth(storage)
    exact.clock.advance(37)
    first = {access_token(oauth) for _ in range(3)}
    exact.clock.advance(4)
    second = access_token(oauth)

    assert len(first) == 1
    assert second not in first
    assert exact.is_good(second)
    assert exact.token_statuses() == [400, 200]


@pytest.mark.parametrize("rejected", [True, False])
def test_an_endpoint_that_allows_no_renewal_yet_is_asked_when_it_does(
    exact: Exact, storage: FileTokenStorage, rejected: bool
) -> None:
    """Exact issues a pair each 570 s, however short a token lives, so no login is needed."""
    exact.box.state.oauth.earliest_refresh_s = 570
    oauth, began = exact.oauth(storage), exact.clock.now()
    first = access_token(oauth)
    exact.clock.advance(45)
    for _ in range(3):  # asked once
        with pytest.raises(RemoteError) as caught:
            asyncio.run(oauth.report_rejected(first)) if rejected else access_token(oauth)
        assert caught.value.resumes_at == pytest.approx(began + 570, abs=2)
        assert "login" not in str(caught.value)

    exact.clock.advance(caught.value.resumes_at - exact.clock.now())  # type: ignore[operator]
    assert exact.is_good(access_token(oauth))
    assert exact.token_statuses() == [400, 200]


def test_an_endpoint_that_says_when_it_allows_a_renewal_is_asked_then() -> None:
    memory, at = Memory(tokens()), 1_700_000_000.0
    early = Reply(
        400,
        headers=(
            ("Reason", "TooEarlyToRefreshTokens: access_token not expired"),
            ("Retry-After", "7"),
        ),
    )
    clock = Clock(SandboxClock(at + 620, frozen=True))
    with Wire(early, Reply(body=pair_body())) as wire:
        oauth = OAuth("id", "secret", "", memory, base_url=wire.base_url, clock=clock)
        with pytest.raises(RemoteError) as caught:
            asyncio.run(oauth.report_rejected(tokens().access_token))
        assert caught.value.resumes_at == pytest.approx(at + 627, abs=0.1)

        clock.sandbox.advance(7)
        assert access_token(oauth) == "new-access-token"
