"""Carries the requests of httpx by aiohttp, whose parser is C.

httpx by itself took 3.4 ms of CPU for the 2 MB of a page of 1,000 rows and 1.0 ms for a page of 60, aiohttp
0.7 and 0.2 ms. It also finds a free connection without a look at all of them, which counts with hundreds of
divisions.
"""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from yarl import URL

from ..tls import trusted

# Divisions read side by side, a call of each at a time (API 2.4).
CONNECTIONS = 192
READ_BYTES = 1 << 21  # before the socket is left alone for a while: a page of 1,000 rows
# The first that fits; what is not here is some trouble of the connection.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),  # less came than was announced
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
)
_OUR_ERRORS = (aiohttp.ClientError, TimeoutError)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request once, over connections that stay open.

    Args:
        base_url: The site's origin; whom to trust there, and by which proxy it is reached, is settled once.
    """

    def __init__(self, base_url: str) -> None:
        self._verify = trusted(base_url)
        self._proxy = proxy_of(base_url)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer with its whole body.

        Raises:
            httpx.TransportError: If there is none, or not all of it.
        """
        waits = request.extensions.get("timeout", {})
        try:
            async with self._open().request(
                request.method,
                URL(str(request.url), encoded=True),  # else it would be quoted once more
                headers=request.headers.items(),
                data=request.content or None,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=waits.get("connect"), sock_read=waits.get("read")
                ),
            ) as answer:
                body = await answer.read()
        except _OUR_ERRORS as error:
            fitting = (ours for theirs, ours in _ERRORS if isinstance(error, theirs))
            raise next(fitting, httpx.ReadError)(str(error), request=request) from error
        return httpx.Response(answer.status, headers=answer.raw_headers, content=body)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        """The session; one belongs to the event loop in which it was made."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._verify, limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=READ_BYTES,
                auto_decompress=False,  # httpx does it
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            )
            # A repeated GET would be a call that nobody counts (API 2.1).
            self._session._retry_connection = False  # noqa: SLF001 (there is no public way)
        return self._session


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a site (``HTTPS_PROXY``, ``NO_PROXY``).

    aiohttp would look it up for each request, and passwords in ``~/.netrc``, too.
    """
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
