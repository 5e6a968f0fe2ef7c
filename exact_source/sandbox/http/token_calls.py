"""The two OAuth2 endpoints over HTTP, with the faults of the token endpoint."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from ..odata.payload import JSON_TYPE, dump
from ..rules.faults import MAINTENANCE_PAGE, Fault
from ..rules.oauth import TokenRefusedError
from ..state import State
from .errors import RefusedError
from .requests import TokenRequest
from .responses import DroppedResponse, refusal, reply

HTML_TYPE = "text/html; charset=utf-8"
FORM_TYPE = "application/x-www-form-urlencoded"  # API 1.1
ENDPOINT = "oauth2/token"
# API 1.4: the gateway's reply if the token endpoint is down.
GATEWAY = (
    b'{"fault":{"faultstring":"Failed to execute the ExtractVariables: ExtractAccessToken",'
    b'"detail":{"errorcode":"steps.extractvariables.ExecutionFailed"}}}'
)


class TokenCalls:
    """Answers ``/api/oauth2/auth`` and ``/api/oauth2/token``."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def authorize(self, request: Request) -> Response:
        """Redirect the browser to the app with a code; the sandbox grants consent without asking."""
        at = self.state.clock.now()
        try:
            location = self.state.oauth.authorize(request.query_params)
        except RefusedError as error:
            return refusal(at, error, {}, json=False)
        return reply(at, b"", HTML_TYPE, {"Location": location}, 302)

    async def token(self, request: Request) -> Response:
        """Answer a token request, and log it."""
        state, at = self.state, self.state.clock.now()
        sent = _form(request.headers.get("content-type", ""), await request.body())
        form = _basic_credentials(request.headers.get("authorization", "")) | sent
        fault = state.faults.for_token()
        with state.store.lock:
            status, error, response = self._answer(form, fault, at)
            state.errors.note(None, ENDPOINT, status)
        grant_type = form.get("grant_type", "")
        state.token_requests.append(TokenRequest(grant_type, status, error, at, form))
        return response

    def _answer(
        self, form: dict[str, str], fault: Fault | None, at: float
    ) -> tuple[int, str, Response]:
        if fault is not None and fault.kind != "token-lost":
            broken = _broken(fault, at, self.state.settings.foreign_host)
            return broken.status_code, fault.kind, broken
        body: dict[str, Any]
        try:
            body, status, headers = self.state.oauth.token(form), 200, {}
        except TokenRefusedError as error:
            body, status, headers = error.body, error.status, error.headers
        if fault is not None:
            return 0, fault.kind, DroppedResponse()
        return status, body.get("error", ""), reply(at, dump(body), JSON_TYPE, headers, status)


def _form(media_type: str, body: bytes) -> dict[str, str]:
    """The form in the body; a body of another media type is ignored."""
    if media_type.partition(";")[0].strip().lower() != FORM_TYPE:
        return {}
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _basic_credentials(authorization: str) -> dict[str, str]:
    """Client id and secret from the header, which RFC 6749 allows (2.3.1).

    Exact accepts clients that authenticate only in this way, such as those of requests-oauthlib.
    """
    scheme, _, encoded = authorization.partition(" ")
    try:
        pair = b64decode(encoded, validate=True).decode()
    except ValueError:
        return {}
    client_id, _, client_secret = pair.partition(":")
    if scheme.lower() != "basic":
        return {}
    return {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(client_secret)}


def _broken(fault: Fault, at: float, foreign_host: str) -> Response:
    """The reply of a gateway that failed before anything was rotated."""
    match fault.kind:
        case "token-drop":
            return DroppedResponse()
        case "token-empty":
            return reply(at, b"", JSON_TYPE)
        case "token-html":
            return reply(at, MAINTENANCE_PAGE, HTML_TYPE)
        case "token-302":
            moved = {"Location": f"{foreign_host}/api/oauth2/token"}
            return reply(at, b"", HTML_TYPE, moved, 302)
    status = fault.status or 500
    return reply(at, GATEWAY if status == 500 else b"", JSON_TYPE, status=status)  # noqa: PLR2004
