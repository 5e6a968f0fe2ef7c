"""A server for the receiver that idle or numerous clients cannot block.

The receiver itself limits the size of a body and the time in which it arrives. This server adds two limits
that uvicorn lacks: the time until the headers have arrived, and the number of connections.
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
    """HTTP/1.1 with a time limit for the request line and headers.

    With more than ``MAX_CONNECTIONS`` connections, the longest idle one is closed, so that idle clients do
    not keep out those that send webhooks.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit, and close an idle connection if there are too many."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_S, self._close_if_silent)
        still_open = [c for c in self.connections if not c.transport.is_closing()]
        if len(still_open) > MAX_CONNECTIONS:
            silent = [c for c in still_open if isinstance(c, LimitedProtocol) and c.is_silent]
            min(silent, key=lambda c: c.deadline).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit."""
        self._deadline.cancel()
        super().connection_lost(exc)

    @property
    def is_silent(self) -> bool:
        """Whether the headers of a request have not arrived yet."""
        return self.cycle is None

    @property
    def deadline(self) -> float:
        """When an idle connection is closed, by the clock of the event loop."""
        return self._deadline.when()

    def _close_if_silent(self) -> None:
        if self.is_silent:
            self.transport.abort()


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server that accepts one request per connection."""
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
