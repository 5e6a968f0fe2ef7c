"""Tokens in the destination: rotated in the middle of a load, they survive what the load does not."""

from __future__ import annotations

import asyncio
import base64
import shutil
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source.auth import DltStateTokenStorage, OAuth, TokenData
from exact_source.errors import ConfigurationError, TokenStoreError
from tests.support.auth_kit import KEY, Exact, exact_online, tokens
from tests.support.postgres import fresh_database
from tests.support.tiers import variants

MakePipeline = Callable[[str], dlt.Pipeline]


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture(params=["duckdb", "postgres"])
def make_pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakePipeline]:
    """Pipelines of one destination, each on a machine of its own."""

    def make(machine: str) -> dlt.Pipeline:
        return dlt.pipeline(
            "books",
            destination=destination,
            dataset_name="books",
            pipelines_dir=str(tmp_path / machine),
        )

    if request.param == "duckdb":
        destination: Any = dlt.destinations.duckdb(str(tmp_path / "ledger.duckdb"))
        yield make
        return
    with fresh_database() as dsn:
        destination = dlt.destinations.postgres(dsn)
        yield make


def rotate_in(exact: Exact, oauth: OAuth, how: str, *, fail: bool) -> Any:
    """A resource that needs a new token in the middle of its rows."""

    def plain() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        exact.clock.advance(575)
        asyncio.run(oauth.access_token())
        yield {"id": 2}
        if fail:
            raise ZeroDivisionError

    async def in_a_loop() -> AsyncIterator[dict[str, int]]:
        yield {"id": 1}
        exact.clock.advance(575)
        await oauth.access_token()
        yield {"id": 2}
        if fail:
            raise ZeroDivisionError

    function = in_a_loop if how == "async" else plain
    return dlt.resource(function, name="rows", parallelized=how == "parallelized")


@pytest.mark.parametrize("how", variants(["plain", "parallelized", "async"], "plain", "async"))
@pytest.mark.parametrize("fail", [False, True], ids=["succeeds", "fails"])
def test_a_pair_rotated_during_a_load_is_there_on_an_empty_machine(
    how: str, fail: bool, make_pipeline: MakePipeline, exact: Exact
) -> None:
    pipeline = make_pipeline("first")
    storage = DltStateTokenStorage(pipeline, key=KEY)
    storage.save_tokens(exact.new_tokens())
    oauth = exact.oauth(storage)

    if fail:
        with pytest.raises(PipelineStepFailed):
            pipeline.run(rotate_in(exact, oauth, how, fail=True))
    else:
        pipeline.run(rotate_in(exact, oauth, how, fail=False))
        with pipeline.sql_client() as client:
            assert client.execute_sql("SELECT id FROM rows ORDER BY id") == [(1,), (2,)]

    assert exact.token_statuses() == [200]
    shutil.rmtree(pipeline.pipelines_dir)
    elsewhere = exact.oauth(DltStateTokenStorage(make_pipeline("second"), key=KEY))
    assert exact.is_good(asyncio.run(elsewhere.access_token()))
    assert exact.token_statuses() == [200]
    exact.clock.advance(575)
    assert exact.is_good(asyncio.run(elsewhere.access_token()))
    assert exact.token_statuses() == [200, 200]


def test_a_run_of_the_pipeline_leaves_the_table_alone(
    make_pipeline: MakePipeline, exact: Exact
) -> None:
    pipeline = make_pipeline("first")
    storage = DltStateTokenStorage(pipeline, key=KEY)
    storage.save_tokens(tokens(1))

    for _ in range(2):
        pipeline.run([{"id": 1}], table_name="rows", refresh="drop_sources")

    assert storage.get_tokens() == tokens(1)


def test_only_the_newest_pair_is_kept_and_nothing_is_in_the_state(
    make_pipeline: MakePipeline, exact: Exact
) -> None:
    pipeline = make_pipeline("first")
    storage = DltStateTokenStorage(pipeline, key=KEY)
    oauth = exact.oauth(storage)
    storage.save_tokens(exact.new_tokens())
    for _ in range(3):
        pipeline.run(rotate_in(exact, oauth, "plain", fail=False))

    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT connection, generation, tokens FROM _exact_oauth")
        states = client.execute_sql("SELECT state FROM _dlt_pipeline_state")
    assert [tuple(row)[:2] for row in rows or []] == [("default", 4)]
    oauths = exact.box.state.oauth
    ever = {*oauths._refresh_tokens, *oauths._access_tokens}
    assert len(ever) >= 8
    texts = [zlib.decompress(base64.b64decode(state)).decode() for (state,) in states or []]
    texts += [str(row) for row in rows or []]
    local = Path(pipeline.pipelines_dir).rglob("*")
    texts += [path.read_bytes().decode("latin-1") for path in local if path.is_file()]
    assert len(texts) > 5
    assert [token for token in ever if [text for text in texts if token in text]] == []


