# ruff: noqa: E501 (a table of cases)
"""Errors that no command can provoke, only a script that uses the classes; the rest is in the catalogue."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import dlt
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import create_engine

from exact_source.auth import DltStateTokenStorage, OAuth, SqlTokenStorage, TokenData
from exact_source.auth.loopback import wait_for_redirect
from exact_source.auth.storage.protocol import _process_lock
from exact_source.cli._output.exit import run_script
from exact_source.cli.divisions import read_list
from exact_source.cli.init.settings import check_filled
from exact_source.client.call import Call
from exact_source.client.client import ExactClient
from exact_source.database import Database
from exact_source.errors import ExactError
from exact_source.loading.disk_space import full_disk_error, refuse_full_disk
from exact_source.loading.session import Session
from exact_source.loading.writer_claims import ClaimLock, Claims
from exact_source.loading.writer_lock import AdvisoryLock, Writer
from exact_source.odata.query import MAX_URL, build_url, format_literal
from exact_source.report.models import models_folder
from exact_source.source import make_options, run_of, run_source
from exact_source.sync.runner import load_pending, run_to_end
from exact_source.webhooks.signed import read_notice, sign
from exact_source.webhooks.subscriptions import PATH
from tests.cli.test_errors_catalogue import about, pattern
from tests.dlt.test_groups import export_settings, sync_in_groups
from tests.support.auth_kit import Memory, Reply, Wire
from tests.support.world import World

KEY = Fernet.generate_key().decode()
NOW = datetime(2026, 3, 10, tzinfo=UTC)


@dataclass
class Coder:
    """A user's Python script."""

    world: World
    patch: pytest.MonkeyPatch

    def pipeline(self, **more: Any) -> dlt.Pipeline:
        folder = str(self.world.folder / "code")
        made: dlt.Pipeline = dlt.pipeline("code", pipelines_dir=folder, **more)
        return made

    def oauth(self, storage: Any, client_id: str = "x") -> OAuth:
        return OAuth(client_id, "y", "https://x.example/", storage, base_url=self.world.base_url)


@dataclass
class Stuck:
    """A pipeline with packages that can be neither loaded nor dropped."""

    working_dir: str = "/srv/code"
    has_pending_data: bool = True
    done: list[str] = field(default_factory=list)

    def run(self) -> None:
        self.done.append("run")

    def abort_packages(self) -> None:
        self.done.append("abort")


class Wrong:
    """A storage that gives no tokens."""

    def get_tokens(self) -> Any:
        return {"access_token": "x"}

    def save_tokens(self, tokens: TokenData) -> None:
        raise AssertionError(tokens)


def pair(**changes: Any) -> TokenData:
    values: dict[str, Any] = {
        "access_token": "a",
        "refresh_token": "r",
        "token_type": "bearer",
        "expires_at": NOW,
    }
    return TokenData(**values | changes)


def duckdb_in(coder: Coder) -> Any:
    return dlt.destinations.duckdb(str(coder.world.folder / "code.duckdb"))


def wait_for_a_thread(coder: Coder) -> None:
    coder.patch.setattr("exact_source.auth.storage.protocol.LOCK_WAIT_S", 0.0)
    coder.world.clock.sandbox.advance(700)
    storage = coder.world.storage
    with _process_lock(storage):
        asyncio.run(coder.oauth(storage).access_token())


def find_no_sql(coder: Coder) -> None:
    coder.patch.setattr("exact_source.report.models.PLACES", ())
    models_folder()


class Tokens:
    """Of a program that gets another token each time, and none that Exact takes."""

    async def access_token(self) -> str:
        return "one-access-token"

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        return f"not-{access_token}"


def call_with_rejected_tokens(coder: Coder) -> None:
    async def ask() -> None:
        client = ExactClient(Tokens(), coder.world.base_url, clock=coder.world.clock)
        call = Call(coder.world.division, "crm/Accounts", "accounts")
        await client.get(call, build_url(call.path, coder.world.division, {}), bytes)

    asyncio.run(ask())


def ask_for_tokens_too_early(coder: Coder) -> None:
    reason = ("Reason", "TooEarlyToRefreshTokens: access_token not expired")
    with Wire(Reply(400, headers=(reason, ("Retry-After", "60")))) as wire:
        oauth = OAuth("x", "y", "", Memory(pair()), base_url=wire.base_url)
        asyncio.run(oauth.report_rejected("a"))


def call_with_a_closed_client(coder: Coder) -> None:
    async def ask() -> None:
        client = ExactClient(Tokens(), coder.world.base_url, clock=coder.world.clock)
        await client.close()
        call = Call(coder.world.division, "crm/Accounts", "accounts")
        await client.get(call, build_url(call.path, coder.world.division, {}), bytes)

    asyncio.run(ask())


