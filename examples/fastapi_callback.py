"""Log in to Exact Online from a FastAPI app, and store the tokens.

    pip install exact-source fastapi uvicorn
    uvicorn --factory examples.fastapi_callback:from_settings

The redirect URI that is registered with the app at Exact Online must lead to ``/exact/callback``.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import Cookie, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from exact_source.auth import OAuth, storage_from_settings
from exact_source.errors import AuthenticationError, ConfigurationError, RemoteError
from exact_source.settings import load_settings

STATE_COOKIE = "exact_state"


def create_app(oauth: OAuth) -> FastAPI:
    """An app with two routes: one that starts a login, one that ends it."""
    app = FastAPI()

    @app.get("/exact/login")
    async def login(request: Request) -> RedirectResponse:
        state = secrets.token_urlsafe(24)
        response = RedirectResponse(oauth.authorization_url(state))
        # The browser that comes back must be the one that was sent away.
        response.set_cookie(
            STATE_COOKIE, state, max_age=900, httponly=True, secure=request.url.scheme == "https"
        )
        return response

    @app.get("/exact/callback")
    async def callback(
        state: str = "",
        code: str = "",
        error: str = "",
        exact_state: Annotated[str, Cookie()] = "",
    ) -> HTMLResponse:
        if not exact_state or not secrets.compare_digest(state.encode(), exact_state.encode()):
            raise HTTPException(400, "This login was not started here.")
        if error:
            raise HTTPException(403, "Exact Online gave no consent.")
        try:
            await oauth.exchange(code)
        except (AuthenticationError, ConfigurationError) as problem:
            raise HTTPException(400, str(problem)) from problem
        except RemoteError as problem:
            raise HTTPException(503, str(problem)) from problem
        response = HTMLResponse("<p>Connected to Exact Online.</p>")
        response.delete_cookie(STATE_COOKIE)
        return response

    return app


def from_settings() -> FastAPI:
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
