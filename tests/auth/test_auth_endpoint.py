"""Bad days of the token endpoint: nothing is spent twice, and the message says what happened."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from exact_source.auth import FileTokenStorage, OAuth, TokenData
from exact_source.errors import (
    AuthenticationError,
    ConfigurationError,
    ExactError,
    RemoteError,
    TokenStoreError,
)
from tests.cli.test_pace import Jumps
from tests.support.auth_kit import Exact, Memory, Reply, Wire, exact_online, pair_body, tokens

LOST = ["token-lost", "token-drop", "token-empty", "token-html", "token-500", "token-503"]
UNROTATED = [kind for kind in LOST if kind != "token-lost"]


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture
def storage(exact: Exact) -> FileTokenStorage:
    """A store with a pair that is due."""
    storage = FileTokenStorage(exact.folder / "tokens.json")
    storage.save_tokens(exact.new_tokens())
    exact.clock.advance(575)
    return storage


def access_token(oauth: OAuth) -> str:
    return asyncio.run(oauth.access_token())


def test_a_lost_reply_and_a_void_token_end_in_a_message_that_says_both(
    exact: Exact, storage: FileTokenStorage
) -> None:
    before = storage.get_tokens()
    exact.box.fault("token-lost")
    oauth = exact.oauth(storage)

    with pytest.raises(
        AuthenticationError,
        match=r"reply to the token refresh of \d{4}-.* UTC was lost .*spent.*exact-source login",
    ):
        access_token(oauth)

    # The request that was lost, and one try with the stored token (API 1.4).
    assert [r.form["refresh_token"] for r in exact.box.token_requests] == [
        before.refresh_token if before else ""
    ] * 2
    assert storage.get_tokens() == before


def test_with_grace_a_lost_reply_costs_nothing(exact: Exact, storage: FileTokenStorage) -> None:
    exact.box.state.oauth.grace = True
    exact.box.fault("token-lost")

    assert exact.is_good(access_token(exact.oauth(storage)))
    assert len(exact.box.token_requests) == 2


@pytest.mark.parametrize("kind", UNROTATED)
def test_a_broken_answer_is_tried_once_more(
    kind: str, exact: Exact, storage: FileTokenStorage
) -> None:
    exact.box.fault(kind)

    assert exact.is_good(access_token(exact.oauth(storage)))
    assert len(exact.box.token_requests) == 2


@pytest.mark.parametrize("kind", UNROTATED)
def test_two_broken_answers_are_a_passing_trouble_and_keep_the_tokens(
    kind: str, exact: Exact, storage: FileTokenStorage
) -> None:
    before = storage.get_tokens()
    exact.box.fault(kind, times=2)
    oauth = exact.oauth(storage)

    with pytest.raises(RemoteError, match="tokens are kept, run again later") as caught:
        access_token(oauth)

    assert "login" not in str(caught.value)
    assert len(exact.box.token_requests) == 2
    assert storage.get_tokens() == before
    assert exact.is_good(access_token(oauth))


def test_a_server_that_is_not_there_was_sent_nothing(
    exact: Exact, storage: FileTokenStorage
) -> None:
    before = storage.get_tokens()

    with pytest.raises(RemoteError, match=r"could not be reached.*nothing was sent") as caught:
        access_token(exact.oauth(storage, base_url="http://127.0.0.1:9"))

    assert "login" not in str(caught.value)
    assert storage.get_tokens() == before


@pytest.mark.parametrize("status", [400, 401])
def test_too_early_goes_on_with_the_token_there_is(
    status: int, exact: Exact, storage: FileTokenStorage
) -> None:
    """This computer's clock was set forward; Exact's Date shows it, so it is asked once only."""
    exact.box.state.oauth.early_status = status
    pair = exact.new_tokens()
    storage.save_tokens(pair)
    oauth = exact.oauth(storage, clock=Ahead(exact, 3600))

    for _ in range(5):
        assert access_token(oauth) == pair.access_token
        exact.clock.advance(100)

    assert exact.token_statuses() == [status]
    exact.clock.advance(80)
    assert exact.is_good(access_token(oauth))
    assert exact.token_statuses() == [status, 200]


EARLY = Reply(400, headers=(("Reason", "TooEarlyToRefreshTokens: access_token not expired"),))
AT = 1_700_000_000.0  # when ``tokens()`` were issued


def test_a_lost_reply_and_then_too_early_lets_the_access_token_live_out_its_time() -> None:
    with Wire(Reply(200), EARLY) as wire:
        assert access_token(overdue(Memory(tokens()), wire)) == tokens().access_token


def test_a_lost_reply_and_then_too_early_waits_for_a_new_pair_if_the_old_one_has_expired() -> None:
    memory, clock = Memory(tokens()), Standing(AT + 2 * 86400)
    with Wire(Reply(200), EARLY, Reply(body=pair_body())) as wire:
        oauth = OAuth("id", "the-secret", "", memory, base_url=wire.base_url, clock=clock)
        for _ in range(2):  # the second time without a request
            with pytest.raises(
                RemoteError,
                match=r"of 2023-11-16 \S+ UTC was lost \(HTTP 200 with an empty body\); Exact Online "
                r"has issued the new tokens.*run again in 10 minutes.*exact-source login",
            ):
                access_token(oauth)
        assert len(wire.forms) == 2

        clock.at += 700  # with grace the old refresh token still works
        assert access_token(oauth) == "new-access-token"


def test_too_early_for_a_token_that_exact_rejects_is_not_a_login_for_ever() -> None:
    """Another program has the newest pair; whether the stored one still works shows later."""
    memory, clock = Memory(tokens()), Standing(AT + 580)
    with Wire(EARLY, Reply(body=pair_body())) as wire:
        oauth = OAuth("id", "the-secret", "", memory, base_url=wire.base_url, clock=clock)
        with pytest.raises(RemoteError, match=r"recently issued newer tokens.*in 10 minutes"):
            asyncio.run(oauth.report_rejected(tokens().access_token))

        clock.at += 600
        assert access_token(oauth) == "new-access-token"


def test_a_lost_reply_and_then_nobody_there_says_both() -> None:
    wire = Wire(Reply(200))

    class Closing(Standing):
        async def sleep(self, seconds: float) -> None:
            wire.close()

    clock = Closing(AT + 580)
    oauth = OAuth("id", "the-secret", "", Memory(tokens()), base_url=wire.base_url, clock=clock)

    with pytest.raises(RemoteError, match=r"UTC was lost .*could not be reached.*kept") as caught:
        access_token(oauth)

    assert "nothing was sent" not in str(caught.value)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (Reply(429), r"and then Exact Online is limiting token requests"),
        (
            Reply(503),
            r"and the reply to the second attempt was lost too \(HTTP 503 with an empty body\)",
        ),
    ],
)
def test_a_lost_reply_and_another_passing_trouble_says_both(second: Reply, said: str) -> None:
    with Wire(Reply(200), second) as wire, pytest.raises(RemoteError) as caught:
        access_token(overdue(Memory(tokens()), wire))

    assert re.search(
        rf"of 2023-11-14 \S+ UTC was lost \(HTTP 200 .*\), {said}.*kept", str(caught.value)
    )


def test_a_token_that_expires_before_its_slow_reply_is_old_is_refreshed() -> None:
    """Exact counts from some moment while the reply was on its way; here, from the first."""
    pair = TokenData.from_reply(
        {"access_token": "slow-access", "refresh_token": "slow-refresh", "expires_in": "600"},
        sent_at=AT,
        received_at=AT + 45,
        server_offset_s=None,
    )
    clock = Standing(AT + 603)
    with Wire(Reply(body=pair_body())) as wire:
        oauth = OAuth("id", "the-secret", "", Memory(pair), base_url=wire.base_url, clock=clock)

        assert access_token(oauth) == "slow-access"
        assert asyncio.run(oauth.report_rejected("slow-access")) == "new-access-token"


def test_too_early_without_a_date_asks_again_after_a_minute() -> None:
    memory, clock = Memory(tokens()), Standing(1_700_000_580.0)
    with Wire(EARLY, Reply(body=pair_body())) as wire:
        oauth = OAuth("id", "the-secret", "", memory, base_url=wire.base_url, clock=clock)

        assert [access_token(oauth) for _ in range(3)] == [tokens().access_token] * 3
        assert len(wire.forms) == 1
        clock.at += 61
        assert access_token(oauth) == "new-access-token"


def test_a_clock_set_back_is_noticed_by_the_date_of_a_data_call(
    exact: Exact, storage: FileTokenStorage
) -> None:
    back = Ahead(exact, -7200)
    oauth = exact.oauth(storage, clock=back)
    old = access_token(oauth)  # seems to be two hours in the future
    assert exact.token_statuses() == []

    token = asyncio.run(oauth.report_rejected(old, date=formatdate(exact.clock.now(), usegmt=True)))

    assert exact.is_good(token)
    assert exact.token_statuses() == [200]


def test_a_clock_set_back_by_minutes_is_noticed_by_the_date_of_the_rejection() -> None:
    """By this computer the token is five minutes old, too young to be rejected for its age."""
    pair = TokenData.from_reply(
        {"access_token": "old-access", "refresh_token": "old-refresh", "expires_in": "600"},
        sent_at=AT,
        received_at=AT,
        server_offset_s=0.0,
    )
    clock = Standing(AT + 300)
    with Wire(Reply(body=pair_body())) as wire:
        oauth = OAuth("id", "the-secret", "", Memory(pair), base_url=wire.base_url, clock=clock)
        date = formatdate(AT + 610, usegmt=True)

        assert asyncio.run(oauth.report_rejected("old-access", date=date)) == "new-access-token"


def test_a_clock_set_forward_does_not_make_a_refresh_early(
    exact: Exact, storage: FileTokenStorage
) -> None:
    ahead = Ahead(exact, 0)
    oauth = exact.oauth(storage, clock=ahead)
    access_token(oauth)
    ahead.seconds = 3600
    oauth.note_date(formatdate(exact.clock.now(), usegmt=True))
    access_token(oauth)

    assert exact.token_statuses() == [200]


def test_an_old_refresh_token_is_an_error_that_is_not_asked_twice(
    exact: Exact, storage: FileTokenStorage
) -> None:
    exact.box.state.oauth.issue(exact.box.state.oauth.connections[-1])  # another program refreshed
    exact.clock.advance(600)
    oauth = exact.oauth(storage)

    for _ in range(3):
        with pytest.raises(AuthenticationError, match=r"was used before.*exact-source login"):
            access_token(oauth)

    assert exact.token_statuses() == [401]
    storage.save_tokens(exact.new_tokens())  # a login
    assert exact.is_good(access_token(oauth))


def test_a_storage_that_another_host_wrote_meanwhile_is_read_again(exact: Exact) -> None:
    """Without a lock across processes another one may be faster; its pair is used."""

    class Overtaken(Memory):
        def __init__(self) -> None:
            super().__init__(exact.new_tokens())
            self.newer = TokenData("newer-access", "newer-refresh", "bearer", tokens().expires_at)

        def get_tokens(self) -> TokenData | None:
            found, self.tokens = self.tokens, self.newer
            return found

    storage = Overtaken()
    exact.box.state.oauth.issue(exact.box.state.oauth.connections[-1])
    exact.clock.advance(575)

    assert access_token(exact.oauth(storage)) == "newer-access"
    assert exact.token_statuses() == [401]


@pytest.mark.parametrize(
    ("days", "message"), [(31, "unused for 30 days|went unused"), (0, "was used before")]
)
def test_an_expired_and_a_used_refresh_token_are_distinguished(
    days: int, message: str, exact: Exact, storage: FileTokenStorage
) -> None:
    exact.clock.advance(days * 86400)
    if not days:
        exact.box.state.oauth.issue(exact.box.state.oauth.connections[-1])

    with pytest.raises(AuthenticationError, match=message):
        access_token(exact.oauth(storage))


def test_a_withdrawn_connection_is_a_broken_chain(exact: Exact, storage: FileTokenStorage) -> None:
    exact.box.state.oauth.revoke()

    with pytest.raises(AuthenticationError, match=r"chain is broken.*exact-source login"):
        access_token(exact.oauth(storage))


def test_a_wrong_client_secret_names_the_settings(exact: Exact, storage: FileTokenStorage) -> None:
    oauth = exact.oauth(storage, client_secret="wrong-secret")

    with pytest.raises(ConfigurationError, match="client_id, client_secret") as caught:
        access_token(oauth)

    assert "wrong-secret" not in str(caught.value)
    assert exact.is_good(access_token(exact.oauth(storage)))


@pytest.mark.parametrize("kind", ["late", "used", "unknown"])
def test_a_code_that_is_no_good_says_so(kind: str, exact: Exact) -> None:
    code = exact.box.login()["code"]
    oauth = exact.oauth()
    if kind == "late":
        exact.clock.advance(181)
    elif kind == "used":
        asyncio.run(oauth.exchange(code))

    with pytest.raises(AuthenticationError, match=r"works once, within 3 minutes.*login"):
        asyncio.run(oauth.exchange("unknown" if kind == "unknown" else code))


@pytest.mark.parametrize("kind", LOST)
def test_a_code_is_never_sent_twice(kind: str, exact: Exact) -> None:
    exact.box.fault(kind, times=5)

    with pytest.raises(AuthenticationError, match=r"code works only once.*login"):
        asyncio.run(exact.oauth().exchange(exact.box.login()["code"]))

    assert len(exact.box.token_requests) == 1


def test_a_login_that_reaches_nobody_keeps_the_code(exact: Exact) -> None:
    with pytest.raises(RemoteError, match=r"not exchanged.*could not be reached"):
        asyncio.run(exact.oauth(base_url="http://127.0.0.1:9").exchange("code"))


CASES: list[tuple[Reply, type[Exception], str]] = [
    (Reply(302, b"", (("Location", "/elsewhere"),)), RemoteError, "HTTP 302"),
    (Reply(200, b'{"access_token": "a'), RemoteError, "holds no tokens"),
    (Reply(200, pair_body()[:60], missing=40), RemoteError, "after the request was sent"),
    (Reply(200, bytes(2_000_000) + pair_body()), RemoteError, "holds no tokens"),
    (Reply(429), RemoteError, "limiting token requests"),
    (Reply(403), AuthenticationError, "refuses the stored refresh token.*HTTP 403"),
    (Reply(400, b'{"error":"new_error"}'), AuthenticationError, "new_error"),
    (Reply(403, b"<html>error code 403: blocked"), RemoteError, "HTTP 403 with an HTML page"),
    (Reply(404, b"<html>not found"), RemoteError, "HTTP 404 with an HTML page"),
    (Reply(401, b"<html>client credentials?"), RemoteError, "HTTP 401 with an HTML page"),
    (Reply(429, b"<html>slow down"), RemoteError, "limiting token requests"),
]


@pytest.mark.parametrize(("reply", "error", "message"), CASES)
def test_other_answers_are_distinguished(
    reply: Reply, error: type[Exception], message: str
) -> None:
    memory = Memory(tokens())
    with Wire(reply, reply) as wire, pytest.raises(error, match=message):
        access_token(overdue(memory, wire))

    assert memory.tokens == tokens()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=pair_body()),
        Reply(body=pair_body(expires_in="soon")),
        Reply(body=pair_body(expires_in=None, token_type=None)),
        Reply(body=pair_body(), missing=20),  # cut off behind the last brace
        Reply(body=pair_body(), headers=(("Date", "never"),)),
        Reply(body=pair_body(), headers=(("Date", f"Fri, 01 May {10**20} 12:00:00 GMT"),)),
    ],
)
def test_no_oddity_of_a_good_answer_costs_the_pair(reply: Reply) -> None:
    memory = Memory(tokens())
    with Wire(reply) as wire:
        assert access_token(overdue(memory, wire)) == "new-access-token"

    assert memory.tokens is not None
    assert memory.tokens.refresh_token == "new-refresh-token"
    assert len(wire.forms) == 1


@pytest.mark.parametrize("status", [400, 500])
def test_an_answer_that_quotes_the_client_secret_is_not_quoted(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    said = f"{'x ' * 95}the-secret is wrong"  # cut off in the middle of it
    reply = Reply(status, json.dumps({"error": "the-secret", "error_description": said}).encode())
    with Wire(reply, reply) as wire, pytest.raises(ExactError) as caught:
        access_token(overdue(Memory(tokens()), wire))

    assert "*** / x x" in f"{caught.value} {caplog.text}" or status == 500
    assert "the-s" not in f"{caught.value} {caplog.text}"


def test_a_reply_without_a_refresh_token_keeps_the_one_there_is() -> None:
    memory = Memory(tokens())
    with Wire(Reply(body=pair_body(refresh_token=None))) as wire:
        access_token(overdue(memory, wire))

    assert memory.tokens is not None
    assert memory.tokens.refresh_token == tokens().refresh_token


def test_the_request_is_a_form_on_a_connection_of_its_own() -> None:
    with Wire(Reply(body=pair_body())) as wire:
        access_token(overdue(Memory(tokens()), wire))

    assert wire.forms == [
        {
            "grant_type": "refresh_token",
            "refresh_token": tokens().refresh_token,
            "client_id": "id",
            "client_secret": "the-secret",
        }
    ]
    assert wire.headers[0]["Content-Type"] == "application/x-www-form-urlencoded"
    assert wire.headers[0]["Connection"] == "close"


class Failing(Memory):
    """A storage whose next so many writes fail."""

    def __init__(self, failures: int) -> None:
        super().__init__(tokens())
        self.failures = failures

    def save_tokens(self, tokens: TokenData) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        super().save_tokens(tokens)


def test_a_write_that_fails_is_tried_again_before_the_token_is_used() -> None:
    storage = Failing(2)
    with Wire(Reply(body=pair_body())) as wire:
        assert access_token(overdue(storage, wire)) == "new-access-token"

    assert storage.tokens is not None
    assert storage.tokens.access_token == "new-access-token"


def test_a_pair_that_could_not_be_written_is_kept_and_written_at_the_next_call() -> None:
    storage = Failing(4)
    with Wire(Reply(body=pair_body())) as wire:
        oauth = overdue(storage, wire)
        with pytest.raises(TokenStoreError, match=r"No space left.*kept in memory"):
            access_token(oauth)
        assert storage.tokens == tokens()

        assert access_token(oauth) == "new-access-token"
        assert storage.tokens is not None
        assert storage.tokens.access_token == "new-access-token"
        assert len(wire.forms) == 1


@pytest.mark.parametrize("tells", [True, False])
def test_an_error_of_a_store_that_holds_the_pair_is_not_passed_on(tells: bool) -> None:
    class Telling(Memory):
        def save_tokens(self, tokens: TokenData) -> None:
            raise ValueError(f"cannot store {tokens.refresh_token if tells else 'it'}")

    with Wire(Reply(body=pair_body())) as wire, pytest.raises(TokenStoreError) as caught:
        access_token(overdue(Telling(tokens()), wire))

    refresh_token = json.loads(pair_body())["refresh_token"]
    assert refresh_token not in "".join(traceback.format_exception(caught.value))
    assert (caught.value.__cause__ is None) == tells


def test_a_store_that_cannot_be_written_is_found_out_before_the_token_is_spent(
    exact: Exact, storage: FileTokenStorage
) -> None:
    class Full(FileTokenStorage):
        def check_writable(self) -> None:
            raise TokenStoreError("token file x cannot be written: No space left on device")

    with pytest.raises(TokenStoreError, match="No space left"):
        access_token(exact.oauth(Full(exact.folder / "tokens.json")))

    assert exact.box.token_requests == []
    assert exact.is_good(access_token(exact.oauth(storage)))


class Standing:
    """A frozen clock."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Ahead:
    """This computer's clock: wrong by so many seconds."""

    def __init__(self, exact: Exact, seconds: float) -> None:
        self._clock = exact.clock
        self.seconds = seconds

    def now(self) -> float:
        return self._clock.now() + self.seconds

    async def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)


def overdue(storage: Any, wire: Wire) -> OAuth:
    """A connection whose pair, that of ``tokens()``, is due."""
    clock = Standing(1_700_000_580.0)
    return OAuth("id", "the-secret", "", storage, base_url=wire.base_url, clock=clock)


def test_a_reply_that_takes_long_is_waited_for() -> None:
    """Giving up while Exact is still at work loses the new pair (API 1.4)."""
    memory, body = Memory(tokens()), pair_body()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(85)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async def refresh() -> str:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        clock = Standing(1_700_000_580.0)
        async with httpx.AsyncClient(trust_env=False) as client:  # so it runs in this event loop
            oauth = OAuth(
                "id", "x-secret", "", memory, base_url=url, clock=clock, http_client=client
            )
            found = await oauth.access_token()
        server.close()
        return found

    with closing(Jumps().new_loop()) as loop:
        assert loop.run_until_complete(refresh()) == "new-access-token"
