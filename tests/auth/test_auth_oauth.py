from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from exact_source.auth import FileTokenStorage, OAuth, TokenData
from exact_source.errors import AuthenticationError, ConfigurationError
from tests.support.auth_kit import (
    AsyncMemory,
    BuiltIn,
    Connection,
    Exact,
    Memory,
    StoreSpec,
    exact_online,
    start_worker,
)


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture
def file(exact: Exact) -> FileTokenStorage:
    """A store with a pair that is not due."""
    storage = FileTokenStorage(exact.folder / "tokens.json")
    storage.save_tokens(exact.new_tokens())
    return storage


def run(awaitable: Any) -> Any:
    async def main() -> Any:
        return await awaitable

    return asyncio.run(main())


def stored(storage: BuiltIn) -> TokenData:
    tokens = storage.get_tokens()
    assert tokens is not None
    return tokens


def test_a_login_ends_with_stored_tokens_that_work(exact: Exact) -> None:
    oauth = exact.oauth()
    asked = parse_qs(urlsplit(oauth.authorization_url("my state", force_login=True)).query)
    assert asked == {
        "client_id": [exact.box.client_id],
        "redirect_uri": [exact.box.redirect_uri],
        "response_type": ["code"],
        "state": ["my state"],
        "force_login": ["1"],
    }
    answer = httpx.get(oauth.authorization_url("my state"), trust_env=False)

    tokens = run(oauth.exchange(answer.headers["Location"], state="my state"))

    assert exact.is_good(run(oauth.access_token()))
    assert exact.is_good(stored(FileTokenStorage(exact.folder / "tokens.json")).access_token)
    assert tokens.expires_at == datetime.fromtimestamp(exact.clock.now() + 600, UTC)
    assert exact.token_statuses() == [200]


def test_a_code_that_is_url_encoded_is_decoded(exact: Exact) -> None:
    run(exact.oauth().exchange(exact.box.login()["code"].replace("!", "%21")))

    assert "!" in exact.box.token_requests[0].form["code"]
    assert exact.token_statuses() == [200]


def test_a_token_is_used_for_570_seconds_and_then_refreshed(
    exact: Exact, file: FileTokenStorage
) -> None:
    oauth, first = exact.oauth(file), stored(file)
    exact.clock.advance(569)
    assert run(oauth.access_token()) == first.access_token
    assert exact.box.token_requests == []
    exact.clock.advance(1.001)

    token = run(oauth.access_token())

    assert token == stored(file).access_token != first.access_token
    assert exact.is_good(token)
    assert exact.token_statuses() == [200]


def test_after_days_of_rest_the_refresh_token_still_works(
    exact: Exact, file: FileTokenStorage
) -> None:
    exact.clock.advance(29 * 86400)

    assert exact.is_good(run(exact.oauth(file).access_token()))


@pytest.mark.parametrize("own_client", [False, True])
def test_coroutines_share_one_refresh(
    exact: Exact, file: FileTokenStorage, own_client: bool
) -> None:
    exact.clock.advance(575)

    async def main() -> set[str]:
        async with httpx.AsyncClient(trust_env=False) as client:
            oauth = exact.oauth(file, http_client=client if own_client else None)
            return set(await asyncio.gather(*(oauth.access_token() for _ in range(100))))

    assert len(run(main())) == 1
    assert exact.token_statuses() == [200]


def test_objects_threads_and_event_loops_share_one_refresh(
    exact: Exact, file: FileTokenStorage
) -> None:
    exact.clock.advance(575)
    shared = exact.oauth(file)
    oauths = [shared] * 8 + [exact.oauth(file) for _ in range(4)]
    oauths += [exact.oauth(FileTokenStorage(exact.folder / "tokens.json")) for _ in range(4)]

    with ThreadPoolExecutor(len(oauths)) as pool:
        found = set(pool.map(lambda oauth: run(oauth.access_token()), oauths))

    assert found == {stored(file).access_token}
    assert exact.token_statuses() == [200]


def test_a_refresh_by_another_process_is_found_in_the_store(
    exact: Exact, file: FileTokenStorage
) -> None:
    oauth = exact.oauth(file)
    run(oauth.access_token())
    exact.clock.advance(575)
    worker = start_worker("rotate", exact.connection().to_json(), "1", "1")
    worker.communicate()
    exact.box.token_requests.clear()

    assert run(oauth.access_token()) == stored(file).access_token
    assert exact.token_statuses() == []


@asynccontextmanager
async def client_or_none(own_client: bool) -> AsyncIterator[httpx.AsyncClient | None]:
    """With a client of the caller's the rotation runs in the caller's event loop."""
    if not own_client:
        yield None
        return
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("own_client", [False, True])
def test_the_event_loop_goes_on_while_the_lock_is_taken(
    exact: Exact, file: FileTokenStorage, own_client: bool
) -> None:
    exact.clock.advance(575)
    release = threading.Event()
    taken = threading.Event()

    def hold() -> None:
        with FileTokenStorage(exact.folder / "tokens.json").lock():
            taken.set()
            release.wait(30)

    async def main() -> str:
        async with client_or_none(own_client) as client:
            oauth = exact.oauth(file, http_client=client)
            waiting = asyncio.create_task(oauth.access_token())
            for _ in range(20):  # the loop turns, though the token cannot be had
                await asyncio.sleep(0.01)
            assert not release.is_set()
            assert not waiting.done()
            release.set()
            return await waiting

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        taken.wait()
        assert exact.is_good(run(main()))
        holding.result()


