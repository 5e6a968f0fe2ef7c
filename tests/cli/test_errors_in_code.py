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
import duckdb
import pytest
from cryptography.fernet import Fernet
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed
from sqlalchemy import create_engine

from exact_source.auth import DltStateTokenStorage, OAuth, SqlTokenStorage, TokenData
from exact_source.auth.loopback import wait_for_redirect
from exact_source.auth.storage.protocol import _process_lock
from exact_source.cli._output.exit import run_script
from exact_source.cli.divisions import read_list
from exact_source.cli.init.settings import check_filled
from exact_source.client.call import Call
from exact_source.client.client import ExactClient
from exact_source.client.limits import Limits
from exact_source.database import Database
from exact_source.errors import ExactError, own_error
from exact_source.loading.disk_space import full_disk_error, refuse_full_disk
from exact_source.loading.session import Session
from exact_source.loading.writer import Writer
from exact_source.loading.writer_claims import ClaimLock, Claims
from exact_source.loading.writer_lock import AdvisoryLock
from exact_source.odata.query import MAX_URL, build_url, format_literal
from exact_source.report.models import models_folder
from exact_source.report.reading import read_figures
from exact_source.source import make_options, run_of, run_source
from exact_source.sync.runner import confirm_loaded, load_pending, run_to_end
from exact_source.webhooks.signed import read_notice, sign
from exact_source.webhooks.subscriptions import PATH
from tests.cli.test_errors_catalogue import CASES, about, pattern, spelled
from tests.dlt.test_groups import sync_in_groups
from tests.support.auth_kit import Memory, Reply, Wire
from tests.support.lakes import without_extensions
from tests.support.world import World, export_settings, feed_path

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


def call_after_the_run(coder: Coder) -> None:
    _ = coder.world.make_run().connection.client


def stop_a_call(coder: Coder) -> None:
    run = coder.world.make_run()
    run.rounds.request_stop()
    run.rounds.raise_if_stopped(Call(coder.world.division, "crm/Accounts", "accounts"))


def refuse_list_of_named_divisions(coder: Coder) -> None:
    world = coder.world
    for division in world.box.divisions:
        world.box.deny(division, "system/Divisions")
    asyncio.run(read_list(world.make_read_only_run()))


def subscribe_twice(coder: Coder) -> None:
    world = coder.world
    run = world.make_read_only_run()

    async def ask() -> None:
        async with run.connected() as client:
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


def within_dlt(act: Callable[[Coder], object]) -> Callable[[Coder], object]:
    """Raise the error that dlt has wrapped in its own."""

    def unwrapped(coder: Coder) -> None:
        try:
            act(coder)
        except (PipelineStepFailed, ResourceExtractionError) as error:
            raise own_error(error) or error from None

    return unwrapped


def accounts_of(coder: Coder, **options: Any) -> Any:
    return run_source(Session(coder.world.make_run(**options)), ["accounts"]).resources["accounts"]


def read_twice(coder: Coder) -> None:
    accounts = accounts_of(coder)
    coder.world.pipeline.run([accounts, accounts.with_name("clients")])


def read_for_a_transformer_only(coder: Coder) -> None:
    names = dlt.transformer(lambda rows: rows, name="names")
    coder.world.pipeline.run(accounts_of(coder) | names)


def source_of(coder: Coder, *names: str, **options: Any) -> Any:
    return run_source(Session(coder.world.make_run(**options)), list(names))


def change_rows_of_a_history(coder: Coder) -> None:
    source = source_of(coder, "accounts", history="accounts")
    source.resources["accounts"].add_map(lambda row: row)
    coder.world.pipeline.run(source)


def keep_a_history_without_a_log(coder: Coder) -> None:
    coder.world.pipeline.run(accounts_of(coder, history="accounts"))


def send_a_row_without_a_key(coder: Coder) -> None:
    row = {"ID": 1 << 40, "Description": "odd one"}
    coder.world.box.insert("documents/DocumentTypes", coder.world.division, row)
    coder.world.pipeline.run(source_of(coder, "document_types").resources["document_types"])


def load_two_entities_into_one_table(coder: Coder) -> None:
    coder.world.pipeline.run(source_of(coder, "accounts", "journals"), table_name="everything")


def read_an_entity_by_two_sources(coder: Coder) -> None:
    coder.world.pipeline.run([source_of(coder, "accounts") for _ in range(2)])


def extract_twice(coder: Coder) -> None:
    for _ in range(2):
        coder.world.pipeline.extract(source_of(coder, "accounts"))


def report_on_a_server_of_microsofts(coder: Coder) -> None:
    place = dlt.destinations.mssql("mssql://user:word@x.example/books")
    read_figures(
        coder.pipeline(destination=place, dataset_name="books"), day=NOW.date(), made_at=NOW
    )


def iterate_what_is_refused(coder: Coder) -> None:
    coder.world.box.deny(coder.world.division, feed_path("accounts"))
    list(accounts_of(coder))


