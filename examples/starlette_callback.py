"""Log in to Exact Online from a Starlette app, and store the tokens.

    pip install exact-source starlette uvicorn
    uvicorn --factory examples.starlette_callback:from_settings

The redirect URI that is registered with the app at Exact Online must lead to ``/exact/callback``.
"""

from __future__ import annotations

import secrets

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from exact_source.auth import OAuth, storage_from_settings
from exact_source.errors import AuthenticationError, ConfigurationError, RemoteError
from exact_source.settings import load_settings

STATE_COOKIE = "exact_state"


def create_app(oauth: OAuth) -> Starlette:
    """An app with two routes: one that starts a login, one that ends it."""

    async def login(request: Request) -> Response:
        state = secrets.token_urlsafe(24)
        response = RedirectResponse(oauth.authorization_url(state))
        # The browser that comes back must be the one that was sent away.
        response.set_cookie(
            STATE_COOKIE, state, max_age=900, httponly=True, secure=request.url.scheme == "https"
        )
        return response

    async def callback(request: Request) -> Response:
        query, expected = request.query_params, request.cookies.get(STATE_COOKIE, "")
        state = query.get("state", "")
        if not expected or not secrets.compare_digest(state.encode(), expected.encode()):
            return PlainTextResponse("This login was not started here.", 400)
        if "error" in query:
            return PlainTextResponse("Exact Online gave no consent.", 403)
        try:
            await oauth.exchange(query.get("code", ""))
        except (AuthenticationError, ConfigurationError) as problem:
            return PlainTextResponse(str(problem), 400)
        except RemoteError as problem:
            return PlainTextResponse(str(problem), 503)
        response = HTMLResponse("<p>Connected to Exact Online.</p>")
        response.delete_cookie(STATE_COOKIE)
        return response

    return Starlette(
        routes=[Route("/exact/login", login), Route("/exact/callback", callback)],
    )


def from_settings() -> Starlette:
    """The app, with the settings in ``.dlt/secrets.toml``: ``uvicorn --factory``."""
    settings = load_settings()
    return create_app(
        OAuth(
            settings.client_id,
            settings.client_secret,
            settings.redirect_uri,
            storage_from_settings(settings),
            base_url=settings.base_url,
        )
    )
