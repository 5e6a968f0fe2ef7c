"""Sends token requests, each exactly once; no other module uses up a refresh token."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace

import httpx

from ..clock import Clock
from ..http_dates import parse_date, parse_retry_after
from ..tls import ssl_context
from .token_response import Answer, TokenOutcome, parse_answer

# Long, because giving up while Exact is still processing the request loses the new tokens (API 1.4).
TIMEOUT = httpx.Timeout(90.0, connect=15.0, pool=15.0)
# Each request has its own connection. A server may close a persistent one during a request, and then it is
# unknown whether the refresh token was used up.
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
# A reply with tokens has about 2,000 bytes; a larger one is not read.
MAX_BYTES = 1 << 20
# Errors that are raised before anything is sent.
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class TokenEndpoint:
    """The token endpoint of one Exact Online site (API 1.1).

    Args:
        base_url: Origin of the site.
        client: Used for the requests if given; its transport must not retry.
        clock: Clock.
    """

    def __init__(self, base_url: str, client: httpx.AsyncClient | None, clock: Clock) -> None:
        self._url = f"{base_url}/api/oauth2/token"
        self._client = client
        self._clock = clock

    async def post(self, form: Mapping[str, str]) -> Answer:
        """Send one token request once, and classify the reply; never raises because of a reply."""
        sent_at = self._clock.now()
        answer = await self._send(form)
        return replace(answer, sent_at=sent_at, received_at=self._clock.now())

    async def _send(self, form: Mapping[str, str]) -> Answer:
        body = bytearray()
        status, reason, date, retry_after_s = 200, "", None, None
        try:
            async with self._open() as client:
                request = client.build_request(
                    "POST", self._url, data=form, headers=HEADERS, timeout=TIMEOUT
                )
                response = await client.send(
                    request, stream=True, auth=None, follow_redirects=False
                )
                status = response.status_code
                reason = response.headers.get("Reason", "")
                date = parse_date(response.headers.get("Date"))
                retry_after_s = parse_retry_after(
                    response.headers.get("Retry-After"), date or self._clock.now()
                )
                try:
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > MAX_BYTES:
                            break
                finally:
                    await response.aclose()
        except NOT_SENT as error:
            return Answer(TokenOutcome.UNREACHABLE, type(error).__name__)
        except (httpx.HTTPError, httpx.StreamError) as error:
            return self._cut_off(status, bytes(body), date, type(error).__name__)
        answer = parse_answer(status, reason, bytes(body))
        return replace(answer, server_date=date, retry_after_s=retry_after_s)

    def _cut_off(self, status: int, body: bytes, date: float | None, cause: str) -> Answer:
        """The outcome after a broken connection; tokens that arrived before it count."""
        answer = parse_answer(status, "", body)
        if answer.outcome is TokenOutcome.TOKENS:
            return replace(answer, server_date=date)
        return Answer(TokenOutcome.LOST, f"{cause} after the request was sent", server_date=date)

    def _open(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        if self._client is not None:
            return nullcontext(self._client)
        return httpx.AsyncClient(verify=ssl_context(self._url))