def load_into(destination: Callable[[Coder], Any], **options: Any) -> Callable[[Coder], object]:
    """Sync into a destination of another kind."""

    def act(coder: Coder) -> None:
        coder.world.pipeline = coder.world.new_pipeline("other", destination=destination(coder))
        outcome = coder.world.sync("accounts", **options)
        assert outcome.error is not None
        raise outcome.error

    return act


def sink(_coder: Coder) -> Any:
    return dlt.destinations.destination(lambda items, table: None, "sink")


def load_without_extension(coder: Coder) -> object:
    without_extensions(coder.patch, coder.world.folder)
    return load_into(lake, table_format="delta")(coder)


def lake(coder: Coder) -> Any:
    return dlt.destinations.filesystem(str(coder.world.folder / "lake"))


def load_a_group_into_a_view(coder: Coder) -> None:
    export_settings(coder.world, coder.patch)
    with duckdb.connect(str(coder.world.folder / "exact.duckdb")) as database:
        database.execute("CREATE SCHEMA exact_online")
        database.execute("CREATE VIEW exact_online.accounts AS SELECT 1 AS id")
    (outcome,) = sync_in_groups(coder.world, 1)
    assert outcome.error is not None
    raise outcome.error


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


def lose_a_package(coder: Coder) -> None:
    """Let another process begin to drop what this one is about to load."""
    pipeline = coder.pipeline(destination=duckdb_in(coder), dataset_name="books")
    pipeline.extract(run_source(Session(coder.world.make_run()), ["accounts"]))
    pipeline.normalize()
    with coder.patch.context() as stopped:
        stopped.setattr(pipeline, "load", lambda: None)
        pipeline.abort_packages()
    confirm_loaded(pipeline.load())


def foreign_source() -> Any:
    @dlt.source
    def foreign() -> Any:
        return dlt.resource([{"id": 1}], name="rows")

    return foreign()


@dataclass(frozen=True)
class CodeCase:
    """A message and its cause.

    Attributes:
        message: A part of it that no other message has.
        act: Raises the error.
        place: Words of the message that say where, if those are not the entity, dataset, division or
            folder of the case.
    """

    message: str
    act: Callable[[Coder], object]
    place: str = ""