def test_a_pair_that_a_crash_left_in_the_journal_is_taken_up(
    make_pipeline: MakePipeline, exact: Exact
) -> None:
    class Crash(BaseException):
        """Like a kill: nothing is caught or cleaned up on its way."""

    class Killed(DltStateTokenStorage):
        def _write_row(self, row: Any) -> None:
            raise Crash

    pipeline = make_pipeline("first")
    storage = DltStateTokenStorage(pipeline, key=KEY)
    storage.save_tokens(tokens(1))
    with pytest.raises(Crash):
        Killed(pipeline, key=KEY).save_tokens(tokens(2))

    assert DltStateTokenStorage(make_pipeline("second"), key=KEY).get_tokens() == tokens(1)
    assert storage.get_tokens() == tokens(2)
    with storage.lock():
        pass
    assert DltStateTokenStorage(make_pipeline("second"), key=KEY).get_tokens() == tokens(2)


def test_a_journal_that_a_login_has_overtaken_is_not_taken_up(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    storage = DltStateTokenStorage(make_pipeline("first"), key=KEY, journal=journal)
    storage.save_tokens(tokens(1))
    kept: list[bytes] = []
    write_row = storage._write_row

    def put(row: Any) -> None:
        kept.append(journal.read_bytes())
        write_row(row)

    storage._write_row = put  # type: ignore[method-assign]
    storage.save_tokens(tokens(2))
    DltStateTokenStorage(make_pipeline("second"), key=KEY).save_tokens(tokens(3))
    journal.write_bytes(kept[0])

    assert storage.get_tokens() == tokens(3)
    journal.write_bytes(b"damaged")
    with pytest.raises(TokenStoreError, match=r"token journal .* nothing was changed"):
        storage.get_tokens()


def test_a_destination_can_be_given_without_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    file = dlt.destinations.duckdb(str(tmp_path / "books.duckdb"))
    main = dlt.pipeline("main", destination=file, dataset_name="books", pipelines_dir=str(tmp_path))
    storage = DltStateTokenStorage(file, key=KEY, dataset_name="books")
    storage.save_tokens(tokens(1))

    assert dlt.current.pipeline() is main
    assert DltStateTokenStorage(main, key=KEY).get_tokens() == tokens(1)


def test_a_duckdb_file_may_have_the_name_of_the_dataset(tmp_path: Path) -> None:
    pipeline = dlt.pipeline(
        "books",
        destination=dlt.destinations.duckdb(str(tmp_path / "books.duckdb")),
        dataset_name="books",
        pipelines_dir=str(tmp_path),
    )
    storage = DltStateTokenStorage(pipeline, key=KEY)
    storage.save_tokens(tokens(1))
    with storage.lock():
        storage.save_tokens(tokens(2))

    assert storage.get_tokens() == tokens(2)


def test_places_that_would_lose_the_tokens_are_refused(tmp_path: Path) -> None:
    file = dlt.destinations.duckdb(str(tmp_path / "books.duckdb"))
    arguments: dict[str, Any] = {"destination": file, "pipelines_dir": str(tmp_path)}

    with pytest.raises(ConfigurationError, match="dev_mode"):
        DltStateTokenStorage(
            dlt.pipeline("dev", dataset_name="books", dev_mode=True, **arguments), key=KEY
        )
    with pytest.raises(ConfigurationError, match="dataset_name"):
        DltStateTokenStorage(file, key=KEY)
    with pytest.raises(ConfigurationError, match="destination"):
        DltStateTokenStorage(dlt.pipeline("none", pipelines_dir=str(tmp_path)), key=KEY)


def test_a_destination_without_tables_is_refused(tmp_path: Path) -> None:
    files = dlt.pipeline(
        "files",
        destination=dlt.destinations.filesystem(str(tmp_path / "files")),
        dataset_name="books",
        pipelines_dir=str(tmp_path),
    )

    with pytest.raises(ConfigurationError, match="filesystem, only with duckdb"):
        DltStateTokenStorage(files, key=KEY)


def test_a_duckdb_file_that_cannot_be_written_is_found_out_before_a_token_is_spent(
    exact: Exact, tmp_path: Path
) -> None:
    from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

    def make(*, read_only: bool) -> DltStateTokenStorage:
        credentials = DuckDbCredentials(str(tmp_path / "books.duckdb"))
        credentials.read_only = read_only
        pipeline = dlt.pipeline(
            "books",
            destination=dlt.destinations.duckdb(credentials),
            dataset_name="books",
            pipelines_dir=str(tmp_path),
        )
        return DltStateTokenStorage(pipeline, key=KEY)

    make(read_only=False).save_tokens(exact.new_tokens())
    exact.clock.advance(575)

    with pytest.raises(TokenStoreError, match="read-only"):
        asyncio.run(exact.oauth(make(read_only=True)).access_token())

    assert exact.token_statuses() == []
    assert exact.is_good(asyncio.run(exact.oauth(make(read_only=False)).access_token()))


def test_the_pair_is_the_type_that_was_saved(make_pipeline: MakePipeline) -> None:
    storage = DltStateTokenStorage(make_pipeline("first"), key=KEY)
    storage.save_tokens(tokens(1))

    assert isinstance(storage.get_tokens(), TokenData)
