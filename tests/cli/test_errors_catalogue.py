# mypy: disable-error-code="func-returns-value"
# ruff: noqa: E501 (a table of cases)
"""Every error of ours: on the page, and provoked through the command line, or in a script where no command can."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from cryptography.fernet import Fernet
from filelock import FileLock

from exact_source.auth import SqlTokenStorage
from exact_source.catalogue.catalogue import read_catalogue
from exact_source.catalogue.parameters import reason_not_read
from exact_source.cli.project import pipelines_folder
from exact_source.client.error_log import ErrorFile
from exact_source.client.limits import Limits
from exact_source.client.recording.recorder import REPLIES
from exact_source.errors import ExactError
from exact_source.loading.writer_lock import sole_writer
from exact_source.odata.csdl import MAX_BYTES
from exact_source.sandbox.server import serve
from exact_source.sync.pipeline_lock import named_lock
from exact_source.webhooks.subscriptions import PATH as SUBSCRIPTIONS
from exact_source.workers.leases import SqlLeases
from tests.support.auth_kit import Reply, Wire, pair_body
from tests.support.cli_fixtures import Cli
from tools.docs.errors_page import PAGE, kinds, messages, render

ACCOUNTS = "--entities=accounts"
BY_REPORT = "--entities=divisions,accounts,gl_accounts,transaction_lines,receivables,payments"
EARLY = Reply(400, headers=(("Reason", "TooEarlyToRefreshTokens: access_token not expired"),))
MARK = 2  # shorter values are found in any message
UNANSWERED = "[y/N]:"  # end of a question, which is not logged
SAFE = 3  # exit code: incomplete, and nothing lost
ALL_PAGES = "sync/CRM/Accounts"


@dataclass
class Bench:
    """A user with a sandbox who makes a mistake."""

    cli: Cli
    patch: pytest.MonkeyPatch
    stack: ExitStack
    port: int = 0
    settings: set[str] = field(default_factory=set)

    @property
    def tokens(self) -> Path:
        return self.cli.world.folder / "tokens.json"

    def set(self, name: str, value: object) -> None:
        self.settings.add(name)
        self.patch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", str(value))

    def unset(self, name: str) -> None:
        self.settings.add(name)
        self.patch.delenv(f"SOURCES__EXACT_ONLINE__{name.upper()}")

    def file(self, name: str, text: str) -> Path:
        path = self.cli.world.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def expire(self) -> None:
        """Make a refresh due."""
        self.cli.world.box.clock.advance(700)

    def fault(self, kind: str, times: int = 1, path: str | None = ALL_PAGES) -> None:
        self.cli.world.box.fault(kind, path=path, times=times)

    def answer(self, path: str, body: bytes | Callable[[str, str], bytes]) -> None:
        """Let Exact Online answer with these bytes, or with those for a URL and a query."""
        if isinstance(body, bytes):
            text = body
            body = lambda _url, _query: text  # noqa: E731
        inner = self.cli.world.box.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if not scope["path"].endswith(path):
                await inner(scope, receive, send)
                return
            query = scope["query_string"].decode()
            text = body(f"http://{dict(scope['headers'])[b'host'].decode()}{scope['path']}", query)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": text})

        self.set("base_url", self.stack.enter_context(serve(app, 0)))


@pytest.fixture
def bench(make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    spelled()  # imports all modules, before one that they need is uninstalled
    with ExitStack() as stack:
        yield Bench(make_cli(companies=1, invoices=1), monkeypatch, stack)


Arrange = Callable[[Bench], object]


@dataclass(frozen=True)
class Case:
    """A mistake and its result.

    Attributes:
        message: A part of it that no other message has.
        argv: The command line; ``{folder}`` is a folder of the test's own.
        arrange: What goes before.
        code: The exit code.
        kind: The class, where another one has a message of the same words.
        inside: Code of the error in whose message it stands, if it is not told by itself.
        place: Words of the message that say where, if those are not an option, a setting, a file, an
            entity or a division of the case.
    """

    message: str
    argv: str
    arrange: Arrange = lambda _: None
    code: int = 2
    kind: str = ""
    inside: str = ""
    place: str = ""


def without_sandbox(bench: Bench) -> None:
    for name in [n for n in sys.modules if n.startswith(("exact_source.sandbox", "starlette"))]:
        bench.patch.delitem(sys.modules, name)
    bench.patch.setitem(sys.modules, "starlette", None)


def taken_port(bench: Bench) -> None:
    taken = bench.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    bench.port = taken.getsockname()[1]


def occupy(bench: Bench) -> None:
    """Let a program listen where the redirect goes."""
    taken = bench.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    bench.set("redirect_uri", f"http://127.0.0.1:{taken.getsockname()[1]}/callback")


def deny(path: str) -> Arrange:
    return lambda b: [b.cli.world.box.deny(d, path) for d in b.cli.world.box.divisions]


def typed(bench: Bench, text: str) -> None:
    bench.patch.setattr(sys, "stdin", io.StringIO(text))


def unreadable_toml(bench: Bench) -> None:
    settings = Path(os.environ["DLT_PROJECT_DIR"]) / ".dlt"
    (settings / "config.toml").mkdir(parents=True)


def settings_file(name: str, text: str) -> Arrange:
    def arrange(_: Bench) -> None:
        folder = Path(os.environ["DLT_PROJECT_DIR"]) / ".dlt"
        folder.mkdir()
        (folder / name).write_text(text)

    return arrange


def not_utf8(bench: Bench) -> None:
    settings_file("config.toml", "")(bench)
    (Path(os.environ["DLT_PROJECT_DIR"]) / ".dlt" / "config.toml").write_bytes(b"a = '\xff'")


def spoil_tokens(text: str) -> Arrange:
    return lambda b: b.tokens.write_text(text)


def change_tokens(**changes: object) -> Arrange:
    def arrange(bench: Bench) -> None:
        held = json.loads(bench.tokens.read_text())
        bench.tokens.write_text(json.dumps(held | changes))

    return arrange


def forget(module: str) -> Arrange:
    """Import a module again, which another test may have done before."""
    return lambda b: b.patch.delitem(sys.modules, module, raising=False)


def uninstall(*modules: str) -> Arrange:
    return lambda b: [b.patch.setitem(sys.modules, module, None) for module in modules]


def hide_spec(module: str) -> Arrange:
    import importlib.util

    real = importlib.util.find_spec
    return lambda b: b.patch.setattr(
        "exact_source.cli.connect.find_spec", lambda name: None if name == module else real(name)
    )


def overlay(text: str) -> Arrange:
    return lambda b: b.set("catalogue_overlay", b.file("overlay.json", text))


def sql_tokens(**more: str) -> Arrange:
    def arrange(bench: Bench) -> None:
        for name, value in ({"token_storage": "sql"} | more).items():
            bench.set(name, value.format(folder=bench.cli.world.folder))

    return arrange


UNREAD = next(n for n, e in read_catalogue().entities.items() if reason_not_read(e))
KEY = Fernet.generate_key().decode()
INIT = "init --client-id=x --client-secret=y --redirect-uri=https://x.example/"
SYNC = f"sync --destination=duckdb:{{folder}}/x.duckdb {ACCOUNTS}"
EXCLUDE, HASH = "--exclude-columns=", "--hash-columns="
DLT = {"token_storage": "dlt", "token_key": KEY}


def each(**values: str) -> Arrange:
    return lambda b: [b.set(n, v.format(folder=b.cli.world.folder)) for n, v in values.items()]


def both(*steps: Arrange) -> Arrange:
    return lambda b: [step(b) for step in steps]


def expired(step: Arrange) -> Arrange:
    return both(step, Bench.expire)


def token_fault(kind: str, times: int = 1) -> Arrange:
    return lambda b: b.cli.world.box.fault(kind, times=times)


def lock_of(bench: Bench) -> Path:
    return bench.tokens.with_name(".tokens.json.lock")


def hold_lock(bench: Bench) -> None:
    """Be another process that refreshes, for longer than anybody waits."""
    bench.patch.setattr("exact_source.atomic_file.LOCK_WAIT_S", 0.0)
    bench.stack.enter_context(FileLock(lock_of(bench)))


SQL_TOKENS = sql_tokens(token_url="sqlite:///{folder}/t.db", token_key=KEY)
NO_PAIR = Fernet(KEY.encode()).encrypt(b"{}").decode()


def journal_of(bench: Bench) -> Path:
    return bench.tokens.with_name("tokens.json.default.journal")


def store_no_pair(bench: Bench) -> None:
    """Store a value in the database that is encrypted with the right key but is not a pair."""
    url = f"sqlite:///{bench.cli.world.folder}/t.db"
    SqlTokenStorage(url, key=KEY).get_tokens()
    with sqlite3.connect(bench.cli.world.folder / "t.db") as database:
        (table,) = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchone()
        database.execute(f"UPDATE {table} SET tokens = ?", [NO_PAIR])


def replies(*given: Reply) -> Arrange:
    """A token endpoint that answers so, one after the other."""
    return lambda b: b.set("base_url", b.stack.enter_context(Wire(*given)).base_url)


def leave_after(reply: Reply) -> Arrange:
    """A token endpoint that answers once and is then down."""

    def arrange(bench: Bench) -> None:
        wire = bench.stack.enter_context(Wire(reply))
        bench.set("base_url", wire.base_url)

        async def sleep(_seconds: float) -> None:
            wire.close()

        bench.patch.setattr(bench.cli.world.clock, "sleep", sleep)

    return arrange


def fill_disk(bench: Bench) -> None:
    """Let nothing get onto the disk any more."""

    def fsync(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    bench.patch.setattr(os, "fsync", fsync)


def fill_disk_meanwhile(bench: Bench) -> None:
    """Let the disk be full by the time that new tokens come."""

    def reply(_url: str, _query: str) -> bytes:
        fill_disk(bench)
        return pair_body()

    bench.cli.known.update(("new-access-token", "new-refresh-token"))
    bench.answer("oauth2/token", reply)


def log_in_elsewhere(bench: Bench) -> None:
    """Let the same user give consent in another program."""
    exact = bench.cli.world.box.state.oauth
    exact.issue(exact.new_connection())


LEASES = each(leases="true", token_url="sqlite:///{folder}/l.db")


def hold_lease(bench: Bench) -> None:
    """Be another worker at the pipeline."""
    leases = bench.stack.enter_context(SqlLeases(f"sqlite:///{bench.cli.world.folder}/l.db"))
    bench.stack.enter_context(leases.held("pipeline exact_online"))


def open_elsewhere(bench: Bench, before_opening: str = "") -> None:
    """Let another process have the file open."""
    code = f"import duckdb, sys; {before_opening}\nc = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    command = [sys.executable, "-c", code, str(bench.cli.world.folder / "x.duckdb")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    bench.stack.callback(process.communicate)
    bench.stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"


def many_pages(bench: Bench) -> None:
    """Let each page have one row."""
    bench.cli.world.box.settings.page_size = 1


def sync_elsewhere(bench: Bench) -> None:
    """Let another process have the file open and the lock of its dataset."""
    open_elsewhere(bench, before_opening=(
        "from pathlib import Path; from exact_source.loading.writer import Writer; "
        "from exact_source.loading.writer_lock import file_lock; p = Path(sys.argv[1]).resolve(); "
        "l = file_lock(p.with_name('.x.duckdb.exact_online.lock'), Writer.of('books', 0.0)); l.__enter__()"
    ))  # fmt: skip


def load_elsewhere(bench: Bench) -> None:
    """Let another pipeline hold the lock of the dataset."""
    file = str(bench.cli.world.folder / "x.duckdb")
    other = dlt.pipeline(
        "other", destination=dlt.destinations.duckdb(file), dataset_name="exact_online",
        pipelines_dir=str(bench.cli.world.folder / "other"),
    )  # fmt: skip
    bench.stack.enter_context(sole_writer(other, 0.0))


def take_name(bench: Bench) -> None:
    """Let something in the dataset have a table's name that no rows can be loaded into."""
    with duckdb.connect(str(bench.cli.world.folder / "x.duckdb")) as database:
        database.execute("CREATE SCHEMA exact_online")
        database.execute("CREATE VIEW exact_online.accounts AS SELECT 1 AS id")


