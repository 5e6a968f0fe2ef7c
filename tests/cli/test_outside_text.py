"""What Exact Online, or something in front of it, writes into a reply does no harm where it is shown."""

from __future__ import annotations

import gzip
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from exact_source.sandbox.server import serve
from tests.support.cli_fixtures import Cli

ACCOUNTS = "sync/CRM/Accounts"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


Send = Callable[[Any, Callable[..., Awaitable[None]]], Awaitable[None]]


@contextmanager
def instead_of_accounts(cli: Cli, patch: pytest.MonkeyPatch, answer: Send) -> Iterator[None]:
    """Let something else answer calls for accounts, the sandbox all others."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith(ACCOUNTS):
            await answer(scope, send)
        else:
            await cli.world.box.app(scope, receive, send)

    with serve(app, 0) as base_url:
        patch.setenv("SOURCES__EXACT_ONLINE__BASE_URL", base_url)
        yield


def test_a_reason_with_the_token_in_it_is_masked_wherever_it_goes(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may echo the request; ``make_cli`` searches all that is printed for the token."""

    async def answer(scope: Any, send: Any) -> None:
        token = dict(scope["headers"])[b"authorization"]
        reason = b"Denied: \x1b[31m%s\x1b[0m %s" % (token, b"why" * 500)
        await send({"type": "http.response.start", "status": 403, "headers": [(b"reason", reason)]})
        await send({"type": "http.response.body", "body": b""})

    with instead_of_accounts(cli, monkeypatch, answer):
        synced = cli("sync", "--entities=accounts,journals", cli.destination)
        status = cli("status", cli.destination)

    assert synced.code == 0  # Exact offers this stream to nobody, as far as the reply says
    errors = [row["error"] for row in cli.world.outcomes() if row["entity"] == "accounts"]
    assert len(errors) == 2
    assert all("403 Denied: Bearer ***" in error and len(error) < 500 for error in errors)
    for text in (*errors, synced.out, synced.err, status.out, status.err):
        assert not CONTROL.search(text)
        assert not [secret for secret in cli.secrets() if secret in text]


def test_a_reply_that_unpacks_without_end_ends_its_stream_and_no_other(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    bomb = gzip.compress(b'{"d":{"results":[' + b" " * 3_000_000 + b"]}}")

    async def answer(scope: Any, send: Any) -> None:
        asked.append(scope["path"])
        headers = [(b"content-encoding", b"gzip"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bomb})

    monkeypatch.setenv("SOURCES__EXACT_ONLINE__MAX_RESPONSE_MB", "2")
    with instead_of_accounts(cli, monkeypatch, answer):
        synced = cli("sync", "--entities=accounts,journals", cli.destination, "--json")

    assert synced.code == 3
    found = {(s["entity"], s["status"], s["code"]) for s in synced.json["streams"]}
    assert found == {("accounts", "failed", "contract"), ("journals", "complete", None)}
    assert len(asked) == len(set(asked)) == 2
    cli.world.assert_equal("journals")


def test_a_name_of_a_company_cannot_steer_the_terminal(cli: Cli) -> None:
    rows = cli.world.box.state.store.table(cli.world.division, "divisions").rows
    for row in rows.values():
        row["Description"] = "Molenaar\x1b[2J\x1b]0;owned\x07 Koffie\x9b1A B.V.\r\nerror: none"
        row["CustomerName"] = "Groep\x1b[31m"

    listed = cli("divisions")
    planned = cli("plan", "--entities=journals", cli.destination)

    for result in (listed, planned):
        assert result.code == 0
        assert "Molenaar Koffie B.V. error: none" in result.out
        assert not CONTROL.search(result.out + result.err)
