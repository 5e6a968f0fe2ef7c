"""One suite for every store: saved tokens are found again by every process, one process at a time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy.exc import SQLAlchemyError

from exact_source.auth import DltStateTokenStorage, FileTokenStorage, OAuth, SqlTokenStorage
from exact_source.auth.storage.dlt_state import TABLE
from exact_source.errors import AuthenticationError, ConfigurationError, TokenStoreError
from exact_source.sandbox import SandboxClock
from tests.support.auth_kit import (
    KEY,
    POSTGRES_STORES,
    STORES,
    BuiltIn,
    Reply,
    StoreSpec,
    Wire,
    pair_body,
    tokens,
)
from tests.support.postgres import dump_tables, fresh_database
from tests.support.world import Clock

BIGQUERY = pytest.param("dlt-bigquery", marks=pytest.mark.xdist_group("bigquery"))
EVERY = [*STORES, BIGQUERY]
ENCRYPTED = [kind for kind in EVERY if kind != "file"]
OTHER_KEY = Fernet.generate_key().decode()


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreSpec]:
    if request.param == "dlt-bigquery":
        request.getfixturevalue("bigquery")
    if request.param not in POSTGRES_STORES:
        yield StoreSpec(request.param, str(tmp_path))
        return
    with fresh_database() as dsn:
        yield StoreSpec(request.param, str(tmp_path), dsn)


every_store = pytest.mark.parametrize("store", EVERY, indirect=True)
every_encrypted_store = pytest.mark.parametrize("store", ENCRYPTED, indirect=True)


@every_store
def test_before_the_first_login_there_is_nothing(store: StoreSpec) -> None:
    assert store.open().get_tokens() is None


@every_store
def test_what_is_saved_is_found_by_another_process(store: StoreSpec) -> None:
    store.open().save_tokens(tokens(1))

    assert store.open().get_tokens() == tokens(1)


@every_store
def test_the_newest_pair_replaces_the_one_before(store: StoreSpec) -> None:
    storage = store.open()
    for number in (1, 2, 3):
        with storage.lock():
            storage.check_writable()
            storage.save_tokens(tokens(number))

    assert storage.get_tokens() == tokens(3)


@every_store
def test_a_rehearsal_changes_nothing(store: StoreSpec) -> None:
    storage = store.open()
    with storage.lock():
        storage.check_writable()
    assert storage.get_tokens() is None
    storage.save_tokens(tokens(1))
    with storage.lock():
        storage.check_writable()

    assert store.open().get_tokens() == tokens(1)


@every_store
def test_an_exception_under_the_lock_releases_it(store: StoreSpec) -> None:
    storage = store.open()
    storage.save_tokens(tokens(1))
    with pytest.raises(ZeroDivisionError):
        _fail_under_lock(storage)

    with store.open().lock():
        assert storage.get_tokens() == tokens(1)


@every_store
def test_after_a_logout_there_is_nothing(store: StoreSpec) -> None:
    storage = store.open()
    storage.delete_tokens()
    storage.save_tokens(tokens(1))
    storage.delete_tokens()

    assert store.open().get_tokens() is None
    storage.save_tokens(tokens(2))
    assert store.open().get_tokens() == tokens(2)


@every_store
@pytest.mark.parametrize("share", [True, False], ids=["one-object", "two-objects"])
def test_the_lock_lets_one_in_at_a_time(store: StoreSpec, share: bool) -> None:
    first = store.open()
    second = first if share else store.open()
    first.save_tokens(tokens(1))
    order: list[str] = []
    inside = threading.Event()

    def wait_for_the_lock() -> None:
        inside.wait()
        with second.lock():
            found = second.get_tokens()
            order.append("second" if found == tokens(2) else "second saw the old pair")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for_the_lock)
        with first.lock():
            assert first.get_tokens() == tokens(1)
            inside.set()
            # Long enough for the other thread to come in if nothing keeps it out.
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
            order.append("first")
            first.save_tokens(tokens(2))
        waiting.result()

    assert order == ["first", "second"]


@every_encrypted_store
def test_neither_tokens_nor_key_are_stored_in_plain_text(store: StoreSpec, tmp_path: Path) -> None:
    storage = store.open()
    with storage.lock():
        storage.save_tokens(tokens(1))
    storage.save_tokens(tokens(2))

    if store.dsn:
        written = dump_tables(store.dsn).encode()
    elif isinstance(storage, DltStateTokenStorage) and store.kind == "dlt-bigquery":
        with storage.pipeline.sql_client() as client:
            table = client.make_qualified_table_name(TABLE)
            rows = client.execute_sql(f"SELECT * FROM {table}")
        written = repr([tuple(row) for row in rows or ()]).encode()
    else:
        written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert len(written) > 1000
    assert b"aaaaaaaa" not in written
    assert b"rrrrrrrr" not in written
    assert KEY.encode() not in written


@every_encrypted_store
def test_an_older_key_reads_and_the_newest_writes(store: StoreSpec) -> None:
    store.open(KEY).save_tokens(tokens(1))
    both = store.open(f"{OTHER_KEY}, {KEY}")
    assert both.get_tokens() == tokens(1)

    both.save_tokens(tokens(2))

    assert store.open(OTHER_KEY).get_tokens() == tokens(2)
    with pytest.raises(TokenStoreError, match=r"token_key is not the key.*nothing was changed"):
        store.open(KEY).get_tokens()


LOGOUT = "run `exact-source logout`, then `exact-source login`"


@every_encrypted_store
def test_a_lost_key_is_an_error_that_advises_logout_and_login_works_after_it(
    store: StoreSpec,
) -> None:
    store.open(KEY).save_tokens(tokens(1))
    other = store.open(OTHER_KEY)
    with pytest.raises(TokenStoreError, match=rf"token_key is not the key.*{LOGOUT}"):
        other.get_tokens()

    other.delete_tokens()
    with other.lock():
        assert other.get_tokens() is None
        other.check_writable()
        other.save_tokens(tokens(2))

    assert other.get_tokens() == tokens(2)


@pytest.mark.parametrize("store", ["sqlite", "postgres", "dlt-duckdb"], indirect=True)
@pytest.mark.parametrize(
    "text",
    ["damaged", "", Fernet(KEY).encrypt(b"{}").decode()],
    ids=["no cipher", "empty", "no pair"],
)
def test_a_damaged_journal_says_the_same(store: StoreSpec, text: str, tmp_path: Path) -> None:
    storage = store.open()
    storage.save_tokens(tokens(1))
    (tmp_path / "journal").write_text(text)
    with pytest.raises(TokenStoreError, match=rf"journal {tmp_path}/journal .*{LOGOUT}"):
        storage.get_tokens()

    storage.delete_tokens()
    storage.save_tokens(tokens(2))

    assert storage.get_tokens() == tokens(2)


@every_store
def test_a_logout_during_a_refresh_waits_for_its_end(store: StoreSpec) -> None:
    """Else the pair that is on its way would come back after it."""
    storage, other = store.open(), store.open()
    storage.save_tokens(tokens(1))
    with ThreadPoolExecutor(1) as pool:
        with storage.lock():
            storage.check_writable()
            leaving = pool.submit(other.delete_tokens)
            with pytest.raises(TimeoutError):
                leaving.result(timeout=0.2)
            storage.save_tokens(tokens(2))
        leaving.result()

    assert storage.get_tokens() is None


@every_store
def test_neither_repr_nor_description_holds_a_secret(store: StoreSpec) -> None:
    storage = store.open()
    storage.save_tokens(tokens(1))
    shown = f"{storage!r} {storage.describe()} {vars(storage)}"

    assert KEY not in shown
    assert "aaaaaaaa" not in shown
    assert ":none@" not in shown  # the password in the address


@pytest.mark.parametrize("key", [None, ""])
def test_a_database_demands_a_key(key: str | None, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="token_key"):
        SqlTokenStorage(f"sqlite:///{tmp_path}/x.db", key=key)
    with pytest.raises(ConfigurationError, match="token_key"):
        DltStateTokenStorage("duckdb", dataset_name="x", key=key)


@pytest.mark.parametrize("key", ["secret", "AAAA", f"{KEY},secret", ","])
def test_a_bad_key_is_refused_without_showing_it(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="token_key") as caught:
        FileTokenStorage(tmp_path / "t.json", key=key)

    assert "secret" not in str(caught.value).replace("secrets", "")


@pytest.mark.parametrize(
    "url",
    [
        "no url",
        "mssql+pyodbc://sa:hush@host/db?driver=x",
        "redis://user:hush@host",
        "postgresql+nope://u:hush@h",
    ],
)
def test_a_database_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SqlTokenStorage(url, key=KEY)

    assert "hush" not in str(caught.value)


def test_a_database_that_is_not_there_is_a_clear_error() -> None:
    storage = SqlTokenStorage("postgresql://u:hush@127.0.0.1:9/none", key=KEY)

    with pytest.raises(TokenStoreError, match=r"exact_oauth.*refused") as caught:
        storage.get_tokens()

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("store", ["sqlite", "postgres", "dlt-postgres", BIGQUERY], indirect=True)
def test_connections_in_one_table_stay_apart(store: StoreSpec, tmp_path: Path) -> None:
    def named(name: str) -> SqlTokenStorage | DltStateTokenStorage:
        storage = store.open()
        assert not isinstance(storage, FileTokenStorage)
        if isinstance(storage, SqlTokenStorage):
            return SqlTokenStorage(
                store.dsn or f"sqlite:///{tmp_path}/tokens.db", key=KEY, name=name
            )
        return DltStateTokenStorage(storage.pipeline, key=KEY, name=name)

    named("one").save_tokens(tokens(1))
    named("two").save_tokens(tokens(2))
    named("two").delete_tokens()

    assert named("one").get_tokens() == tokens(1)
    assert named("two").get_tokens() is None


def _fail_under_lock(storage: BuiltIn) -> None:
    with storage.lock():
        storage.check_writable()
        raise ZeroDivisionError


USED = Reply(401, b'{"error":"unauthorized_client","error_description":"Old refresh token used."}')
GRANT = Reply(400, b'{"error":"invalid_grant"}')


def ask(store: StoreSpec, wire: Wire) -> str:
    """What a process gets that knows nothing but the store."""
    clock = Clock(SandboxClock(1_700_000_580.0, frozen=True))  # the pair is due
    oauth = OAuth("id", "secret", "", store.open(), base_url=wire.base_url, clock=clock)
    return asyncio.run(oauth.access_token())


def test_a_logout_removes_what_a_killed_writer_left(tmp_path: Path) -> None:
    storage = StoreSpec("file", str(tmp_path)).open()
    storage.save_tokens(tokens(1))
    (file,) = (path for path in tmp_path.rglob("*") if path.suffix == ".json")
    draft = file.with_name(f".{file.name}.4711.new")
    draft.write_text("half a pair")
    storage.delete_tokens()

    assert not file.exists()
    assert not draft.exists()


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("refusal", [USED, GRANT], ids=["used", "grant"])
def test_a_refresh_token_that_was_refused_is_not_sent_by_another_process(
    store: StoreSpec, refusal: Reply
) -> None:
    store.open().save_tokens(tokens(1))
    with Wire(refusal, Reply(body=pair_body()), USED) as wire:
        for _ in range(3):
            with pytest.raises(AuthenticationError, match="exact-source login") as caught:
                ask(store, wire)
            assert caught.type is AuthenticationError
        assert len(wire.forms) == 1

        storage = store.open()
        with storage.lock():  # a login
            storage.save_tokens(tokens(2))
        assert ask(store, wire) == "new-access-token"
        assert len(wire.forms) == 2


@pytest.mark.parametrize("store", ["file", "sqlite"], indirect=True)
def test_what_may_pass_is_not_remembered_nor_does_anything_stay_after_a_logout(
    store: StoreSpec,
) -> None:
    store.open().save_tokens(tokens(1))
    with Wire(Reply(403), USED) as wire:
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                ask(store, wire)
        assert len(wire.forms) == 2  # the first refusal may have been a firewall's
    refused = store.open().refusal_file
    assert refused is not None
    assert tokens(1).refresh_token not in refused.read_text()

    store.open().delete_tokens()
    assert not refused.exists()


def test_races_of_processes_send_a_refused_token_once(tmp_path: Path) -> None:
    store = StoreSpec("file", str(tmp_path))
    store.open().save_tokens(tokens(1))

    def fail(_number: int) -> type[Exception]:
        with pytest.raises(AuthenticationError) as caught:
            ask(store, wire)
        return caught.type

    with Wire(USED) as wire, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fail, range(8))) == {AuthenticationError}
    assert len(wire.forms) == 1


def test_a_refusal_that_cannot_be_noted_or_read_costs_a_request_and_nothing_else(
    tmp_path: Path,
) -> None:
    store = StoreSpec("file", str(tmp_path))
    storage = store.open()
    storage.save_tokens(tokens(1))
    assert storage.refusal_file is not None
    storage.refusal_file.mkdir()
    with Wire(USED, USED, Reply(body=pair_body())) as wire:
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                ask(store, wire)
        storage.refusal_file.rmdir()
        storage.refusal_file.write_text('{"fingerprint": 7')
        assert ask(store, wire) == "new-access-token"


def test_a_traceback_about_the_database_shows_nothing_that_was_to_be_stored(tmp_path: Path) -> None:
    """Logs hold tracebacks; SQLAlchemy would put the values of the statement into them."""
    store = StoreSpec("sqlite", str(tmp_path))
    store.open().save_tokens(tokens(1))
    with closing(sqlite3.connect(tmp_path / "tokens.db")) as database:
        database.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON exact_oauth BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    storage = store.open()

    with pytest.raises(TokenStoreError) as caught:
        storage.save_tokens(tokens(2))

    told = "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__cause__, SQLAlchemyError)
    assert "UPDATE exact_oauth" in told
    assert "gAAAA" not in told  # the beginning of each text that Fernet makes
