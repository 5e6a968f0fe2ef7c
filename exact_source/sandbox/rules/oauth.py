"""OAuth2 of Exact Online: codes, tokens that rotate, and the refusals around them (API section 1)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from ..clock import SandboxClock
from ..http.errors import RefusedError

CODE_LIFE_S = 3 * 60
ACCESS_LIFE_S = 600
EARLIEST_REFRESH_S = 570
REFRESH_LIFE_S = 30 * 24 * 3600
ACCESS_TOKEN_CHARS = 700
FIRST_USER = "sanne"
TOO_EARLY = "Rate limit exceeded: access_token not expired"


class TokenRefusedError(Exception):
    """A refusal of the token endpoint: a status, an OAuth2 error and its description."""

    def __init__(
        self, status: int, error: str, description: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.status = status
        self.body = {"error": error, "error_description": description}
        self.headers = dict(headers or {})


@dataclass
class Connection:
    """One login: the chain of tokens that began with one authorization code.

    Attributes:
        user: The user; all logins of a user share the 570 seconds between tokens (API 2.1).
    """

    number: int
    user: str = FIRST_USER
    refresh_token: str = field(default="", repr=False)
    issued_at: float = 0.0
    rotations: int = 0
    successor_used: bool = True
    revoked: bool = False


@dataclass
class _Code:
    connection: Connection
    issued_at: float
    redirect_uri: str
    used: bool = False


class OAuth:
    """The authorize and the token endpoint of one registered app.

    Attributes:
        early_status: Status of the refusal of an early refresh; 400 was recorded, 401 is documented.
        grace: Whether a refresh token works until its successor has been used once (API 1.4).
        access_life_s: Lifetime of an access token, in seconds.
        earliest_refresh_s: Seconds after a token response until Exact issues new tokens.
        connections: All logins so far.
    """

    def __init__(
        self, clock: SandboxClock, client_id: str, client_secret: str, redirect_uri: str
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uri = redirect_uri
        self.early_status = 400
        self.grace = False
        self.access_life_s = ACCESS_LIFE_S
        self.earliest_refresh_s = EARLIEST_REFRESH_S
        self.connections: list[Connection] = []
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._refresh_tokens: dict[str, Connection] = {}  # current and former ones
        self._access_tokens: dict[str, tuple[Connection, float]] = {}
        self._last_token_at: dict[str, float] = {}  # by user

    def authorize(self, query: Mapping[str, str], user: str = FIRST_USER) -> str:
        """Log in immediately; returns the address to which the browser is redirected.

        Raises:
            RefusedError: 400, if the app or its redirect URI is not the registered one.
        """
        if query.get("client_id") != self.client_id:
            raise RefusedError(400, "unauthorized_client: unknown client_id")
        if query.get("redirect_uri") != self.redirect_uri:
            raise RefusedError(400, "invalid_request: redirect_uri differs from the registered one")
        state = {"state": query["state"]} if "state" in query else {}
        if query.get("response_type") != "code":
            return self._redirect({"error": "unsupported_response_type"} | state)
        return self._redirect({"code": self.new_code(user)} | state)

    def new_code(self, user: str = FIRST_USER) -> str:
        """The code of a new login; contains ``!``, which a redirect encodes as ``%21``."""
        connection = self.new_connection(user)
        code = f"stampNL001.{secrets.token_urlsafe(6)}!IAAA{secrets.token_urlsafe(180)}"
        self._codes[code] = _Code(connection, self._clock.now(), self.redirect_uri)
        return code

    def new_connection(self, user: str = FIRST_USER) -> Connection:
        """A login that has no tokens yet."""
        connection = Connection(len(self.connections) + 1, user)
        self.connections.append(connection)
        return connection

    def token(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer a token request.

        Raises:
            TokenRefusedError: With Exact's status and body for the case.
        """
        if "grant_type" not in form:
            raise TokenRefusedError(400, "invalid_request", "The grant_type is missing.")
        if (
            form.get("client_id") != self.client_id
            or form.get("client_secret") != self.client_secret
        ):
            raise TokenRefusedError(400, "invalid_client", "Client authentication failed.")
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchange(form)
            case "refresh_token":
                return self._refresh(form.get("refresh_token", ""))
        raise TokenRefusedError(400, "unsupported_grant_type", "The grant_type is not supported.")

    def connection_of(self, access_token: str) -> Connection:
        """The login behind the bearer token of a data call.

        Raises:
            RefusedError: 401; with ``WWW-Authenticate`` if the token was valid before.
        """
        connection, issued_at = self._access_tokens.get(access_token, (None, 0.0))
        if connection is None or connection.revoked:
            raise RefusedError(401)
        if self._clock.now() >= issued_at + self.access_life_s:
            description = 'Bearer error="invalid_token", error_description="message%20expired"'
            text = "Unauthorized - access token expired"
            raise RefusedError(401, text, {"WWW-Authenticate": description})
        if connection.issued_at == issued_at:
            connection.successor_used = True
        return connection

    def issue(self, connection: Connection) -> dict[str, Any]:
        """A new pair of tokens; the previous refresh token becomes invalid."""
        access = _token("stampNL001.gAAA", ACCESS_TOKEN_CHARS)
        connection.refresh_token = f"stampNL001.{secrets.token_urlsafe(6)}!IAAA{_token('', 300)}"
        connection.issued_at = self._last_token_at[connection.user] = self._clock.now()
        connection.rotations += 1
        connection.successor_used = False
        self._refresh_tokens[connection.refresh_token] = connection
        self._access_tokens[access] = (connection, connection.issued_at)
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": str(self.access_life_s),  # a string in JSON (API 1.2)
            "refresh_token": connection.refresh_token,
        }

    def revoke(self) -> None:
        """Invalidate all connections, as if the user's password had changed."""
        for connection in self.connections:
            connection.revoked = True

    def _redirect(self, query: Mapping[str, str]) -> str:
        mark = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{mark}{urlencode(query)}"

    def _exchange(self, form: Mapping[str, str]) -> dict[str, Any]:
        code = self._codes.get(form.get("code", ""))
        if code is None or code.used:
            raise _bad_chain()
        if form.get("redirect_uri") != code.redirect_uri:
            raise TokenRefusedError(400, "invalid_grant", "The redirect_uri does not match.")
        if self._clock.now() > code.issued_at + CODE_LIFE_S:
            raise TokenRefusedError(400, "invalid_grant", "The authorization code has expired.")
        code.used = True
        return self.issue(code.connection)

    def _refresh(self, refresh_token: str) -> dict[str, Any]:
        connection, now = self._refresh_tokens.get(refresh_token), self._clock.now()
        if connection is None or connection.revoked:
            raise _bad_chain()
        if refresh_token != connection.refresh_token:
            if self.grace and not connection.successor_used:
                return self.issue(connection)
            raise TokenRefusedError(401, "unauthorized_client", "Old refresh token used.")
        if now > connection.issued_at + REFRESH_LIFE_S:
            expired = _us_date(connection.issued_at + REFRESH_LIFE_S)
            text = f"The refresh token expired at {expired} and it is now {_us_date(now)}."
            raise TokenRefusedError(400, "invalid_request", text)
        if now < self._last_token_at[connection.user] + self.earliest_refresh_s:
            reason = {"Reason": f"TooEarlyToRefreshTokens: {TOO_EARLY}"}
            raise TokenRefusedError(self.early_status, "access_denied", TOO_EARLY, reason)
        return self.issue(connection)


def _bad_chain() -> TokenRefusedError:
    text = "Token is not allowed, because of invalid or empty chainId"
    return TokenRefusedError(400, "invalid_grant", text)


def _token(start: str, chars: int) -> str:
    return start + secrets.token_urlsafe(chars)[: chars - len(start)]


def _us_date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%m/%d/%Y %I:%M:%S %p")
