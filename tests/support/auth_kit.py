"""Shared by the tests of tokens. Run as a module, it is a worker process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from zlib import crc32

import httpx

from exact_source.auth import (
    DltStateTokenStorage,
    FileTokenStorage,
    OAuth,
    SqlTokenStorage,
    TokenData,
)
from exact_source.errors import ExactError
from exact_source.sandbox import Sandbox
from exact_source.sandbox.clock import SandboxClock

if TYPE_CHECKING:
    import dlt

KEY = "dmditBVXGqPPCJ-7B9HCTV_NEFG-wdAWnxY85MeaT4k="
STORES = ("file", "file-encrypted", "sqlite", "postgres", "dlt-duckdb", "dlt-postgres")
POSTGRES_STORES = {"postgres", "dlt-postgres"}
ROOT = Path(__file__).parents[2]
BuiltIn = FileTokenStorage | SqlTokenStorage | DltStateTokenStorage


@dataclass(frozen=True)
class StoreSpec:
    """Location of a token store; can be passed to another process."""

    kind: str
    folder: str
    dsn: str = ""

    def open(self, key: str = KEY) -> BuiltIn:
        folder = Path(self.folder)
        journal = folder / "journal"
        match self.kind:
            case "file":
                return FileTokenStorage(folder / "tokens.json")
            case "file-encrypted":
                return FileTokenStorage(folder / "tokens.json", key=key)
            case "sqlite":
                return SqlTokenStorage(
                    f"sqlite:///{folder}/tokens.db", key=key, journal=folder / "journal"
                )
            case "postgres":
                return SqlTokenStorage(self.dsn, key=key, journal=journal)
        return DltStateTokenStorage(self._pipeline(), key=key, journal=journal)

    def _pipeline(self) -> dlt.Pipeline:
        import dlt

        dataset = "books"
        match self.kind:
            case "dlt-duckdb":
                destination: Any = dlt.destinations.duckdb(f"{self.folder}/tokens.duckdb")
            case "dlt-postgres":
                destination = dlt.destinations.postgres(self.dsn)
            case _:  # one emulator serves all tests
                destination = dlt.destinations.bigquery(location="EU")
                dataset = f"books_{crc32(self.folder.encode())}"
        return dlt.pipeline(
            "tokens", destination=destination, dataset_name=dataset, pipelines_dir=self.folder
        )


class SharedClock(SandboxClock):
    """A clock that several processes share; it moves only when a process moves it."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(0.0, frozen=True)
        self._path = Path(path)
        if not self._path.exists():
            self._path.write_bytes(struct.pack("d", time.time()))

    def now(self) -> float:
        return float(struct.unpack("d", self._path.read_bytes())[0])

    def advance(self, seconds: float) -> None:
        with self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            moment = struct.unpack("d", file.read(8))[0] + seconds
            os.pwrite(file.fileno(), struct.pack("d", moment), 0)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


