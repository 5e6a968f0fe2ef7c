"""Replies with Exact's headers, and truncated replies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import formatdate
from xml.sax.saxutils import escape

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..odata.payload import JSON_TYPE, error_json
from ..rules.faults import LOGIN_PAGE
from .errors import RefusedError, in_dutch

ABORT = (
    "exact_source.sandbox.abort"  # ASGI extension of the sandbox's server: closes the connection
)
XML_TYPE = "application/xml;charset=utf-8"
DATA_HEADERS = {"DataServiceVersion": "2.0;", "Cache-Control": "private"}
METADATA_NAMESPACE = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"


def reply(
    at: float,
    body: bytes | str,
    media_type: str,
    headers: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    """A reply whose ``Date`` header is the sandbox clock's time ``at``."""
    date = {"Date": formatdate(at, usegmt=True)}
    response = Response(body, status, date | dict(headers or {}))
    response.headers["Content-Type"] = media_type
    return response


def refusal(
    at: float,
    error: RefusedError,
    headers: Mapping[str, str],
    *,
    json: bool,
    language: str = "en",
) -> Response:
    """The reply to a refused request: empty, JSON, or XML for clients that read Atom (API 6.1)."""
    text = in_dutch(error.text) if language == "nl" else error.text
    headers = {**headers, **error.headers}
    if error.status == 401 and not error.text:  # noqa: PLR2004 - API 1.5: a token that never was
        return reply(at, LOGIN_PAGE, "text/html; charset=utf-8", headers, error.status)
    if not error.text:
        return reply(at, b"", "text/html", headers, error.status)
    if json:
        return reply(at, error_json(text), JSON_TYPE, headers, error.status)
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><error xmlns="{METADATA_NAMESPACE}"><code></code>'
        f'<message xml:lang="">{escape(text)}</message></error>'
    )
    return reply(at, body, XML_TYPE, headers, error.status)


class DroppedResponse(Response):
    """No reply: the connection is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.status_code = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Close the connection; without a socket, raise the error of a reset connection."""
        abort = scope.get("extensions", {}).get(ABORT)
        if abort is None:
            raise ConnectionResetError("the sandbox dropped the connection, as ordered")
        abort()
        await _disconnected(receive)


class TruncatedResponse(Response):
    """The first half of another reply, with the ``Content-Length`` of the whole."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self.status_code = whole.status_code
        self.raw_headers = whole.raw_headers
        self.body = whole.body[: len(whole.body) // 2]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the half, then close the connection; without a socket only send the half."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        abort = scope.get("extensions", {}).get(ABORT)
        await send(
            {"type": "http.response.body", "body": self.body, "more_body": abort is not None}
        )
        if abort is not None:
            await asyncio.sleep(0.05)  # send the half before the connection is closed
            abort()
            await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    """Return once the server knows that the client has disconnected; otherwise it would send a 500."""
    message: Message = {"type": "http.request"}
    while message["type"] != "http.disconnect":
        message = await receive()