SIGNED = b'{"Topic":7}'
HASH = sign(SIGNED, "secret").encode()
CODE_CASES = [
    CodeCase("the browser did not return from Exact Online", lambda c: wait_for_redirect(("127.0.0.1", 0, "/"), "s", 0.0), place="the browser"),
    CodeCase("DltStateTokenStorage cannot be used with dev_mode", lambda c: DltStateTokenStorage(
        c.pipeline(destination=duckdb_in(c), dataset_name="books", dev_mode=True), key=KEY), place="dev_mode"),
    CodeCase("DltStateTokenStorage needs a dataset_name", lambda c: DltStateTokenStorage(duckdb_in(c), key=KEY), place="dataset_name"),
    CodeCase("DltStateTokenStorage needs a pipeline", lambda c: DltStateTokenStorage(c.pipeline(), key=KEY), place="a pipeline"),
    CodeCase("a parameter must be a GUID", lambda c: format_literal("g", "no guid"), place="a parameter"),
    CodeCase("a client id or secret is empty", lambda c: check_filled(" "), place="client id or secret"),  # said at a question
    CodeCase("end_date must be later", lambda c: make_options(start_date="2026-02-01", end_date="2026-01-01"), place="end_date"),
    CodeCase("table_format is", lambda c: make_options(table_format=cast("Any", "parquet")), place="table_format"),
    CodeCase("write_disposition='replace'", adapt(write_disposition="replace")),
    CodeCase("dlt.sources.incremental is not needed", adapt(incremental=dlt.sources.incremental("modified"))),
    CodeCase("which would insert deletions", adapt(write_disposition={"disposition": "merge", "strategy": "upsert"})),
    CodeCase("the query is ‹…› characters long", lambda c: build_url("x", 1, {"$select": "A" * MAX_URL}), place="x of division 1"),
    CodeCase("reconcile_days is ‹days›", lambda c: make_options(reconcile_days=-1), place="reconcile_days"),
    CodeCase("‹name› is ‹value›; use True or False", lambda c: make_options(change_log=cast("Any", "maybe")), place="change_log"),
    CodeCase("‹name› is ‹count›; use a whole number", lambda c: Limits(max_calls=0), place="max_calls"),
    CodeCase("sources.exact_online.‹name› is empty", lambda c: c.oauth(c.world.storage, ""), place="sources.exact_online.client_id"),
    CodeCase("token_storage has no method", lambda c: c.oauth(object()), place="token_storage"),
    CodeCase("it must return TokenData or None", lambda c: asyncio.run(c.oauth(Wrong()).access_token()), place="Wrong.get_tokens()"),
    CodeCase("the token lock was not released", wait_for_a_thread, place="the token lock"),
    CodeCase("TokenData.‹name› must be a datetime with", lambda c: pair(expires_at=NOW.replace(tzinfo=None)), place="TokenData.expires_at"),
    CodeCase("TokenData.‹name› must be in UTC", lambda c: pair(expires_at=NOW.astimezone(timezone(timedelta(hours=1)))), place="TokenData.expires_at"),
    CodeCase("TokenData.‹name› must be a text", lambda c: pair(access_token=""), place="TokenData.access_token"),
    CodeCase("‹user› takes an SQLAlchemy URL", lambda c: SqlTokenStorage(cast("Any", 7), key=KEY), place="SqlTokenStorage"),
    CodeCase("‹user› cannot lock", lambda c: Database(
        create_engine("sqlite://"), user="x", lock_wait_s=1, dialects=("postgresql",)), place="x cannot"),
    CodeCase("‹place›: not locked", lambda c: SqlTokenStorage(f"sqlite:///{c.world.folder}/t.db", key=KEY)._remove()),
    CodeCase("the SQL of the report is missing", find_no_sql, place="the SQL of the report"),
    CodeCase("the working folder ‹working dir›", lambda c: load_pending(cast("Any", Stuck()), nullcontext), place="/srv/code"),
    CodeCase("source ‹name› was not made by", lambda c: run_of(foreign_source()), place="source foreign"),
    CodeCase("Exact Online rejects a fresh access token", call_with_rejected_tokens),
    CodeCase("‹where›: stopped", stop_a_call),
    CodeCase("Exact Online does not issue new tokens before", ask_for_tokens_too_early, place="new tokens"),
    CodeCase("stopped, because the run ended", call_with_a_closed_client),
    CodeCase("no call was made, because the run ended", call_after_the_run, place="the run"),
    CodeCase("refused the list of divisions; give", refuse_list_of_named_divisions, place="system/Divisions"),
    CodeCase("the connection that holds the lock", lose_the_session),
    CodeCase("the claim on dataset", lose_the_claim),
    CodeCase("duplicate keys, and merging", double_rows_for_ever),
    CodeCase("MB are free on the disk of", lambda c: refuse_full_disk(c.world.pipeline, lambda _place: 0)),
    CodeCase("the disk of the destination is full", fill_the_disk),
    CodeCase("was not loaded", lose_a_package),
    CodeCase("‹where›: it exists already", subscribe_twice),
    CodeCase("was loaded in ‹numbers› groups of divisions", load_in_other_groups),
    CodeCase("but rows are told apart by", adapt(primary_key="division")),
    CodeCase("is read by two resources of one source", within_dlt(read_twice)),
    CodeCase("is only the parent of a transformer", within_dlt(read_for_a_transformer_only)),
    CodeCase("history keeps rows as Exact sends them", within_dlt(change_rows_of_a_history)),
    CodeCase("history needs the sync log", within_dlt(keep_a_history_without_a_log)),
    CodeCase("rows without a key cannot be stored", within_dlt(send_a_row_without_a_key), place="document_types"),
    CodeCase("would be loaded into one table", within_dlt(load_two_entities_into_one_table)),
    CodeCase("is read by two sources in one run", within_dlt(read_an_entity_by_two_sources)),
    CodeCase("rows of an earlier pipeline.extract wait", within_dlt(extract_twice)),
    CodeCase("the report does not run on", report_on_a_server_of_microsofts, place="mssql"),
    CodeCase("‹where›: ‹status›: ‹error›", within_dlt(iterate_what_is_refused)),
    CodeCase("dlt cannot merge rows there", load_into(sink), place="destination sink"),
    CodeCase("dlt deletes no rows of Iceberg tables", load_into(lake, table_format="iceberg"), place="filesystem"),
    CodeCase("which needs extensions of DuckDB", load_without_extension, place="delta"),
    CodeCase("history needs a destination", load_into(sink, history="accounts", change_log=True)),
    CodeCase("‹pipeline name›: the sync failed: ‹…›", load_a_group_into_a_view, place="exact_online_0_of_1: "),
    CodeCase("a webhook came without the hash", lambda c: read_notice(b"{}", "secret"), place="a webhook"),
    CodeCase("a signed webhook lacks a Topic",
             lambda c: read_notice(b'{"Content":' + SIGNED + b',"HashCode":"' + HASH + b'"}', "secret"), place="a signed webhook"),
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
    assert any(place in said for place in places_of(case, coder)), said
    assert not [secret for secret in secrets_of(coder) if secret in printed.err + printed.out]


# Messages that no test provokes, and why not.
UNPROVOKED = {
    "‹where›: $count is not a number": "the engine catches it and counts no rows",
    "all ‹MOST CALLS› calls of a verification are used up": (
        "`verify` shows it as the reason why it stopped, not as an error"
    ),
}


def test_every_message_of_the_page_is_provoked_or_has_a_reason() -> None:
    provoked = {m.text for case in CASES for m in about(case.message, case.kind)}
    provoked |= {m.text for case in CODE_CASES for m in about(case.message)}
    assert {m.text for m in spelled()} - provoked == set(UNPROVOKED)


def places_of(case: CodeCase, coder: Coder) -> set[str]:
    """Words of which the message must have one, so that it says where the mistake is."""
    if case.place:
        return {case.place}
    divisions = {f"division {code}" for code in coder.world.box.divisions}
    return divisions | {
        "accounts",
        "dataset books",
        "dataset exact_online",
        str(coder.world.folder),
    }


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