def stop_a_call(coder: Coder) -> None:
    run = coder.world.make_run()
    run.rounds.request_stop()
    run.rounds.raise_if_stopped(Call(coder.world.division, "crm/Accounts", "accounts"))


def refuse_list_of_named_divisions(coder: Coder) -> None:
    world = coder.world
    for division in world.box.divisions:
        world.box.deny(division, "system/Divisions")
    asyncio.run(read_list(world.make_asking_run()))


def subscribe_twice(coder: Coder) -> None:
    world = coder.world
    run = world.make_asking_run()

    async def ask() -> None:
        async with run.asking() as client:
            for _ in range(2):
                body = {"CallbackURL": "https://x.example/", "Topic": "Items"}
                call = Call(world.division, PATH, "webhook_subscriptions")
                await client.change(call, "POST", build_url(PATH, world.division, {}), body)

    asyncio.run(ask())


def load_in_other_groups(coder: Coder) -> None:
    export_settings(coder.world, coder.patch)
    for number in (2, 3):
        sync_in_groups(coder.world, number)


def adapt(**hints: Any) -> Callable[[Coder], object]:
    """Give a resource hints that it cannot follow."""

    def act(coder: Coder) -> None:
        source = run_source(Session(coder.world.make_run()), ["accounts"])
        source.resources["accounts"].apply_hints(**hints)
        outcome = run_to_end(coder.world.pipeline, source)
        assert outcome.error is not None
        raise outcome.error

    return act


def lose_the_session(_coder: Coder) -> None:
    AdvisoryLock(None, "books", Writer("mine", "host", 1, 0.0)).confirm()


def lose_the_claim(coder: Coder) -> None:
    claims = Claims(coder.pipeline(destination=duckdb_in(coder), dataset_name="books"))
    ClaimLock(claims, "books", Writer("mine", "host", 1, 0.0)).confirm()


def double_rows_for_ever(coder: Coder) -> None:
    world = coder.world
    double = "INSERT INTO exact_online.accounts SELECT * FROM exact_online.accounts"
    world.sync("accounts")
    world.sql(double)
    load = world.pipeline.load

    def load_and_double() -> Any:
        info = load()
        world.sql(double)
        return info

    coder.patch.setattr(world.pipeline, "load", load_and_double)
    outcome = world.sync("accounts")
    assert outcome.error is not None
    raise outcome.error


def fill_the_disk(_coder: Coder) -> None:
    error = full_disk_error(OSError(28, "No space left on device"), "books")
    assert error is not None
    raise error


def foreign_source() -> Any:
    @dlt.source
    def foreign() -> Any:
        return dlt.resource([{"id": 1}], name="rows")

    return foreign()


@dataclass(frozen=True)
class CodeCase:
    """A message, and what provokes it."""

    message: str
    act: Callable[[Coder], object]