def sync_by_a_later_version(bench: Bench) -> None:
    with bench.patch.context() as later:
        later.setattr("exact_source.loading.state.__version__", "9.4.0")
        assert bench.cli(*SYNC.format(folder=bench.cli.world.folder).split()).code == 0


def ask_and_answer_nine(bench: Bench) -> None:
    """Be a person at a terminal who names a company that does not exist."""
    companies = (
        b'{"d": {"results": [{"Code": 7, "BlockingStatus": 0}, {"Code": 8, "BlockingStatus": 0}]}}'
    )
    bench.answer("system/Divisions", companies)
    typed(bench, "9\n")
    bench.patch.setattr(sys.stdin, "isatty", lambda: True, raising=False)


def endless(url: str, query: str) -> bytes:
    """Pages of which the third leads to the second."""
    following = {"a": "b", "b": "a"}[query[-1]] if "skiptoken" in query else "a"
    page = {"results": [], "__next": f"{url}?$skiptoken={following}"}
    return json.dumps({"d": page}).encode()


def leave_a_name(bench: Bench) -> None:
    """Let a recording hold a reply that nothing has masked."""

    def reply(_url: str, _query: str) -> bytes:
        kept = {"url": "/api/v1/1/crm/Accounts", "body": '{"Name": "Jansen"}'}
        bench.file(f"kept/{REPLIES}/999999.json", json.dumps(kept))
        return b'{"d": {"results": []}}'

    bench.answer(ALL_PAGES, reply)