@pytest.mark.parametrize("own_client", [False, True])
def test_a_rotation_survives_the_cancellation_of_who_asked(
    exact: Exact, file: FileTokenStorage, own_client: bool
) -> None:
    """Streams are cancelled when another fails; an unread reply would lose the connection."""
    exact.clock.advance(575)
    arrived, go_on = threading.Event(), threading.Event()

    class Slow(FileTokenStorage):
        def save_tokens(self, tokens: TokenData) -> None:
            arrived.set()
            go_on.wait(30)
            super().save_tokens(tokens)

    def read_when_done() -> TokenData:
        with file.lock():  # held until the rotation is done
            return stored(file)

    async def main() -> TokenData:
        async with client_or_none(own_client) as client:
            oauth = exact.oauth(Slow(exact.folder / "tokens.json"), http_client=client)
            asking = asyncio.create_task(oauth.access_token())
            await asyncio.to_thread(arrived.wait)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            go_on.set()
            return await asyncio.to_thread(read_when_done)

    before = stored(file)
    after = run(main())

    assert after != before
    assert exact.is_good(after.access_token)


def test_a_rotation_outlives_the_event_loop_that_asked(
    exact: Exact, file: FileTokenStorage
) -> None:
    exact.clock.advance(575)
    arrived, go_on = threading.Event(), threading.Event()

    class Slow(FileTokenStorage):
        def save_tokens(self, tokens: TokenData) -> None:
            arrived.set()
            go_on.wait(30)
            super().save_tokens(tokens)

    async def main() -> None:
        oauth = exact.oauth(Slow(exact.folder / "tokens.json"))
        asking = asyncio.create_task(oauth.access_token())
        await asyncio.to_thread(arrived.wait)
        del asking  # the loop ends, and cancels whatever is left in it

    run(main())
    go_on.set()

    with file.lock():
        assert exact.is_good(stored(file).access_token)
    assert exact.token_statuses() == [200]


@pytest.mark.parametrize("turns", range(4))
def test_an_error_after_who_asked_was_stopped_is_not_printed(exact: Exact, turns: int) -> None:
    """After the first error of a stream, dlt stops the event loop of all of them, whatever they wait for."""
    arrived, go_on = threading.Event(), threading.Event()
    printed: list[Any] = []

    class Slow(Memory):
        def get_tokens(self) -> None:
            arrived.set()
            go_on.wait(30)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, facts: printed.append(facts))
    oauth = exact.oauth(Slow())
    asking = loop.create_task(oauth.access_token())
    loop.run_until_complete(asyncio.to_thread(arrived.wait))
    (refresh,) = [t for t in threading.enumerate() if t.name.startswith("exact-oauth")]
    go_on.set()
    refresh.join()
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()
    asking.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    del oauth, asking
    gc.collect()

    assert [facts for facts in printed if "exception" in facts] == []


def test_without_tokens_it_says_to_log_in(exact: Exact) -> None:
    with pytest.raises(AuthenticationError, match=r"no tokens are stored.*exact-source login"):
        run(exact.oauth().access_token())


def test_a_rejected_token_is_replaced_by_the_one_another_process_stored(
    exact: Exact, file: FileTokenStorage
) -> None:
    oauth, old = exact.oauth(file), stored(file)
    run(oauth.access_token())
    file.save_tokens(exact.new_tokens())

    assert run(oauth.report_rejected(old.access_token)) == stored(file).access_token
    assert exact.box.token_requests == []


def test_a_rejected_token_of_age_is_refreshed_once_for_all(
    exact: Exact, file: FileTokenStorage
) -> None:
    oauth, old = exact.oauth(file), stored(file)
    run(oauth.access_token())
    exact.clock.advance(601)

    async def main() -> set[str]:
        return set(
            await asyncio.gather(*(oauth.report_rejected(old.access_token) for _ in range(9)))
        )

    assert run(main()) == {stored(file).access_token}
    assert exact.token_statuses() == [200]
    assert run(oauth.report_rejected(old.access_token)) == stored(file).access_token
    assert exact.token_statuses() == [200]


def test_a_young_token_that_is_rejected_is_an_error_and_no_refresh(
    exact: Exact, file: FileTokenStorage
) -> None:
    oauth = exact.oauth(file)
    exact.clock.advance(300)

    with pytest.raises(AuthenticationError, match=r"300 s after it was issued.*exact-source login"):
        run(oauth.report_rejected(run(oauth.access_token())))

    assert exact.box.token_requests == []