SIGNED = b'{"Topic":7}'
HASH = sign(SIGNED, "secret").encode()
CODE_CASES = [
    CodeCase("the browser did not return from Exact Online", lambda c: wait_for_redirect(("127.0.0.1", 0, "/"), "s", 0.0)),
    CodeCase("DltStateTokenStorage cannot be used with dev_mode", lambda c: DltStateTokenStorage(
        c.pipeline(destination=duckdb_in(c), dataset_name="books", dev_mode=True), key=KEY)),
    CodeCase("DltStateTokenStorage needs a dataset_name", lambda c: DltStateTokenStorage(duckdb_in(c), key=KEY)),
    CodeCase("DltStateTokenStorage needs a pipeline", lambda c: DltStateTokenStorage(c.pipeline(), key=KEY)),
    CodeCase("a parameter must be a GUID", lambda c: format_literal("g", "no guid")),
    CodeCase("a client id or secret is empty", lambda c: check_filled(" ")),  # said at a question
    CodeCase("end_date must be later", lambda c: make_options(start_date="2026-02-01", end_date="2026-01-01")),
    CodeCase("table_format is", lambda c: make_options(table_format=cast("Any", "parquet"))),
    CodeCase("write_disposition='replace'", adapt(write_disposition="replace")),
    CodeCase("dlt.sources.incremental is not needed", adapt(incremental=dlt.sources.incremental("modified"))),
    CodeCase("which would insert deletions", adapt(write_disposition={"disposition": "merge", "strategy": "upsert"})),
    CodeCase("the query is ‹…› characters long", lambda c: build_url("x", 1, {"$select": "A" * MAX_URL})),
    CodeCase("reconcile_days must be 0 or more", lambda c: make_options(reconcile_days=-1)),
    CodeCase("sources.exact_online.‹name› is empty", lambda c: c.oauth(c.world.storage, "")),
    CodeCase("token_storage has no method", lambda c: c.oauth(object())),
    CodeCase("it must return TokenData or None", lambda c: asyncio.run(c.oauth(Wrong()).access_token())),
    CodeCase("the token lock was not released", wait_for_a_thread),
    CodeCase("TokenData.‹name› must be a datetime with", lambda c: pair(expires_at=NOW.replace(tzinfo=None))),
    CodeCase("TokenData.‹name› must be in UTC", lambda c: pair(expires_at=NOW.astimezone(timezone(timedelta(hours=1))))),
    CodeCase("TokenData.‹name› must be a text", lambda c: pair(access_token="")),
    CodeCase("‹user› takes an SQLAlchemy URL", lambda c: SqlTokenStorage(cast("Any", 7), key=KEY)),
    CodeCase("‹user› cannot lock", lambda c: Database(
        create_engine("sqlite://"), user="x", lock_wait_s=1, dialects=("postgresql",))),
    CodeCase("‹place›: not locked", lambda c: SqlTokenStorage(f"sqlite:///{c.world.folder}/t.db", key=KEY)._remove()),
    CodeCase("the SQL of the report is missing", find_no_sql),
    CodeCase("the working folder ‹working dir›", lambda c: load_pending(cast("Any", Stuck()), nullcontext)),
    CodeCase("source ‹name› was not made by", lambda c: run_of(foreign_source())),
    CodeCase("Exact Online rejects a fresh access token", call_with_rejected_tokens),
    CodeCase("‹where›: stopped", stop_a_call),
    CodeCase("Exact Online does not issue new tokens before", ask_for_tokens_too_early),
    CodeCase("stopped, because the run ended", call_with_a_closed_client),
    CodeCase("refused the list of divisions; give", refuse_list_of_named_divisions),
    CodeCase("the connection that holds the lock", lose_the_session),
    CodeCase("the claim on dataset", lose_the_claim),
    CodeCase("duplicate keys, and merging", double_rows_for_ever),
    CodeCase("MB are free on the disk of", lambda c: refuse_full_disk(c.world.pipeline, lambda _place: 0)),
    CodeCase("the disk of the destination is full", fill_the_disk),
    CodeCase("‹where›: it exists already", subscribe_twice),
    CodeCase("was loaded in ‹numbers› groups of divisions", load_in_other_groups),
    CodeCase("but rows are told apart by", adapt(primary_key="division")),
    CodeCase("a webhook came without the hash", lambda c: read_notice(b"{}", "secret")),
    CodeCase("a signed webhook lacks a Topic",
             lambda c: read_notice(b'{"Content":' + SIGNED + b',"HashCode":"' + HASH + b'"}', "secret")),
]  # fmt: skip


@pytest.mark.parametrize("case", CODE_CASES, ids=[c.message for c in CODE_CASES])
def test_a_script_ends_with_the_message_and_its_exit_code(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: CodeCase,
) -> None:
    coder = Coder(world, monkeypatch)
    kinds: list[type[ExactError]] = []

    def load() -> int:
        try:
            case.act(coder)
        except ExactError as error:
            kinds.append(type(error))
            raise
        return 0

    monkeypatch.setattr(sys, "argv", ["script.py", "--log-format=json"])
    with pytest.raises(SystemExit) as ended:
        run_script(load)

    printed = capsys.readouterr()
    (line,) = [json.loads(text) for text in printed.err.splitlines() if "error: " in text]
    assert "\n" not in line["message"]
    assert (ended.value.code, line["code"]) == (kinds[0].exit_code, kinds[0].code)
    said = line["message"].partition("error: ")[2]
    assert any(re.search(pattern(m.text), said) for m in about(case.message)), said
    assert not [secret for secret in secrets_of(coder) if secret in printed.err + printed.out]


def secrets_of(coder: Coder) -> set[str]:
    """What must never be printed."""
    held = coder.world.storage.get_tokens()
    assert held is not None
    return {coder.world.box.client_secret, held.access_token, held.refresh_token, KEY}


def test_a_script_keeps_the_traceback_of_its_own_mistakes() -> None:
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 // 0)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_script_ends_with_the_exit_code_of_its_outcome(code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        run_script(lambda: code)
    assert ended.value.code == code


def test_a_script_that_is_stopped_says_so_and_ends_as_a_command_does() -> None:
    code = (
        "import os, signal\n"
        "from exact_source import run_script\n"
        "run_script(lambda: os.kill(os.getpid(), signal.SIGTERM) or signal.pause())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 130
    assert ended.stderr.startswith("stopped")
    assert len(ended.stderr.splitlines()) == 1
