"""Rules of the storages that need neither a server nor a database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dlt
import httpx
import pytest

from exact_source.auth import DltStateTokenStorage, OAuth, SqlTokenStorage, TokenData
from exact_source.auth.storage import protocol
from exact_source.auth.storage.cipher import Cipher
from exact_source.auth.storage.from_settings import storage_from_settings
from exact_source.auth.storage.journal import JournaledStorage, Row
from exact_source.errors import AuthenticationError, ConfigurationError, TokenStoreError
from exact_source.settings import Settings
from tests.support.auth_kit import KEY, AsyncMemory, Memory, pair_body, tokens

REDIRECT = "https://books.example/callback"


class Table(JournaledStorage):
    """A row in memory, which cannot be written while the database is away."""

    def __init__(self, folder: Path, row: Row | None = None) -> None:
        super().__init__(Cipher(KEY), folder / "journal", "a table")
        self.row = row
        self.is_away = False

    @contextmanager
    def _lock(self) -> Iterator[None]:
        yield

    def _fetch(self) -> Row | None:
        return self.row

    def _write_row(self, row: Row) -> None:
        if self.is_away:
            raise TokenStoreError("the database is away")
        self.row = row

    def _remove(self) -> None:
        self.row = None

    def _probe(self) -> None:
        """Nothing can be wrong."""


# -- the journal -----------------------------------------------------------------------------------


def test_generations_count_the_stored_pairs(tmp_path: Path) -> None:
    table, found = Table(tmp_path), []
    for number in (1, 2, 3):
        with table.lock():
            table.save_tokens(tokens(number))
        assert table.row is not None
        found.append(table.row.generation)

    assert found == [1, 2, 3]


def test_a_pair_that_was_not_committed_waits_in_the_journal_for_the_next_lock(
    tmp_path: Path,
) -> None:
    table = Table(tmp_path)
    table.save_tokens(tokens(1))
    table.is_away = True
    with pytest.raises(TokenStoreError):
        table.save_tokens(tokens(2))

    later = Table(tmp_path, table.row)
    assert later.get_tokens() == tokens(2)
    with later.lock():
        pass
    assert later.row is not None
    assert later.row.generation == 2
    assert not (tmp_path / "journal").exists()
    assert later.get_tokens() == tokens(2)


def test_a_journal_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(TokenStoreError):
        Table(tmp_path).get_tokens()


def test_the_row_of_a_connection_exists_before_it_is_locked(tmp_path: Path) -> None:
    with SqlTokenStorage(f"sqlite:///{tmp_path}/tokens.db", key=KEY).lock():
        pass
    with closing(sqlite3.connect(tmp_path / "tokens.db")) as database:
        found = database.execute("SELECT name, generation, tokens FROM exact_oauth").fetchall()

    assert found == [("default", 0, None)]


# -- event loops -----------------------------------------------------------------------------------


class Plain(Memory):
    """A plain storage that notes in which event loop it is read."""

    def __init__(self, tokens: TokenData) -> None:
        super().__init__(tokens)
        self.loops: list[asyncio.AbstractEventLoop] = []

    def get_tokens(self) -> TokenData | None:
        self.loops.append(asyncio.get_running_loop())
        return super().get_tokens()


def test_a_plain_storage_is_used_in_another_event_loop_and_a_client_in_the_callers() -> None:
    storage, now = Plain(tokens(at=time.time())), time.time()
    loops: list[asyncio.AbstractEventLoop] = []

    async def answer(_request: httpx.Request) -> httpx.Response:
        loops.append(asyncio.get_running_loop())
        return httpx.Response(200, content=pair_body())

    async def ask() -> asyncio.AbstractEventLoop:
        await OAuth("id", "secret", REDIRECT, storage).access_token()
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            due = Memory(tokens(at=now - 1_000))
            await OAuth("id", "secret", REDIRECT, due, http_client=client).access_token()
        return asyncio.get_running_loop()

    home = asyncio.run(ask())
    assert len(storage.loops) == 1
    assert home not in storage.loops
    assert loops == [home]


@pytest.mark.parametrize(("storage", "is_plain"), [(Memory(), True), (AsyncMemory(), False)])
def test_a_storage_is_plain_if_nothing_of_it_is_async(storage: Any, is_plain: bool) -> None:
    assert protocol.StorageAdapter(storage).is_plain is is_plain


def test_who_waits_for_the_lock_of_another_event_loop_does_not_block_his_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []

    class Mutex:
        def acquire(self, **options: Any) -> bool:
            asked.append(options)
            return len(asked) > 2

    monkeypatch.setattr(protocol, "POLL_S", 0)
    mutex: Any = Mutex()
    asyncio.run(protocol._acquire(mutex, may_block=False))

    assert asked == [{"blocking": False}] * 3


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, pair_body(refresh_token=None), AuthenticationError),
        (400, b'{"error": "invalid_client"}', ConfigurationError),
        (400, b'{"error": "invalid_grant"}', AuthenticationError),
    ],
)
def test_a_code_that_brings_no_tokens_is_an_error(
    status: int, body: bytes, error: type[Exception]
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))

    async def exchange() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            await OAuth("id", "secret", REDIRECT, Memory(), http_client=client).exchange("code")

    with pytest.raises(error):
        asyncio.run(exchange())


def test_tokens_in_a_destination_need_one() -> None:
    settings = Settings(
        base_url="",
        client_id="id",
        client_secret="secret",
        redirect_uri=REDIRECT,
        token_storage="dlt",
        token_key=KEY,
    )
    with pytest.raises(ConfigurationError, match="token_destination"):
        storage_from_settings(settings)
    with pytest.raises(ConfigurationError) as caught:
        DltStateTokenStorage("nosuch://me:hunter2@host/books", key=KEY, dataset_name="books")

    assert "'nosuch'" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("kind", "way"), [("duckdb", "_replace"), ("bigquery", "_merge")])
def test_a_pair_is_stored_in_bigquery_by_one_statement(
    kind: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = dlt.destinations.duckdb(str(tmp_path / "tokens.duckdb"))
    folder = str(tmp_path)
    pipeline = dlt.pipeline("t", destination=destination, dataset_name="d", pipelines_dir=folder)
    storage = DltStateTokenStorage(pipeline, key=KEY)
    monkeypatch.setattr(storage, "_kind", kind)  # DuckDB knows the statement as well
    for other in {"_replace", "_merge"} - {way}:
        monkeypatch.delattr(DltStateTokenStorage, other)
    for number in (1, 2):
        storage.save_tokens(tokens(number))

    assert storage.get_tokens() == tokens(2)