class Awaitables(Memory):
    """Plain methods whose results are awaited, as those of a partial are; no lock."""

    def __init__(self, tokens: TokenData | None = None) -> None:
        super().__init__(tokens)
        self.loops: set[int] = set()

    def get_tokens(self) -> Awaitable[TokenData | None]:  # type: ignore[override]
        async def get() -> TokenData | None:
            self.loops.add(id(asyncio.get_running_loop()))
            return self.tokens

        return get()

    def save_tokens(self, tokens: TokenData) -> Awaitable[None]:  # type: ignore[override]
        async def save() -> None:
            self.loops.add(id(asyncio.get_running_loop()))
            await asyncio.sleep(0)
            self.tokens = tokens

        return save()


class PlainRead(Awaitables):
    """That its writes are awaited shows only when a refresh token was spent."""

    def get_tokens(self) -> TokenData | None:  # type: ignore[override]
        return self.tokens


class AwaitedLock(AsyncMemory):
    """A lock that has to be awaited before it is entered."""

    async def lock(self) -> asyncio.Lock:  # type: ignore[override]
        await asyncio.sleep(0)
        return self._lock


@pytest.mark.parametrize("kind", [Memory, AsyncMemory, Awaitables, PlainRead, AwaitedLock])
def test_any_object_with_two_methods_is_a_storage(exact: Exact, kind: type[Memory]) -> None:
    async def main() -> None:
        storage = kind(exact.new_tokens())
        oauth = exact.oauth(storage)
        exact.clock.advance(575)
        found = set(await asyncio.gather(*(oauth.access_token() for _ in range(20))))
        assert storage.tokens is not None
        assert found == {storage.tokens.access_token}
        if isinstance(storage, AsyncMemory | Awaitables):
            assert storage.loops == {id(asyncio.get_running_loop())}

    run(main())

    assert exact.token_statuses() == [200]


def test_two_objects_with_one_unlocked_storage_share_one_refresh(exact: Exact) -> None:
    storage = Memory(exact.new_tokens())
    exact.clock.advance(575)

    with ThreadPoolExecutor(6) as pool:
        oauths = [exact.oauth(storage) for _ in range(6)]
        found = set(pool.map(lambda oauth: run(oauth.access_token()), oauths))

    assert len(found) == 1
    assert exact.token_statuses() == [200]


def test_a_storage_without_a_lock_is_warned_about_once(
    exact: Exact, caplog: pytest.LogCaptureFixture
) -> None:
    oauth = exact.oauth(Memory(exact.new_tokens()))
    with caplog.at_level(logging.WARNING):
        run(oauth.access_token())
        exact.clock.advance(575)
        run(oauth.access_token())

    warnings = [record.message for record in caplog.records if "lock()" in record.message]
    assert len(warnings) == 1
    assert "guarded within this process only; a second process" in warnings[0]


def test_a_plain_lock_is_released_by_the_thread_that_took_it(exact: Exact) -> None:
    """threading.RLock insists on that; it is used from the caller's loop because of the client."""

    class Locked(Memory):
        def __init__(self, tokens: TokenData) -> None:
            super().__init__(tokens)
            self.mutex = threading.RLock()
            self.used = 0

        @contextmanager
        def lock(self) -> Iterator[None]:
            with self.mutex:
                self.used += 1
                yield

    storage = Locked(exact.new_tokens())
    exact.clock.advance(575)

    async def main() -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await exact.oauth(storage, http_client=client).access_token()

    assert exact.is_good(run(main()))
    assert storage.used == 1


def test_a_storage_that_returns_something_else_is_refused(exact: Exact) -> None:
    class Wrong(Memory):
        def get_tokens(self) -> TokenData | None:
            return {"access_token": "x"}  # type: ignore[return-value]

    with pytest.raises(ConfigurationError, match="returned a dict; it must return TokenData"):
        run(exact.oauth(Wrong()).access_token())
    with pytest.raises(ConfigurationError, match="no method get_tokens"):
        exact.oauth(object())


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"base_url": "http://start.exactonline.nl"}, "base_url"),
    ],
)
def test_a_bad_argument_is_named(exact: Exact, changes: dict[str, str], setting: str) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        exact.oauth(**changes)


def test_the_redirect_uri_is_only_needed_to_log_in(exact: Exact, file: FileTokenStorage) -> None:
    oauth = exact.oauth(file, redirect_uri="")

    assert exact.is_good(run(oauth.access_token()))
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        oauth.authorization_url()
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        run(oauth.exchange("code"))
    assert exact.box.token_requests == []


def test_the_repr_holds_no_secret(exact: Exact) -> None:
    assert exact.box.client_secret not in repr(exact.oauth())


def test_a_connection_can_be_handed_over(exact: Exact, tmp_path: Path) -> None:
    connection = exact.connection(StoreSpec("sqlite", str(tmp_path)))

    assert Connection.from_json(connection.to_json()) == connection
    assert isinstance(connection.oauth(), OAuth)