def spend_errors(bench: Bench) -> None:
    """Let earlier runs have met as many errors as Exact bears."""
    world = bench.cli.world
    limits = Limits()
    for _ in range(10):
        limits.note_error(world.division, ALL_PAGES, world.clock.now())
    folder = Path(pipelines_folder("exact_online"))
    ErrorFile(folder / "exact_online.exact-errors.json").keep(limits, world.clock.now())


CASES = [
    # -- options ------------------------------------------------------------------------------
    Case("--as-of is", "report --as-of=soon"),
    Case("--language is", "report --language=de"),
    Case("the report needs jinja2", "report", hide_spec("jinja2"), place="the report"),
    Case("is in exclude_columns and in hash_columns", f"{SYNC} {EXCLUDE}accounts.email {HASH}accounts.email"),
    Case("is not text, so it cannot be hashed", f"{SYNC} {HASH}contacts.birth_date"),
    Case("is unknown; use ‹…›, or ENTITY.COLUMN", f"{SYNC} {EXCLUDE}email"),
    Case("has no column", f"{SYNC} {EXCLUDE}accounts.emial"),
    Case("no entity is called", f"{SYNC} {EXCLUDE}acounts.email"),
    Case("is needed to read or merge rows", f"{SYNC} {HASH}accounts.id"),
    Case("hash_columns needs", f"{SYNC} {HASH}accounts.email"),
    Case("--destination ‹kind› needs ‹…›; install", "sync --destination=postgres", hide_spec("psycopg2")),
    Case("; put it into .dlt/secrets.toml under", "status --destination=postgres"),
    Case("; put it into .dlt/secrets.toml under", "sync --destination=postgres"),
    Case("; put it into .dlt/secrets.toml under", "sync --destination=postgresql://nobody@127.0.0.1:1/x", place="postgres: password missing"),
    Case("; put it into .dlt/secrets.toml under", "sync --destination=bigquery"),
    Case("; put it into .dlt/secrets.toml under", "sync --destination=filesystem", place="[destination.filesystem]"),
    Case("--destination ‹word› is unknown; use", "sync --destination=oracle"),
    Case("--destination ‹word› is unknown; did you mean", "sync --destination=mysql", place="sqlalchemy"),
    Case("run a sync first", "report --destination=duckdb:{folder}/none.duckdb"),
    Case("duckdb: there is no folder", "sync --destination=duckdb:{folder}/none/x.duckdb"),
    Case("duckdb: ‹path› is a folder", "sync --destination=duckdb:{folder}"),
    Case("is not a valid address", "sync --destination=postgresql://db.example:port/books"),
    Case("does not name a database; use", "sync --destination=postgresql://db.example"),
    Case("is not empty and not from a demo", "demo --folder={folder}"),
    Case("--folder ‹folder› cannot be used", "demo --folder=/dev/null/x"),
    Case("needs PyDBML", "schema --format=dbml", uninstall("pydbml", "dlt.helpers.dbml")),
    Case("--listen needs a redirect URI", "login --listen", each(redirect_uri="https://x.example/")),
    Case("use letters, digits, - and _ only", "sync --pipeline=a/b"),
    Case("--dataset is ‹name›", "sync --dataset=a/b"),
    Case("--redirect-uri ‹text› is not valid", "init --client-id=x --client-secret=y --redirect-uri=http://x"),
    Case("‹option›: there is no folder", "entities refresh --write={folder}/none/x.json"),
    Case("‹option›: ‹path› is a folder", "entities refresh --write={folder}"),
    Case("the input ended before an address was pasted", "login --no-browser --no-listen", lambda b: typed(b, ""), place="login: "),
    Case("‹command› asks before it deletes", "logout", lambda b: typed(b, ""), place="logout "),
    Case("use --no-listen and paste", "login --no-browser", occupy, place="127.0.0.1:"),
    Case("deletes is ‹deletes›", "sync --deletes=maybe"),
    Case('divisions must be codes such as', "sync --divisions="),
    Case("divisions: ‹…› cannot be seen by this app and user; see `exact-source divisions`", f"{SYNC} --divisions=9"),
    Case("entities: ‹name› is not read", f"sync --entities={UNREAD}"),
    Case("entities: ‹name› is unknown", "sync --entities=acounts"),
    Case("‹option› belongs to `exact-source entities", "entities accounts --write=x.json"),
    Case("Exact Online has no webhooks for ‹entities›", "webhooks subscribe --callback-url=https://x.example/ --entities=journals"),
    Case("divisions: ‹which› is blocked", "entities refresh",
         lambda b: b.answer("system/Divisions", b'{"d": {"results": [{"Code": 7, "BlockingStatus": 1}]}}'), place="divisions: "),
    Case("init needs ‹…›", "init", lambda b: typed(b, ""), place="--client-id"),
    Case("init: ‹folder› cannot be created", INIT + " --destination=duckdb", lambda b: b.patch.setenv("DLT_PROJECT_DIR", "/dev/null/x")),
    Case("sources.exact_online.‹name› has another value", INIT + " --region=be",
         settings_file("config.toml", '[sources.exact_online]\nregion = "nl"\n')),
    Case("‹…› has another value in .dlt/", INIT + " --destination=postgresql://a/b",
         settings_file("secrets.toml", '[destination.postgres]\ncredentials = "postgresql://a/c"\n')),
    Case("--bigquery-key: ‹file› cannot be read", INIT + " --destination=bigquery --bigquery-key={folder}"),
    Case("is not a JSON key of a service account", INIT + " --destination=bigquery --bigquery-key={folder}/tokens.json"),
    Case("‹path› cannot be read: ‹strerror›", INIT, unreadable_toml),
    Case("‹path›, line ‹line›: not valid TOML", INIT, settings_file("config.toml", "= =")),
    Case("‹path›, line ‹line›: not valid TOML", "plan", settings_file("config.toml", "[a]\nb = 1\n[a]\nc = 2")),
    Case("is not UTF-8 text", INIT, not_utf8),
    Case("there is no folder .dlt in", SYNC, lambda b: b.unset("client_id")),
    Case("division ‹division›, topic ‹topic›: Exact Online refused the address", "webhooks subscribe --callback-url=https://x.example/",
         lambda b: b.cli.world.box.fault("400", path=SUBSCRIPTIONS, after=1), 1),
    Case("‹what›: ‹path› cannot be written", "status --destination=duckdb:{folder}/x.duckdb --openmetrics={folder}",
         lambda b: None),
    Case("this is not an authorization code", "login --code=https://x.example/"),
    Case("the address contains no authorization code", "login --code=https://x.example/?code="),
    Case("parameters.‹name› must be", "sync", each(parameters='{{"years": "soon"}}')),
    Case("parameters: ‹name› is unknown", "sync", each(parameters='{{"nope": 1}}')),
    Case("route ‹one› is unknown", "sync --route=fast"),
    Case("route names ‹name›", "sync --route=nope=bulk"),
    Case("‹name› has no ‹wanted› feed", "sync --entities=journals --route=journals=sync"),
    Case("‹setting› must be a date", "sync --start-date=soon"),
    Case("start_date ‹start date› is in the future", "sync --start-date=2062-01-01"),
    Case("start_by is", "sync --start-by=date"),
    Case("--destination duckdb: the file and the dataset", "sync --destination=duckdb:{folder}/exact_online.duckdb"),
    Case("the DuckDB file and the dataset are both called", "sync --destination=duckdb --entities=accounts",
         lambda b: b.patch.setenv("DESTINATION__DUCKDB__CREDENTIALS", f"duckdb:///{b.cli.world.folder}/exact_online.duckdb")),
    Case("tables that the report needs are not loaded", "report --destination=duckdb:{folder}/x.duckdb",
         lambda b: b.cli("sync", f"--destination=duckdb:{b.cli.world.folder}/x.duckdb", "--entities=journals"), place="gl_accounts"),
    Case("the tables have no rows of", "report --destination=duckdb:{folder}/x.duckdb --divisions=77",
         lambda b: b.cli("sync", f"--destination=duckdb:{b.cli.world.folder}/x.duckdb", BY_REPORT)),
    Case("the names of companies are not in", "report --destination=duckdb:{folder}/y.duckdb --divisions=Mol*",
         lambda b: b.cli("sync", f"--destination=duckdb:{b.cli.world.folder}/y.duckdb", BY_REPORT.replace("divisions,", "")), place="the entity divisions"),
    Case("the tables have no rows of", "status --destination=duckdb:{folder}/x.duckdb --divisions=77"),
    Case("--fault: ‹error›", "sandbox --port=0 --fault=nope:0.1"),
    Case("--port ‹port›: ‹strerror›", "sandbox --port={port}", taken_port),
    Case("--host ‹host› --port ‹port›: ‹reason›", "webhooks serve --port={port}",
         both(taken_port, each(webhook_secret="some-secret", notices_url="sqlite:///{folder}/n.db"))),
    Case("‹option› is ‹value›; use", "sandbox --language=fr"),
    Case("--companies is", "sandbox --companies=0"),
    Case("--deviate: ‹error›", "sandbox --deviate=nope"),
    Case("--replay: ‹error›", "sandbox --replay={folder}/none"),
    Case("every company is excluded", f"{SYNC} --exclude-divisions=*"),
    Case("‹setting›: no company is called", f"{SYNC} --divisions=Nobody"),
    Case("exclude_divisions: no company has the code", f"{SYNC} --exclude-divisions=77"),
    Case("nothing was synced yet", "verify --books --yes --division=1000123 --destination=duckdb:{folder}/x.duckdb"),
    Case("verify cannot ask without a terminal", "verify", place="--division "),
    Case("is not a company that can be read", "verify", ask_and_answer_nine, place="--division 9"),
    Case("--books takes neither --report nor --record", "verify --yes --division=1 --books --report={folder}/x.md"),
    Case("--topics: ‹topic› is unknown", "webhooks subscribe --callback-url=https://x.example/ --topics=acounts", place="--topics"),
    Case("‹option›: there is no folder", "verify --yes --division=1 --report={folder}/none/x.md"),
    Case("is not read; did you mean [", SYNC, settings_file("secrets.toml", '[sources.exact]\nclient_id = "x"\n')),
    Case("--record ‹folder› cannot be used", f"{SYNC} --record={{folder}}/tokens.json"),
    Case("holds values that are not masked", f"{SYNC} --record={{folder}}/kept", leave_a_name),
    Case("needs its driver; install", "sync --destination=clickhouse", uninstall("clickhouse_driver", "clickhouse_connect")),
    Case("filesystem: files are only appended to", "sync --destination=filesystem:{folder}/lake --entities=accounts"),
    Case("were last synced by exact-source", SYNC, sync_by_a_later_version, place="--dataset"),
    Case("‹path› cannot be written; give the user", "check --destination=duckdb:{folder}/x.duckdb --entities=journals",
         lambda b: b.patch.setattr(os, "access", lambda *_: False), 1),
    Case("the sandbox needs ‹name›", "sandbox", without_sandbox, place="the sandbox"),
    Case("the demo needs ‹name›", "demo --folder={folder}/new", without_sandbox, place="the demo"),
    Case("‹setting›: ‹name› is unknown", "sync --history=acounts"),
    Case("--history: ‹name› is not read", "sync --entities=items --history=items,accounts"),
    Case("--destination ‹kind›: ‹…›", "status", lambda b: b.patch.setenv("RESTORE_FROM_DESTINATION", "perhaps"), place="restore_from_destination"),
    Case("dlt's load.raise_on_failed_jobs is not true", SYNC, lambda b: b.patch.setenv("LOAD__RAISE_ON_FAILED_JOBS", "false")),
    Case("dlt's refresh is ‹refresh›", SYNC, lambda b: b.patch.setenv("REFRESH", "drop_data"), place="dlt's refresh"),
    # -- settings -----------------------------------------------------------------------------
    Case("sources.exact_online.‹name› is not set", "sync", lambda b: b.unset("client_id")),
    Case("base_url must be an https origin", "sync --base-url=http://books.example"),
    Case("region is ‹region›", "sync --region=mars", lambda b: b.unset("base_url")),
    Case("region ‹region› is ‹…›, but base_url says", "sync --region=be"),
    Case("redirect_uri is not set: put the one", "login --code=x", lambda b: b.unset("redirect_uri")),
    Case("token_storage is ‹token storage›", "sync", each(token_storage="cloud")),
    Case('token_url is not set; token_storage = "sql"', "sync", each(token_storage="sql")),
    Case("token_destination is not set", "tokens", each(**DLT)),
    Case("token_key is not a Fernet key", "sync", each(token_key="short")),
    Case("needs a key, because", "sync", sql_tokens(token_url="sqlite:///{folder}/t.db"), place="token_key"),
    Case("‹user› needs SQLAlchemy", "sync", both(sql_tokens(token_url="sqlite:///{folder}/t.db", token_key=KEY), uninstall("sqlalchemy")), place="SqlTokenStorage"),
    Case("is not a valid SQLAlchemy URL", "sync", sql_tokens(token_url="nope", token_key=KEY)),
    Case("token_destination ‹word› is unknown", "tokens", each(**DLT, token_destination="oracle")),
    Case("does not work with the destination", "tokens", each(**DLT, token_destination="filesystem"), place="DltStateTokenStorage"),
    Case("catalogue_overlay: ‹path› cannot be read", "entities", each(catalogue_overlay="{folder}/none.json")),
    Case("‹path› is not JSON", "entities", overlay("{")),
    Case("is not an overlay of version", "entities", overlay('{"version": 99}')),
    Case("the overlay is malformed", "entities", overlay('{"version": 1, "entities": 7}')),
    Case("leases need the database", "sync", each(leases="true")),
    Case("‹name› is not a setting", SYNC, settings_file("config.toml", '[sources.exact_online]\ndelets = "soft"\n')),
    Case("but must be ‹expected›; correct it in", SYNC, each(max_calls="many")),
    Case("use ‹unit›, 1 or more", "sync", each(lease_s="0")),
    # -- login and tokens ---------------------------------------------------------------------
    Case("Exact Online returned no code: ‹…›", "login --code=https://x.example/?error=access_denied", code=1),
    Case("the state of a login of the last 15 minutes", "login --code=https://x.example/?code=a&state=b", code=1, place="the address"),
    Case("the address does not contain the state of this login", "login --no-browser --no-listen",
         lambda b: typed(b, "https://x.example/?code=a&state=b\n"), 1, place="the address"),
    Case("the address has no state", "login --no-browser --no-listen",
         lambda b: typed(b, "https://x.example/?code=a\n"), 1, place="the address"),
    Case("Exact Online refuses the code", "login --code=never", code=1),
    Case("the reply to the code exchange was lost", "login --code=never", token_fault("token-empty"), 1),
    Case("the code was not exchanged", "login --code=never", token_fault("token-429"), 1),
    Case("no tokens are stored in", "tokens", lambda b: b.tokens.unlink(), 1),
    Case("no tokens are stored for this connection", SYNC, lambda b: b.tokens.unlink(), 1, place="this connection"),
    Case("Exact Online refuses the app", SYNC, expired(each(client_secret="wrong-secret"))),
    Case("the tokens were not refreshed: ", SYNC, expired(token_fault("token-429", 9)), 1, place="the tokens"),
    Case("and the reply to the second attempt was lost too", SYNC, expired(token_fault("token-503", 9)), 1, place="token refresh"),
    Case("‹…›: run `exact-source login`", SYNC, expired(change_tokens(refresh_token="never-issued-token")), 1, place="token chain"),
    Case("UTC and is not sent again", SYNC,
         both(expired(change_tokens(refresh_token="never-issued-token")), lambda b: b.cli("sync", ACCOUNTS, b.cli.destination)), 1, place="token chain"),
    Case("‹…›, and then ‹…›; the stored tokens", SYNC, expired(replies(Reply(200), Reply(429))), 1, place="token refresh"),
    Case("‹…›; Exact Online has issued the new tokens", SYNC, expired(replies(Reply(200), EARLY)), 1, place="token refresh"),
    Case("and then Exact Online could not be reached (‹detail›); the stored", SYNC, expired(leave_after(Reply(200))), 1, place="token refresh"),
    Case("Exact Online recently issued newer tokens", SYNC, both(Bench.expire, log_in_elsewhere), 1, place="newer tokens"),
    Case("new tokens could not be stored", SYNC, expired(fill_disk_meanwhile), 1),
    Case("‹what› ‹path› cannot be written: ‹strerror›", SYNC, expired(both(replies(), fill_disk)), 1, "TokenStoreError"),
    Case("Exact Online refuses the access token", SYNC, change_tokens(access_token="never-issued-token"), 1, place="the access token"),
    Case("token file ‹path› ‹what›", SYNC, spoil_tokens(""), 1),
    Case("token file ‹path› is damaged", SYNC, lambda b: b.tokens.write_bytes(b"\xff"), 1),
    Case("token file ‹path›: ‹error›", SYNC, spoil_tokens('{"access_token": "x"}'), 1),
    Case("‹lock file› cannot be locked", SYNC, expired(lambda b: [lock_of(b).unlink(), lock_of(b).mkdir()]), 1),
    Case("‹lock file› was not released", SYNC, expired(hold_lock), 1),
    Case("‹place› cannot be read: ‹strerror›", SYNC, both(SQL_TOKENS, lambda b: journal_of(b).mkdir()), 1),
    Case("‹place› is damaged; nothing was changed", SYNC, both(SQL_TOKENS, lambda b: journal_of(b).write_text(NO_PAIR)), 1),
    Case("‹place›: ‹error›", SYNC, both(SQL_TOKENS, store_no_pair), 1),
    Case("is encrypted, but", SYNC, spoil_tokens('{"fernet": "x"}'), 1),
    Case("cannot be decrypted", SYNC, both(spoil_tokens('{"fernet": "x"}'), each(token_key=KEY)), 1),
    Case("can be read by every user", SYNC, lambda b: b.tokens.chmod(0o644), 1),
    Case("stored tokens cannot be read", SYNC, spoil_tokens('{"access_token": "x"}'), 1, inside="token-store"),
    Case("token file ‹path› cannot be read: ‹strerror›", SYNC, each(token_file="{folder}"), 1),
    Case("cannot be removed", "logout --yes", each(token_file="{folder}"), 1),
    Case("Exact Online's reply contains no refresh token", "login --code=x",
         lambda b: b.answer("oauth2/token", b'{"access_token": "first-access-token", "expires_in": "600"}'), 1, place="refresh token"),
    Case("refused with 429 for an hour", SYNC, lambda b: b.fault("429", times=999), 3),
    # -- Exact Online -------------------------------------------------------------------------
    Case("Exact Online answered ‹answer›", SYNC, deny(ALL_PAGES), 1, inside="unavailable"),
    Case("tries; run again later", SYNC, lambda b: b.fault("503", times=99), 1),
    Case("the reply is larger than", SYNC, lambda b: (b.set("max_response_mb", 1), b.answer(ALL_PAGES, bytes(2_000_000))), 1),
    Case("Exact Online answered with an error instead", SYNC, lambda b: b.answer(ALL_PAGES, b'{"error": {"code": ""}}'), 1),
    Case('the reply is not of the form {"d": ...}', SYNC, lambda b: b.answer(ALL_PAGES, b"[]"), 1),
    Case("wrapped in an unknown form", SYNC, lambda b: b.answer(ALL_PAGES, b'{"d": 7}'), 1),
    Case("the reply is truncated or not JSON", SYNC, lambda b: b.answer(ALL_PAGES, b'{"d": '), 1, inside="remote"),
    Case("the reply is empty", SYNC, lambda b: b.answer(ALL_PAGES, b""), 1, inside="remote"),
    Case("the reply is HTML or XML", SYNC, lambda b: b.answer(ALL_PAGES, b"<html>"), 1, inside="remote"),
    Case("the reply is not UTF-8", SYNC, lambda b: b.answer(ALL_PAGES, b"\xff"), 1, inside="remote"),
    Case("the reply is nested too deeply", SYNC, lambda b: b.answer(ALL_PAGES, b"[" * 100_000), 1, inside="remote"),
    Case("ended the rows with an error", SYNC,
         lambda b: b.answer(ALL_PAGES, b'{"d": {"results": [{"error": {"code": ""}}]}}'), 1, inside="remote"),
    Case("the division of a row is not a number", SYNC,
         lambda b: b.answer(ALL_PAGES, b'{"d": {"results": [{"ID": "1", "Division": "x"}]}}'), 1),
    Case("a row belongs to another division", SYNC, lambda b: b.fault("wrong-division", times=99), 1),
    Case("a row has no division", "divisions",
         lambda b: b.answer("system/Divisions", b'{"d": {"results": [{"Description": "x"}]}}'), 1),
    Case("the next link leaves the endpoint", SYNC, lambda b: b.fault("foreign-next", times=99), 1),
    Case("the next link points to the same page", SYNC, lambda b: b.fault("repeat-next", times=99), 1),
    Case("‹where›: the next link was followed before", "divisions", lambda b: b.answer("system/Divisions", endless), 1),
    Case("‹…›: the next link was followed before; reading stopped", SYNC, lambda b: b.answer(ALL_PAGES, endless), 1),
    Case("over ‹KEYLESS ROWS› rows have", SYNC.replace("accounts", "document_types"),
         lambda b: b.answer("documents/DocumentTypes", b'{"d": {"results": [%s]}}' % b",".join([b"{}"] * 1001)), 1),
    Case("Exact refused too often", SYNC, spend_errors, 1),
    Case("$metadata is too large", "entities refresh --entities=journals",
         lambda b: b.answer("$metadata", b" " * (MAX_BYTES + 1)), 1),
    Case("the reply to $inlinecount contains no count", "plan --entities=accounts",
         lambda b: b.answer("crm/Accounts", b'{"d": {"results": []}}'), 0),
    Case("$metadata describes no entity type", "entities refresh --entities=journals",
         lambda b: b.answer("$metadata", b"<Edmx/>"), 1),
    Case("$metadata declares a document type", "entities refresh --entities=journals",
         lambda b: b.answer("$metadata", b"<!DOCTYPE x><Edmx/>"), 1),
    Case("$metadata is truncated or not XML", "entities refresh --entities=journals",
         lambda b: b.answer("$metadata", b"<Edmx>"), 1, inside="remote"),
    Case("Exact Online sent an HTML page instead of $metadata", "entities refresh --entities=journals",
         lambda b: b.answer("$metadata", b"<html></html>"), 1, inside="remote"),
    Case("Exact Online sent another document instead of $metadata", "entities refresh --entities=journals",
         lambda b: b.answer("$metadata", b"<Other/>"), 1, inside="remote"),
    Case("Exact Online returned no current division", "divisions",
         lambda b: b.answer("current/Me", b'{"d": {"results": []}}'), place="--divisions"),
    Case("the app cannot see any division", "divisions",
         lambda b: b.answer("system/Divisions", b'{"d": {"results": []}}'), place="the app"),
    # -- webhooks and leases --------------------------------------------------------------------
    Case("--callback-url must be the https", "webhooks subscribe --callback-url=http://x.example/"),
    Case("--topics: ‹…› is not a topic", "webhooks subscribe --callback-url=https://x.example/ --topics=a-b"),
    Case("--topics names no topic", "webhooks unsubscribe --topics= --yes"),
    Case("so it may have been done or not", "webhooks subscribe --callback-url=https://x.example/ --topics=Items",
         lambda b: b.cli.world.box.fault("503", path=SUBSCRIPTIONS, after=1), 3),
    Case("webhook_path must begin with", "webhooks serve", each(webhook_path="x", webhook_secret="some-secret")),
    Case("webhook_secret is not set", "webhooks serve"),
    Case("the receiver needs ‹name›", "webhooks serve", both(uninstall("uvicorn"), forget("exact_source.webhooks.server")), place="the receiver"),
    Case("‹place› does not exist, so no receiver writes", f"{SYNC} --changed", each(notices_url="sqlite:///{folder}/n.db")),
    Case("‹place›: ‹…›", f"{SYNC} --changed", each(notices_url="sqlite:////usr"), 1, "NoticesError", place="table exact_notices in sqlite:////usr"),
    Case("leases cannot be stored in", SYNC,
         each(leases="true", token_url="sqlite:////none/l.db"), place="sqlite:////none/l.db"),
    Case("table exact_leases in ‹…›: ‹…›", SYNC,
         each(leases="true", token_url="postgresql://nobody@127.0.0.1:1/l"), 3, place="127.0.0.1:1/l"),
    Case("needs the Python package ‹name›", SYNC, sql_tokens(token_url="mysql://u@h/d", token_key=KEY)),
    Case("‹place›: ‹…›", SYNC, sql_tokens(token_url="sqlite:////none/t.db", token_key=KEY), 1, "TokenStoreError", place="table exact_oauth in sqlite:////none/t.db"),
    Case("‹item› ‹who›; run again later", SYNC, both(LEASES, hold_lease), 3),
    # -- limits -------------------------------------------------------------------------------
    Case("the limit --max-calls ‹max calls›", f"{SYNC} --max-calls=4", many_pages, 3),
    Case("‹option› is too small: the lists of companies", f"{SYNC} --max-calls=2", many_pages, 3),
    Case("of division ‹division›: left for the next sync", f"{SYNC} --max-calls=3", code=3),
    Case("--reserve-calls, --contract-cap: ", "plan --entities=accounts --reserve-calls=6000"),
    Case("division ‹division›: reserve_calls", f"{SYNC} --reserve-calls=5000", code=3),
    Case("(contract_cap ‹…›) is used up", f"{SYNC} --contract-cap=4", many_pages, 3),
    Case("division ‹division›: today's", SYNC, lambda b: [b.cli.world.box.consume(d, 5000) for d in b.cli.world.box.divisions], 3),
    Case("stopped by the time limit while waiting", f"{SYNC} --max-minutes=1", lambda b: b.fault("503", times=99), 3),
    Case("another sync of the pipeline", SYNC, lambda b: b.stack.enter_context(named_lock("exact_online", 0.0, Path(pipelines_folder("exact_online")))), 3),
    Case("is being loaded by", SYNC, load_elsewhere, 3),
    Case("dataset ‹dataset name› cannot be locked", SYNC, lambda b: (b.cli.world.folder / ".x.duckdb.exact_online.lock").mkdir(), 1),
    # -- destinations -------------------------------------------------------------------------
    Case("destination ‹name›: ‹holder› has the DuckDB file open", "status --destination=duckdb:{folder}/x.duckdb", open_elsewhere, 3),
    Case("destination ‹name›: a sync of the ‹…›", "status --destination=duckdb:{folder}/x.duckdb", sync_elsewhere, 3),
    Case("destination ‹name›: ‹said›‹…›", "status --destination=duckdb:{folder}/x.duckdb",
         lambda b: b.file("x.duckdb", "no database"), 1),
    Case("‹…› has the DuckDB file open, which takes one", SYNC, open_elsewhere, 3, place="destination duckdb: "),
    Case("dataset ‹dataset name›: the sync failed: ", SYNC, take_name, 1, place="dataset exact_online: "),
]  # fmt: skip


