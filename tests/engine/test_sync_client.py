"""Replies of all kinds and the reaction to them, with a server that follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from exact_source.client.call import Call
from exact_source.client.client import ANSWER_S, ExactClient
from exact_source.client.ports import TokenSource
from exact_source.client.retry import ATTEMPTS
from exact_source.client.transport import CONNECTIONS
from exact_source.errors import AuthenticationError, LimitError, RefusedError, RemoteError
from exact_source.odata.envelope import BrokenPageError
from exact_source.sandbox.rules.faults import LOGIN_PAGE
from tests.cli.test_pace import START, JumpingLoop, Jumps
from tests.support.world import World

DIVISION = 7
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Answer:
    """One answer; without anything it is an empty list."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"d": []}'
    after_s: float = 0.0


def parse(body: bytes) -> Any:
    """As pages are read."""
    if body.startswith(b"<"):
        raise BrokenPageError("a: the answer is HTML or XML", reason="markup")
    return json.loads(body)


class Tokens:
    """A token for each time that the last one was rejected."""

    def __init__(self) -> None:
        self.rejected = 0

    async def access_token(self) -> str:
        return f"token {self.rejected}"

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        del access_token, date
        self.rejected += 1
        return await self.access_token()


class Script:
    """Answers calls one after the other from a script; with empty lists after its end."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str, float]] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        token = headers["authorization"].removeprefix("Bearer ")
        self.calls.append((scope["path"][1:], token, asyncio.get_running_loop().time()))
        answer = self.answers.pop(0) if self.answers else Answer()
        await asyncio.sleep(answer.after_s)
        lines = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        start = {"type": "http.response.start", "status": answer.status, "headers": lines}
        await send(start)
        await send({"type": "http.response.body", "body": answer.body.encode()})


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    made = Jumps().new_loop()
    yield made
    made.close()


def make_client(
    loop: JumpingLoop, server: Script, tokens: TokenSource | None = None
) -> ExactClient:
    transport = httpx.ASGITransport(server)
    return ExactClient(tokens or Tokens(), "http://exact", clock=loop.jumps, transport=transport)


def ask(
    loop: JumpingLoop, server: Script, *names: str, tokens: TokenSource | None = None
) -> list[Any]:
    """Ask for these endpoints of one division side by side, in this order of ranks."""

    async def everything() -> list[Any]:
        client = make_client(loop, server, tokens)
        gets = [
            client.get(Call(DIVISION, name, name, (0.0, rank)), f"/{name}", parse)
            for rank, name in enumerate(names or ("a",))
        ]
        try:
            return await asyncio.gather(*gets, return_exceptions=True)
        finally:
            await client.close()

    return loop.run_until_complete(everything())


LOGIN_PAGES = [
    Answer(401, HTML, LOGIN_PAGE),
    Answer(302, {"Location": "/docs/Login.aspx?ReturnUrl=%2fapi"}, ""),
    Answer(200, HTML, LOGIN_PAGE),
]


@pytest.mark.parametrize("page", LOGIN_PAGES, ids=lambda page: str(page.status))
def test_a_login_page_says_that_the_token_is_no_good(loop: JumpingLoop, page: Answer) -> None:
    server = Script(page)
    assert ask(loop, server) == [{"d": []}]
    assert [token for _, token, _ in server.calls] == ["token 0", "token 1"]
    assert loop.time() < 1

    server = Script(page, page, page)
    (error,) = ask(loop, server)
    assert isinstance(error, AuthenticationError)
    assert len(server.calls) == 2


class YoungTokens(Tokens):
    """A token that is too young to be rejected for its age, as long as ``OAuth`` can tell."""

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        await super().report_rejected(access_token, date=date)
        raise AuthenticationError("access was withdrawn")

    async def access_token(self) -> str:
        return "young token"


@pytest.mark.parametrize(
    ("page", "calls"), list(zip(LOGIN_PAGES, [1, 2, 2], strict=True)), ids=["401", "302", "200"]
)
def test_a_login_page_for_a_young_token_is_doubted_once_unless_it_is_a_401(
    loop: JumpingLoop, page: Answer, calls: int
) -> None:
    server = Script(page)
    (found,) = ask(loop, server, tokens=YoungTokens())
    assert isinstance(found, AuthenticationError) if calls == 1 else found == {"d": []}
    assert len(server.calls) == calls

    server = Script(page, page, page)
    (error,) = ask(loop, server, tokens=YoungTokens())
    assert isinstance(error, AuthenticationError)
    assert "access was withdrawn" in str(error)
    assert len(server.calls) == calls


@pytest.mark.parametrize("kind", ["html-login", "302"])
def test_a_sync_survives_one_login_page(world: World, kind: str) -> None:
    world.box.fault(kind, path="sync/CRM/Accounts", times=1)

    assert world.sync("accounts", "journals").exit_code == 0
    world.assert_equal("accounts")


def test_another_page_is_no_answer_and_asked_for_again(loop: JumpingLoop) -> None:
    page = Answer(200, HTML, "<html>Exact Online is currently unavailable</html>")
    server = Script(page)
    assert ask(loop, server) == [{"d": []}]
    assert [token for _, token, _ in server.calls] == ["token 0", "token 0"]


@pytest.mark.parametrize("status", [408, 500, 503])
@pytest.mark.parametrize("text", ["1200", formatdate(START + 1200, usegmt=True)])
def test_a_server_that_says_when_to_come_back_is_believed(
    loop: JumpingLoop, status: int, text: str
) -> None:
    server = Script(Answer(status, {"Retry-After": text}))
    assert ask(loop, server) == [{"d": []}]
    (_, _, first), (_, _, second) = server.calls
    assert 1199 <= second - first <= 1202


def test_an_endpoint_in_trouble_lets_the_others_of_its_division_pass(loop: JumpingLoop) -> None:
    server = Script(Answer(503))
    assert ask(loop, server, "a", "b", "c") == [{"d": []}] * 3
    assert [name for name, _, _ in server.calls] == ["a", "b", "c", "a"]


def test_an_answer_that_never_ends_is_given_up(loop: JumpingLoop) -> None:
    server = Script(*[Answer(after_s=10 * ANSWER_S)] * ATTEMPTS)  # each byte comes in time
    (error,) = ask(loop, server)
    assert isinstance(error, RemoteError)
    assert "TimeoutError" in str(error)
    assert len(server.calls) == ATTEMPTS


def test_an_hour_of_others_calls_is_no_failure(loop: JumpingLoop) -> None:
    server = Script(*[Answer(429)] * 99)
    (error,) = ask(loop, server)
    assert isinstance(error, LimitError)
    assert loop.time() > 3600


def test_a_refusal_of_the_question_who_asks_is_waited_out_minute_by_minute(world: World) -> None:
    world.box.fault("429", path="current/Me", times=3)
    before = world.clock.sandbox.now()
    with world.watch() as calls:
        assert world.sync("journals").exit_code == 0

    assert calls.statuses("current/Me") == [429, 429, 429, 200]
    assert world.clock.sandbox.now() - before >= 3 * 60


def refusal(status: int, text: str) -> Answer:
    body = json.dumps({"error": {"code": "", "message": {"lang": "", "value": text}}})
    return Answer(status, {"Content-Type": "application/json", "Reason": "NoDivisionAccess"}, body)


def test_a_refused_read_says_what_exact_said_without_values(
    loop: JumpingLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "exact_source.client.client")
    long = f"Cannot read 'crm.accounts' scope, nor\r\n'Jansen' \x1b[31mof 1234567. {'Why? ' * 200}"

    (error,) = ask(loop, Script(refusal(403, long)))

    assert isinstance(error, RefusedError)
    assert (error.status, error.reason) == (403, "NoDivisionAccess")
    assert "403 NoDivisionAccess: Cannot read 'crm.accounts' scope, nor '***' of ***" in str(error)
    assert "exact-source divisions" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 500
    assert f"'Jansen' of 1234567. {'Why? ' * 199}Why?" in caplog.text


def test_a_refused_change_repeats_nothing_of_what_was_sent(loop: JumpingLoop) -> None:
    server = Script(refusal(400, "CallbackURL https://books.example/x is not allowed"))

    async def change() -> None:
        client = make_client(loop, server)
        await client.change(Call(DIVISION, "a", "a"), "POST", "/a", {"Topic": "Items"})

    with pytest.raises(RefusedError) as caught:
        loop.run_until_complete(change())

    assert "CallbackURL" not in str(caught.value)
    assert "400 NoDivisionAccess" in str(caught.value)


# -- stops -----------------------------------------------------------------------------------------


class Stops:
    """Cancels each request from the moment at which a stop is requested."""

    def __init__(self) -> None:
        self.is_requested = False

    def before_call(self, call: Call) -> None:
        if self.is_requested:
            raise LimitError(f"{call.where}: stopped", resumes_at=START)


class SlowTokens(Tokens):
    """A stop is requested while a token is being refreshed."""

    def __init__(self, stops: Stops) -> None:
        super().__init__()
        self._stops = stops

    async def access_token(self) -> str:
        await asyncio.sleep(1)
        self._stops.is_requested = True
        return "token"


def test_no_call_follows_a_stop_that_came_while_a_token_was_refreshed(loop: JumpingLoop) -> None:
    stops, server = Stops(), Script()

    async def everything() -> list[Any]:
        client = make_client(loop, server, SlowTokens(stops))
        calls = [Call(n, "a", "a", before_call=stops.before_call) for n in range(300)]
        gets = [client.get(call, "/a", parse) for call in calls]
        return await asyncio.gather(*gets, return_exceptions=True)

    found = loop.run_until_complete(everything())
    assert {type(error) for error in found} == {LimitError}
    assert not server.calls


def test_no_call_waits_for_a_connection_while_a_stop_is_requested(loop: JumpingLoop) -> None:
    stops = Stops()
    server = Script(*[Answer(after_s=1.0)] * 300)

    async def everything() -> list[Any]:
        client = make_client(loop, server)
        calls = [Call(n, "a", "a", before_call=stops.before_call) for n in range(300)]
        gets = [asyncio.ensure_future(client.get(call, "/a", parse)) for call in calls]
        await asyncio.sleep(0.5)
        stops.is_requested = True
        return await asyncio.gather(*gets, return_exceptions=True)

    found = loop.run_until_complete(everything())
    assert len(server.calls) == CONNECTIONS
    assert [type(each) for each in found].count(LimitError) == 300 - CONNECTIONS


def test_rights_are_not_asked_after_a_stop(loop: JumpingLoop) -> None:
    stops, server = Stops(), Script()
    stops.is_requested = True
    client = make_client(loop, server)
    with pytest.raises(LimitError):
        loop.run_until_complete(
            client.has_rights(
                Call(DIVISION, "a", "a", before_call=stops.before_call), "crm/Accounts"
            )
        )
    assert not server.calls