@dataclass(frozen=True)
class Connection:
    """Everything that a process needs to use one connection."""

    store: StoreSpec
    base_url: str
    clock: str
    client_id: str
    client_secret: str
    redirect_uri: str

    def oauth(self, storage: Any = None) -> OAuth:
        return OAuth(
            self.client_id,
            self.client_secret,
            self.redirect_uri,
            storage or self.store.open(),
            base_url=self.base_url,
            clock=SharedClock(self.clock),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Connection:
        document = json.loads(text)
        return cls(**document | {"store": StoreSpec(**document["store"])})


class Exact:
    """A sandbox on a socket and the connections to it."""

    def __init__(self, box: Sandbox, base_url: str, folder: Path) -> None:
        self.box = box
        self.base_url = base_url
        self.folder = folder
        self._http = httpx.Client(verify=False, trust_env=False)

    @property
    def clock(self) -> SharedClock:
        return SharedClock(self.folder / "clock")

    def connection(self, store: StoreSpec | None = None) -> Connection:
        return Connection(
            store or StoreSpec("file", str(self.folder)),
            self.base_url,
            str(self.folder / "clock"),
            self.box.client_id,
            self.box.client_secret,
            self.box.redirect_uri,
        )

    def oauth(self, storage: Any = None, **arguments: Any) -> OAuth:
        return OAuth(
            **{
                "client_id": self.box.client_id,
                "client_secret": self.box.client_secret,
                "redirect_uri": self.box.redirect_uri,
                "token_storage": storage or FileTokenStorage(self.folder / "tokens.json"),
                "base_url": self.base_url,
                "clock": self.clock,
                **arguments,
            }
        )

    def new_tokens(self) -> TokenData:
        now = self.clock.now()
        return TokenData.from_reply(
            self.box.issue_tokens(), sent_at=now, received_at=now, server_offset_s=0.0
        )

    def token_statuses(self) -> list[int]:
        return [request.status for request in self.box.token_requests]

    def close(self) -> None:
        self._http.close()

    def is_good(self, access_token: str) -> bool:
        url = f"{self.base_url}/api/v1/current/Me?$select=CurrentDivision"
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        return self._http.get(url, headers=headers).status_code == 200


@contextmanager
def exact_online(folder: Path) -> Iterator[Exact]:
    """A sandbox whose clock moves only when the test moves it."""
    folder.mkdir(parents=True, exist_ok=True)
    box = Sandbox(companies=1, invoices=1, clock=SharedClock(folder / "clock"))
    with box.serve() as base_url:
        exact = Exact(box, base_url, folder)
        yield exact
        exact.close()


@dataclass(frozen=True)
class Reply:
    """A reply of a token endpoint other than the sandbox.

    ``missing`` bytes are announced but not sent. The reply is sent when ``hold`` is set.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    missing: int = 0
    hold: threading.Event | None = None


class Wire:
    """A server that sends prepared replies and records the requests."""

    def __init__(self, *replies: Reply) -> None:
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = threading.Event()
        self.sent_at: list[float] = []  # by time.perf_counter()
        wire, left = self, list(replies)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                wire.forms.append(dict(parse_qsl(body)))
                wire.headers.append(dict(self.headers.items()))
                reply = left.pop(0)
                wire.arrived.set()
                if reply.hold is not None:
                    reply.hold.wait(60)
                self.send_response_only(reply.status)
                self.send_header("Content-Length", str(len(reply.body) + reply.missing))
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                wire.sent_at.append(time.perf_counter())
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()


def pair_body(**changes: Any) -> bytes:
    """The body of a successful reply, with changes; ``None`` omits a field."""
    body = {
        "access_token": "new-access-token",
        "refresh_token": "new-refresh-token",
        "expires_in": "600",
        "token_type": "bearer",
        **changes,
    }
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


class Memory:
    """A user's own storage: two plain methods, no lock."""

    def __init__(self, tokens: TokenData | None = None) -> None:
        self.tokens = tokens

    def get_tokens(self) -> TokenData | None:
        return self.tokens

    def save_tokens(self, tokens: TokenData) -> None:
        self.tokens = tokens


class AsyncMemory(Memory):
    """The same with async methods and an async lock, which belong to one event loop."""

    def __init__(self, tokens: TokenData | None = None) -> None:
        super().__init__(tokens)
        self._lock = asyncio.Lock()
        self.loops: set[int] = set()

    async def get_tokens(self) -> TokenData | None:  # type: ignore[override]
        self.loops.add(id(asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return self.tokens

    async def save_tokens(self, tokens: TokenData) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.tokens = tokens

    def lock(self) -> asyncio.Lock:
        return self._lock


def tokens(number: int = 1, *, at: float = 1_700_000_000.0) -> TokenData:
    """A token pair that no server knows."""
    return TokenData(
        f"access-{number}-" + "a" * 700,
        f"refresh-{number}-" + "r" * 300,
        "bearer",
        datetime.fromtimestamp(at + 600, UTC),
    )


def start_worker(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start this module as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.auth_kit", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"},
        **options,
    )


class Counted:
    """A storage that counts the pairs saved through it."""

    def __init__(self, inner: BuiltIn) -> None:
        self.saved = 0
        self.get_tokens, self.lock, self.check_writable = (
            inner.get_tokens,
            inner.lock,
            inner.check_writable,
        )
        self._inner = inner

    def save_tokens(self, tokens: TokenData) -> None:
        self._inner.save_tokens(tokens)
        self.saved += 1


def rotate(connection: Connection, times: int) -> dict[str, Any]:
    """Move the clock and request tokens until this process has rotated the pair a number of times."""
    storage, clock = Counted(connection.store.open()), SharedClock(connection.clock)
    oauth, asked = connection.oauth(storage), 0
    errors: list[str] = []
    began = time.perf_counter()
    while storage.saved < times and not errors:
        clock.advance(575)
        asked += 1
        try:
            asyncio.run(oauth.access_token())
        except ExactError as error:
            errors.append(f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - began
    return {"rotations": storage.saved, "asked": asked, "seconds": seconds, "errors": errors}


# Modules that run between a token request and its commit.
TRACED = (str(ROOT / "exact_source" / "auth"), str(ROOT / "exact_source" / "database.py"))


class Killer:
    """Ends this process with SIGKILL at the n-th line of our token code.

    Args:
        kill_at: Number of the line, counted from the reply of the token endpoint, or with ``before``
            from the start up to the reply. 0 only counts lines.
        before: Whether to count lines before the reply.
    """

    def __init__(self, kill_at: int, *, before: bool) -> None:
        self._kill_at, self._before = kill_at, before
        self._answered = False
        self.lines = 0

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        if event == "call" and frame.f_code.co_name == "parse_answer":
            self._answered = True
        if event == "line" and self._answered != self._before:
            self.lines += 1
            if self.lines == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


class Child:
    """A forked process; has its result, or the signal that ended it."""

    def __init__(self, work: Callable[[], dict[str, Any]]) -> None:
        reader, writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reader)
            with os.fdopen(writer, "w") as pipe:
                pipe.write(json.dumps(work()))
            os._exit(0)
        os.close(writer)
        self._reader = reader

    def join(self) -> dict[str, Any]:
        with os.fdopen(self._reader) as pipe:
            text = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        if os.WIFSIGNALED(status):
            return {"signal": os.WTERMSIG(status)}
        return dict(json.loads(text))


def be_killed(connection: Connection, kill_at: int, *, before: bool) -> dict[str, Any]:
    """Request a token in a child process that counts lines or is killed."""
    killer = Killer(kill_at, before=before)
    oauth = connection.oauth()
    threading.settrace(killer.trace)
    asyncio.run(oauth.access_token())
    threading.settrace(None)
    return {"lines": killer.lines}


def save(connection: Connection, pair: TokenData) -> dict[str, Any]:
    """Log in."""
    storage = connection.store.open()
    with storage.lock():
        storage.save_tokens(pair)
    return {}


def restart(connection: Connection) -> dict[str, Any]:
    """A connection as in a new process."""
    try:
        return {"access_token": asyncio.run(connection.oauth().access_token())}
    except ExactError as error:
        return {"error": f"{type(error).__name__}: {error}"}


def carry_out(connection: Connection, order: dict[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "kill":
            return be_killed(connection, order["at"], before=order["before"])
        case "save":
            return save(connection, TokenData.from_json(order["tokens"]))
    return restart(connection)


def serve_orders(connection: Connection) -> None:
    """Execute orders from stdin, each in a fork, so that imports run only once."""
    for line in sys.stdin:
        child = Child(partial(carry_out, connection, json.loads(line)))
        sys.stdout.write(json.dumps(child.join()) + "\n")
        sys.stdout.flush()


def warm_up(connection: Connection) -> None:
    """Import everything once before forking."""
    modules = ["anyio._backends._asyncio", "cryptography.fernet", "filelock", "httpcore"]
    if connection.store.kind in {"sqlite", "postgres"}:
        modules += [
            "sqlalchemy.dialects.sqlite.pysqlite",
            "sqlalchemy.dialects.postgresql.psycopg2",
        ]
    if connection.store.kind.startswith("dlt"):
        modules += ["dlt.destinations.impl.duckdb.duck", "dlt.destinations.impl.postgres.postgres"]
        # DuckDB imports the first for statements with parameters, dlt imports the second for a URL.
        modules += ["pandas", "dlt.common.libs.sql_alchemy_compat"]
    if connection.store.kind == "dlt-bigquery":
        modules += ["dlt.destinations.impl.bigquery.bigquery"]
    for module in modules:
        import_module(module)
    threads = count_threads()
    with contextlib.suppress(ExactError):  # what httpx and anyio import on first use
        asyncio.run(
            OAuth("c", "secret", "", Nothing(), base_url="http://127.0.0.1:9").access_token()
        )
    # An ending thread may hold an OpenSSL lock; a fork would inherit it in the locked state.
    while count_threads() > threads:
        os.sched_yield()


def count_threads() -> int:
    """Number of threads of this process, with those that Python no longer tracks."""
    return len(list(Path("/proc/self/task").iterdir()))


class Nothing:
    """A storage whose token pair no server knows."""

    def get_tokens(self) -> TokenData:
        return tokens(at=0)

    def save_tokens(self, tokens: TokenData) -> None:
        raise NotImplementedError

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield


def main() -> None:
    """A worker: ``rotate CONNECTION TIMES PROCESSES`` or ``orders CONNECTION``."""
    connection = Connection.from_json(sys.argv[2])
    warm_up(connection)
    if sys.argv[1] == "orders":
        serve_orders(connection)
        return
    times, processes = map(int, sys.argv[3:])
    children = [Child(lambda: rotate(connection, times)) for _ in range(processes)]
    sys.stdout.write(json.dumps([child.join() for child in children]))


if __name__ == "__main__":
    main()
