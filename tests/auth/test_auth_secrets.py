"""Whatever a run writes, of a good day and of a bad one: no token, code, secret or key is in it."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from exact_source.auth import DltStateTokenStorage, OAuth
from exact_source.errors import ExactError
from tests.support.auth_kit import (
    KEY,
    POSTGRES_STORES,
    ROOT,
    STORES,
    BuiltIn,
    Connection,
    Exact,
    SharedClock,
    StoreSpec,
    exact_online,
)
from tests.support.postgres import dump_tables, fresh_database
from tests.support.tiers import variants

LOADING = {"file", "file-encrypted", "dlt-duckdb", "dlt-postgres"}
TELLTALE = "this line shows that the log is written"


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


def talk(text: str, code: str, second_code: str) -> None:
    """A good day, then a bad one, as loud as can be; run in a process of its own."""
    logging.basicConfig(level=logging.DEBUG, filename="debug.log")
    logging.getLogger("talk").debug(TELLTALE)
    connection = Connection.from_json(text)
    storage = connection.store.open()
    oauth = connection.oauth(storage)
    clock = SharedClock(connection.clock)
    pair = asyncio.run(oauth.exchange(code))
    sys.stdout.write(f"{pair} {oauth} {storage} {vars(oauth)} {vars(storage)}\n")
    if connection.store.kind in LOADING:
        load_books(connection, storage)
    log_in(connection.oauth(Broken(storage)), second_code)
    for seconds in (1, 575, 575, 575, 575):  # good, good, one HTML page, lost for good, refused
        clock.advance(seconds)
        attempt(oauth)
    storage.save_tokens(storage.get_tokens())  # type: ignore[arg-type]
    wrong = OAuth("wrong-id", "wrong-hush-hush", "", storage, base_url=connection.base_url)
    attempt(wrong)
    log_in(oauth, code)  # a second time
    if isinstance(storage, DltStateTokenStorage):
        load(storage, oauth)


class Broken:
    """A store that talks too much when it fails."""

    def __init__(self, inner: Any) -> None:
        self.get_tokens, self.lock = inner.get_tokens, inner.lock

    def save_tokens(self, tokens: Any) -> None:
        raise OSError(f"cannot write {tokens.refresh_token}")


def log_in(oauth: OAuth, code: str) -> None:
    try:
        asyncio.run(oauth.exchange(f"https://x/?code={quote(code, safe='')}"))
    except ExactError:
        traceback.print_exc()


def attempt(oauth: OAuth) -> None:
    logger = logging.getLogger("exact_source.auth.oauth")
    try:
        token = asyncio.run(oauth.access_token())
        logging.getLogger("httpx").info("GET /api/v1/x with Bearer %s", token)
    except ExactError:
        traceback.print_exc()
        logger.exception("no token")


def load_books(connection: Connection, storage: BuiltIn) -> None:
    """A load that succeeds: its folder, its packages and its tables stay behind."""
    import dlt

    from exact_source import exact_online as source

    if isinstance(storage, DltStateTokenStorage):
        pipeline = storage.pipeline
    else:
        file = dlt.destinations.duckdb("ledger.duckdb")
        pipeline = dlt.pipeline(
            "books", destination=file, dataset_name="books", pipelines_dir="pipelines"
        )
    pipeline.run(
        source(
            entities="journals",
            token_storage=storage,
            base_url=connection.base_url,
            client_id=connection.client_id,
            client_secret=connection.client_secret,
            redirect_uri=connection.redirect_uri,
            clock=SharedClock(connection.clock),
        )
    )
    with pipeline.sql_client() as client:
        ((rows,),) = client.execute_sql("SELECT count(*) FROM journals") or ()
        for table in ("_exact_syncs", "_dlt_pipeline_state", "_dlt_loads"):
            sys.stdout.write(str(client.execute_sql(f"SELECT * FROM {table}")))
    sys.stdout.write(f"{pipeline.last_trace}\n{rows} journals loaded\n")


def load(storage: DltStateTokenStorage, oauth: OAuth) -> None:
    """A run of dlt that fails for want of a token; it leaves a trace and a package behind."""
    import dlt
    from dlt.pipeline.exceptions import PipelineStepFailed

    @dlt.resource
    def rows() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        asyncio.run(oauth.access_token())

    try:
        storage.pipeline.run(rows())
    except PipelineStepFailed:
        traceback.print_exc()
    sys.stdout.write(str(storage.pipeline.last_trace))


@pytest.mark.parametrize("kind", variants(STORES, "file-encrypted"))
def test_nothing_that_a_run_writes_holds_a_secret(kind: str, exact: Exact, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with ExitStack() as stack:
        dsn = stack.enter_context(fresh_database()) if kind in POSTGRES_STORES else ""
        connection = exact.connection(StoreSpec(kind, str(folder), dsn))
        codes = [exact.box.login()["code"], exact.box.login()["code"]]
        exact.box.fault("token-html", after=3)
        exact.box.fault("token-lost", after=5)

        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; from tests.auth.test_auth_secrets import talk; talk(*sys.argv[1:])",
                connection.to_json(),
                *codes,
            ],
            cwd=folder,
            env={
                "PYTHONPATH": str(ROOT),
                "RUNTIME__LOG_LEVEL": "DEBUG",
                "RUNTIME__DLTHUB_TELEMETRY": "false",
                "HOME": str(folder),
                "XDG_RUNTIME_DIR": str(folder),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        written = {
            "stdout": done.stdout,
            "stderr": done.stderr,
            "tables": dump_tables(dsn) if dsn else "",
        }
    for path in folder.rglob("*"):
        if path.is_file() and not (kind == "file" and path.name == "tokens.json"):
            written[str(path)] = path.read_bytes().decode("latin-1")

    assert done.returncode == 0, done.stderr
    if kind in LOADING:
        assert re.search(r"\n[1-9]\d* journals loaded", done.stdout)
    assert TELLTALE in written[str(folder / "debug.log")]
    assert "AuthenticationError" in done.stderr
    assert (
        "TokenStoreError: new tokens could not be stored (OSError: cannot write ***)" in done.stderr
    )
    assert "with Bearer ***" in written[str(folder / "debug.log")]
    assert {0, 200, 400, 401} <= set(exact.token_statuses())  # 0: the reply that was lost
    oauth = exact.box.state.oauth
    secrets = [*oauth._refresh_tokens, *oauth._access_tokens, *codes, exact.box.client_secret, KEY]
    assert len(secrets) > 8
    for secret in [*secrets, "wrong-hush-hush"]:
        for form in {secret, quote(secret, safe=""), secret[20:60] or secret}:
            assert [place for place, text in written.items() if form in text] == []