def pattern(text: str) -> str:
    """What a spelled message looks like once it is said."""
    return ".*".join(re.escape(part) for part in re.split("‹.*?›", text))


@pytest.mark.parametrize("case", CASES, ids=[c.message for c in CASES])
def test_a_command_ends_with_the_message_and_its_exit_code(bench: Bench, case: Case) -> None:
    case.arrange(bench)
    places = {"folder": bench.cli.world.folder, "port": bench.port}
    argv = [word.format(**places) for word in shlex.split(case.argv)]

    result = bench.cli(*argv, "--log-format=json")

    logged = [line for line in result.err.splitlines() if not line.endswith(UNANSWERED)]
    # The line begins with the question, if that was answered.
    lines = [json.loads(line[line.find("{") :]) for line in logged]
    errors = [line for line in lines if line["message"].startswith("error: ")]
    assert result.code == case.code, result.err
    assert not [line for line in lines if "\n" in line["message"]]
    assert "sandbox-secret" not in result.err + result.out
    if case.code == SAFE and not errors:
        # Nothing went wrong: the day's calls are used up, and the rest waits for the next day.
        assert lines[-1]["code"] in {code_of(case), "limit"}
    elif case.code:
        assert len(errors) == 1, lines
        assert errors[0]["code"] == (code_of(case) or errors[0]["code"])
    said = errors[0]["message"].partition("error: ")[2] if errors else ""
    if errors:
        assert any(place in said for place in places_of(case, bench, argv)), said
    if errors and not case.inside:
        assert any(re.search(pattern(m.text), said) for m in about(case.message, case.kind)), said


