"""A server for the receiver that silent and numerous clients cannot block.

The receiver itself limits the size of a body and the time in which it arrives. What uvicorn does not limit is
limited here: the time in which the head of a request arrives, and the number of connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEAD_S = 10.0  # seconds in which the request line and the headers must arrive
MAX_CONNECTIONS = 100


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 on a connection that has to send a request soon.

    Once there are more than ``MAX_CONNECTIONS``, the one that has been silent longest makes room, so that
    silent clients do not keep out those that send webhooks.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count the seconds, and make room if there are too many connections."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_S, self._close_if_silent)
        still_open = [c for c in self.connections if not c.transport.is_closing()]
        if len(still_open) > MAX_CONNECTIONS:
            silent = [c for c in still_open if isinstance(c, LimitedProtocol) and c.is_silent]
            min(silent, key=lambda c: c.deadline).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._deadline.cancel()
        super().connection_lost(exc)

    @property
    def is_silent(self) -> bool:
        """Whether the head of a request has not arrived yet."""
        return self.cycle is None

    @property
    def deadline(self) -> float:
        """When a silent connection is closed, by the clock of the event loop."""
        return self._deadline.when()

    def _close_if_silent(self) -> None:
        if self.is_silent:
            self.transport.abort()


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server that takes one request on each connection."""
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        headers=[("Connection", "close")],
    )
    return uvicorn.Server(config)
