"""Sends the requests of httpx with aiohttp, whose HTTP parser is written in C.

CPU milliseconds of a page without compression, medians of five turns (``python -m benchmarks.transport``,
Python 3.11, a machine of two cores that others used as well):

    page              httpx 0.28   httpx2 2.16   aiohttp, this module
    60 rows, 119 kB         1.39          0.82                   0.35
    1,000 rows, 2 MB        4.73          4.73                   1.60

So httpx builds the requests and responses, and aiohttp sends them. httpx2 is not an alternative: it takes two
to three times the CPU of aiohttp, and no other package here requires it. aiohttp also finds a free connection
without scanning all of them, which matters with hundreds of divisions. The package ``httpx-aiohttp`` is not
an alternative either: it quotes the URL again, reads in chunks of 16 KiB and does not disable aiohttp's
retries.
"""

from __future__ import annotations

import zlib
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from yarl import URL

from ..tls import ssl_context
from .request import ExactRequest

# Divisions are read in parallel, with one call of each at a time (API 2.4).
CONNECTIONS = 192
READ_BYTES = 1 << 21  # read from a socket before it is paused; about a page of 1,000 rows
MB = 1_000_000
# aiohttp's errors and their equivalents in httpx; the first match counts, any other is a ReadError.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),  # shorter than announced
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
)
_OUR_ERRORS = (aiohttp.ClientError, TimeoutError)
_OF_PACKED_BODY = {b"content-encoding", b"content-length"}


class TooLargeError(httpx.TransportError):
    """A reply, compressed or not, is larger than the client accepts."""


class ClosedError(httpx.TransportError):
    """The transport was closed, before a request or during one."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request once, over persistent connections.

    Args:
        base_url: The site's origin; its TLS settings and its proxy are determined once.
        max_bytes: Largest body of a reply, compressed as well as decompressed.
    """

    def __init__(self, base_url: str, max_bytes: int = 64 * MB) -> None:
        self._max_bytes = max_bytes
        self._verify = ssl_context(base_url)
        self._proxy = proxy_of(base_url)
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The reply with its whole body, decompressed.

        Raises:
            ClosedError: If the transport is closed.
            TooLargeError: If the body is larger than ``max_bytes``.
            httpx.DecodingError: If the body cannot be decompressed.
            httpx.TransportError: If there is no reply, or only a part of it.
        """
        if self._is_closed:
            raise ClosedError("closed", request=request)
        waits = request.extensions.get("timeout", {})
        try:
            async with self._open().request(
                request.method,
                URL(url_of(request), encoded=True),  # otherwise it would be quoted again
                headers=request.headers.items(),
                data=request.content or None,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=waits.get("connect"), sock_read=waits.get("read")
                ),
            ) as reply:
                body = await self._read(reply.content)
        except _OUR_ERRORS as error:
            if self._is_closed:
                raise ClosedError("closed", request=request) from error
            fitting = (ours for theirs, ours in _ERRORS if isinstance(error, theirs))
            raise next(fitting, httpx.ReadError)(str(error), request=request) from error
        if reply.headers.get("Content-Encoding", "").lower() != "gzip":
            return httpx.Response(reply.status, headers=reply.raw_headers, content=body)
        headers = [pair for pair in reply.raw_headers if pair[0].lower() not in _OF_PACKED_BODY]
        return httpx.Response(reply.status, headers=headers, content=self._unpack(body))

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        parts, size = [], 0
        async for part in content.iter_any():
            size += len(part)
            if size > self._max_bytes:
                raise TooLargeError("the body is too large")
            parts.append(part)
        return b"".join(parts)

    def _unpack(self, body: bytes) -> bytes:
        """The decompressed body; decompression stops at ``max_bytes``, so that a zip bomb does no harm."""
        try:
            plain = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body, self._max_bytes + 1)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        if len(plain) > self._max_bytes:
            raise TooLargeError("the decompressed body is too large")
        return plain

    async def aclose(self) -> None:
        """Close the connections; requests in progress end with a ``ClosedError``."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        """The session of aiohttp, which belongs to the event loop in which it is first used."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._verify, limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=READ_BYTES,
                auto_decompress=False,  # aiohttp would decompress without a limit
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            )
            # A retry by aiohttp would be a call that is not counted here (API 2.1).
            self._session._retry_connection = False  # noqa: SLF001 (there is no public way)
        return self._session


def url_of(request: httpx.Request) -> str:
    """The URL of a request, encoded."""
    return request.full_url if isinstance(request, ExactRequest) else str(request.url)


def proxy_of(url: str) -> str | None:
    """The proxy for a site according to the environment (``HTTPS_PROXY``, ``NO_PROXY``).

    aiohttp itself would look it up for each request, and read passwords from ``~/.netrc``.
    """
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
