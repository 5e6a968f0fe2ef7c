"""The database goes away in the middle of a refresh: the pair is kept and stored when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from exact_source.auth import TokenData
from exact_source.errors import TokenStoreError
from tests.support.auth_kit import Counted, Exact, StoreSpec, exact_online
from tests.support.postgres import fresh_database


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture(params=["postgres", "dlt-postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreSpec]:
    with fresh_database() as dsn:
        yield StoreSpec(request.param, str(tmp_path), dsn)


def execute(dsn: str, statement: str) -> None:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


def disconnect_everyone(dsn: str) -> None:
    execute(
        dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


class Interrupted(Counted):
    """A storage whose connection breaks between the answer of Exact and the commit."""

    def __init__(self, store: StoreSpec) -> None:
        super().__init__(store.open())
        self._dsn = store.dsn
        self.attempts = 0

    def save_tokens(self, tokens: TokenData) -> None:
        self.attempts += 1
        if self.attempts == 1:
            disconnect_everyone(self._dsn)
        super().save_tokens(tokens)


def test_a_connection_that_breaks_under_the_lock_is_made_again(
    exact: Exact, store: StoreSpec
) -> None:
    store.open().save_tokens(exact.new_tokens())
    exact.clock.advance(575)
    storage = Interrupted(store)

    token = asyncio.run(exact.oauth(storage).access_token())

    assert storage.attempts == 2
    assert exact.is_good(token)
    pair = store.open().get_tokens()
    assert pair is not None
    assert pair.access_token == token
    assert exact.token_statuses() == [200]


def test_a_database_that_stays_away_leaves_the_pair_in_the_journal(
    exact: Exact, store: StoreSpec, tmp_path: Path
) -> None:
    store.open().save_tokens(exact.new_tokens())
    exact.clock.advance(575)
    table = "exact_oauth" if store.kind == "postgres" else "books._exact_oauth"

    disturbing = Broken(store, table)
    oauth = exact.oauth(disturbing)
    with pytest.raises(TokenStoreError, match="could not be stored"):
        asyncio.run(oauth.access_token())
    disturbing.repair()

    assert exact.token_statuses() == [200]
    restarted = exact.oauth(store.open())  # a new process, which has nothing in memory
    assert exact.is_good(asyncio.run(restarted.access_token()))
    assert exact.token_statuses() == [200]
    assert not (tmp_path / "journal").exists()


class Broken(Counted):
    """A storage whose table is dropped once Exact has answered."""

    def __init__(self, store: StoreSpec, table: str) -> None:
        super().__init__(store.open())
        self._dsn, self._table = store.dsn, table
        self._is_gone = False

    def save_tokens(self, tokens: TokenData) -> None:
        if not self._is_gone:
            disconnect_everyone(self._dsn)
            execute(self._dsn, f"ALTER TABLE {self._table} RENAME TO elsewhere")
            self._is_gone = True
        super().save_tokens(tokens)

    def repair(self) -> None:
        schema, _, name = self._table.rpartition(".")
        place = f"{schema}.elsewhere" if schema else "elsewhere"
        execute(self._dsn, f"ALTER TABLE {place} RENAME TO {name}")
