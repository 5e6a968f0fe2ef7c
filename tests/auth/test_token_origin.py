"""What Exact's answers say never takes a token, a secret or a call to another host (API 3.2, 1.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from exact_source.errors import ExactError
from exact_source.sandbox.server import serve
from tests.support.world import World

ACCOUNTS = "sync/CRM/Accounts"
TAKES_KEYS = "purchaseorder/PurchaseOrders"


class OtherHost:
    """A site that is none of Exact's: it takes whatever comes, and answers with no rows."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        names = {name.lower() for name, _ in scope["headers"]}
        self.heard.append((scope["method"], scope["path"], b"authorization" in names))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"d":{"results":[]}}'})


@pytest.fixture
def other(world: World) -> Iterator[OtherHost]:
    host = OtherHost()
    with serve(host) as host.url:
        world.box.settings.foreign_host = host.url
        yield host


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (ACCOUNTS, "foreign-next"),
        ("sync/Deleted", "foreign-redirect"),
        ("system/Divisions", "foreign-next"),
        ("current/Me", "foreign-redirect"),
        pytest.param(ACCOUNTS, "foreign-redirect", marks=pytest.mark.nightly),
        pytest.param("sync/Deleted", "foreign-next", marks=pytest.mark.nightly),
        pytest.param("system/Divisions", "foreign-redirect", marks=pytest.mark.nightly),
        pytest.param("current/Me", "foreign-next", marks=pytest.mark.nightly),
    ],
)
def test_no_call_goes_where_an_answer_sends_it(
    world: World, other: OtherHost, path: str, kind: str
) -> None:
    """A stream of pages, the lists that are read whole, and the first call of all."""
    world.sync("accounts")
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.box.fault(kind, path=path, times=99)

    outcome = world.sync("accounts")

    assert any(call.path == path for call in world.box.requests)
    assert other.heard == []
    assert outcome.exit_code != 0


def test_keys_are_not_asked_for_elsewhere(world: World, other: OtherHost) -> None:
    world.sync("purchase_orders")
    world.box.fault("foreign-next", path=TAKES_KEYS, times=99, after=1)

    world.sync("purchase_orders", reconcile=["purchase_orders"])

    assert len([call for call in world.box.requests if call.path == TAKES_KEYS]) > 2
    assert other.heard == []


def test_the_secret_and_the_refresh_token_are_not_sent_on(world: World, other: OtherHost) -> None:
    world.clock.sandbox.advance(700)
    world.box.fault("token-302", times=9)

    outcome = world.sync("accounts")

    assert isinstance(outcome.error, ExactError)
    assert [request.status for request in world.box.token_requests if request.status != 200]
    assert other.heard == []
