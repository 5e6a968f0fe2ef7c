"""Serves the sandbox on a real socket, in a separate thread."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .http.responses import ABORT

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 10.0
BACKLOG = 128  # connections that wait while the server starts


class AbortableProtocol(H11Protocol):
    """HTTP/1.1 in which the app can close the connection without a reply."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        served = cast("ASGIApp", self.app)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), ABORT: self._abort}
            await served(scope, receive, send)

        self.app = app

    def _abort(self) -> None:
        self.transport.abort()


def _config(app: ASGIApp) -> uvicorn.Config:
    """Configuration of uvicorn without logs and ``Date``; the app has its own clock and sets ``Date``."""
    return uvicorn.Config(
        app,
        http=AbortableProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )


def bind(port: int) -> socket.socket:
    """A socket that listens on loopback; port 0 takes a free port.

    Clients may connect as soon as it exists; they wait until the server is running.

    Raises:
        OSError: If the port is in use.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # gets NODELAY
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


class _ForegroundServer(uvicorn.Server):
    """A server that calls ``on_start`` once it is running."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        self._on_start()


def run_server(app: ASGIApp, bound: socket.socket, on_start: Callable[[], None]) -> None:
    """Serve the app in the foreground until Ctrl-C; only the main thread may call this.

    A Ctrl-C during the start takes effect right after the start, because an interrupted event loop would
    leave a coroutine behind.

    Args:
        app: The app.
        bound: The socket to serve on.
        on_start: Called once the server is running.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after the server has stopped.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    asyncio.run(_ForegroundServer(_config(app), on_start).serve(sockets=[bound]))


@contextmanager
def serve(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve the app in the background; yields ``http://127.0.0.1:PORT``.

    Raises:
        OSError: If the port is in use.
    """
    bound = bind(port)
    server = uvicorn.Server(_config(app))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop, server, bound), daemon=True)
    thread.start()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            bound.close()
            raise RuntimeError("the sandbox did not start")
        time.sleep(0.005)
    try:
        yield f"http://{LOOPBACK}:{bound.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(_stop, loop, server)
        thread.join()
        bound.close()


def _run(loop: asyncio.AbstractEventLoop, server: uvicorn.Server, bound: socket.socket) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner, suppress(asyncio.CancelledError):
        runner.run(server.serve(sockets=[bound]))


def _stop(loop: asyncio.AbstractEventLoop, server: uvicorn.Server) -> None:
    """Stop immediately; an orderly shutdown polls every tenth of a second, which slows down tests."""
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    for task in asyncio.all_tasks(loop):
        task.cancel()
