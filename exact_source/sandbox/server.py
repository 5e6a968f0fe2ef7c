"""The sandbox on a real socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .http.responses import ABORT

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 10.0


class AbortableProtocol(H11Protocol):
    """HTTP/1.1 in which the app can close the connection without an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        served = cast("ASGIApp", self.app)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), ABORT: self._abort}
            await served(scope, receive, send)

        self.app = app

    def _abort(self) -> None:
        self.transport.abort()


def new_server(app: ASGIApp) -> uvicorn.Server:
    """A quiet server; ``Date`` is left to the app, which has a clock of its own."""
    config = uvicorn.Config(
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
    return uvicorn.Server(config)


def bind(port: int) -> socket.socket:
    """A socket on loopback; port 0 for one that is free."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # gets NODELAY
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        raise
    return bound


@contextmanager
def serve(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve the app in the background; yields ``http://127.0.0.1:PORT``.

    Raises:
        OSError: If the port is taken.
    """
    bound = bind(port)
    server = new_server(app)
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
    """At once; an orderly end would look for itself every tenth of a second, in thousands of tests."""
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    for task in asyncio.all_tasks(loop):
        task.cancel()