def places_of(case: Case, bench: Bench, argv: Sequence[str]) -> set[str]:
    """Words of which the message must have one, so that it says where the mistake is."""
    if case.place:
        return {case.place}
    options = [word.partition("=")[::2] for word in argv if word.startswith("--")]
    names = {name for name, _ in options} | {name[2:].replace("-", "_") for name, _ in options}
    values = {part for _, value in options for part in re.split("[,=:]", value) if len(part) > MARK}
    divisions = {f"division {code}" for code in bench.cli.world.box.divisions}
    return names | values | divisions | bench.settings | {str(bench.cli.world.folder), ".dlt"}


@dataclass(frozen=True)
class About:
    """A message, and the code of its class."""

    kind: str
    text: str
    code: str


@cache
def spelled() -> frozenset[About]:
    found = messages()  # imports the modules whose classes follow
    codes = {kind.__name__: kind.code for kind in kinds()}
    return frozenset(About(m.kind, m.text, codes[m.kind]) for m in found)


def about(part: str, kind: str = "") -> list[About]:
    """The messages that a case is about: that of just these words, else those that hold them."""
    found = [m for m in spelled() if kind in {"", m.kind}]
    return [m for m in found if m.text == part] or [m for m in found if part in m.text]


def code_of(case: Case) -> str:
    """The code of the message that a case names; empty if several messages have these words."""
    found = {message.code for message in about(case.message, case.kind)}
    return case.inside or (found.pop() if len(found) == 1 else "")


@pytest.mark.parametrize("case", CASES, ids=[c.message for c in CASES])
def test_each_case_is_about_a_message_of_the_page(case: Case) -> None:
    assert about(case.message, case.kind)


def test_the_page_is_the_one_that_the_source_makes() -> None:
    assert PAGE.read_text("utf-8") == render(), "run python -m tools.docs.errors_page"


@pytest.mark.nightly
def test_the_page_is_the_same_in_whatever_order_modules_are_imported() -> None:
    code = (
        "import exact_source.webhooks.notices, exact_source.webhooks.signed\n"
        "from exact_source.errors import StreamError\n"
        "class Foreign(StreamError): pass\n"
        "from tools.docs.errors_page import PAGE, render\n"
        "assert PAGE.read_text('utf-8') == render()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PAGE.parents[1])


def test_every_kind_has_a_code_a_remedy_and_an_exit_code() -> None:
    for kind in kinds():
        if kind is not ExactError:
            assert re.fullmatch("[a-z-]+", kind.code)
            assert kind.remedy.endswith(".")
            assert kind.exit_code in {1, 2, 3}
