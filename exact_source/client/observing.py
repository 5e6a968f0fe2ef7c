"""Shows each reply to an observer before the client reads it."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from .transport import MB, AiohttpTransport

Observer = Callable[[httpx.Request, httpx.Response], None]


class ObservedTransport(httpx.AsyncBaseTransport):
    """Wraps a transport, and passes each reply with its whole body to an observer.

    Args:
        inner: Sends the requests.
        observe: Called with each request and its reply, whatever the status.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, observe: Observer) -> None:
        self._inner = inner
        self._observe = observe

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The reply of the wrapped transport."""
        response = await self._inner.handle_async_request(request)
        await response.aread()
        self._observe(request, response)
        return response

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._inner.aclose()


def observed_transport(
    base_url: str, max_response_mb: float, observe: Observer | None
) -> ObservedTransport | None:
    """The transport for a client; ``None`` without an observer, so that the client creates its own."""
    if observe is None:
        return None
    return ObservedTransport(AiohttpTransport(base_url, int(max_response_mb * MB)), observe)
