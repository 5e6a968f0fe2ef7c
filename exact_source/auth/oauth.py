"""The public OAuth2 interface: authorization URL, code exchange, access tokens."""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, unquote_plus, urlencode, urlsplit

import httpx

from ..clock import Clock, SystemClock
from ..errors import AuthenticationError, ConfigurationError
from ..settings import SECTION, resolve_base_url
from .masking import SECRETS, clean_text, install
from .refresh import Rotator
from .storage.protocol import StorageAdapter, TokenStorage
from .token_endpoint import TokenEndpoint
from .tokens import TokenData

SYSTEM_CLOCK = SystemClock()
# Called with the caller's event loop if it runs in a separate one.
Work = Callable[[asyncio.AbstractEventLoop | None], Coroutine[Any, Any, TokenData]]
Ended = TokenData | Exception


class OAuth:
    """The connection of one Exact Online user to one registered app.

    ```python
    oauth = OAuth(client_id, client_secret, redirect_uri, FileTokenStorage("tokens.json"))
    oauth.authorization_url(state="...")  # send the user's browser there
    await oauth.exchange(code)  # once, in the callback
    await oauth.access_token()  # before every call
    ```

    An object may be shared by coroutines, threads and event loops. A refresh runs in a separate thread, so
    that no cancellation stops it halfway: if its reply is not read, the user must log in again. With an async
    storage or an ``http_client``, it runs in the caller's event loop instead, where only the end of that loop
    can interrupt it.

    Args:
        client_id: Client id of the registered app.
        client_secret: Client secret of the registered app.
        redirect_uri: Redirect URI exactly as registered; needed to log in.
        token_storage: Persistent storage of the tokens.
        base_url: Origin of the country's site.
        http_client: Sends the token requests; its transport must not retry them.
        clock: Clock.

    Raises:
        ConfigurationError: If an argument is missing or wrong.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        token_storage: TokenStorage,
        *,
        base_url: str = "https://start.exactonline.nl",
        http_client: httpx.AsyncClient | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        for name, value in (("client_id", client_id), ("client_secret", client_secret)):
            if not value:
                raise ConfigurationError(f"{SECTION}.{name} is empty")
        self._client_id = client_id
        self._redirect_uri = redirect_uri
        self._base_url = resolve_base_url("nl", base_url)
        storage = StorageAdapter(token_storage)
        self._rotator = Rotator(
            {"client_id": client_id, "client_secret": client_secret},
            storage,
            TokenEndpoint(self._base_url, http_client, clock),
            clock,
            # An async storage or client is bound to the caller's event loop.
            own_loop=storage.is_plain and http_client is None,
        )
        self._guard = threading.Lock()
        self._jobs: dict[str | None, Future[Ended]] = {}
        install()
        SECRETS.learn(client_secret)

    def __repr__(self) -> str:
        return f"OAuth({self._base_url!r}, client_id={self._client_id!r})"

    def authorization_url(self, state: str | None = None, force_login: bool = False) -> str:
        """The URL at which the user gives consent in a browser (API 1.1).

        Args:
            state: Returned unchanged in the redirect, where it must be compared.
            force_login: Make the user log in again even if the browser still has a session.

        Raises:
            ConfigurationError: If ``redirect_uri`` is empty.
        """
        query = {
            "client_id": self._client_id,
            "redirect_uri": self._need_redirect_uri(),
            "response_type": "code",
        }
        if state is not None:
            query["state"] = state
        if force_login:
            query["force_login"] = "1"
        return f"{self._base_url}/api/oauth2/auth?{urlencode(query)}"

    async def exchange(self, code: str, *, state: str | None = None) -> TokenData:
        """Exchange an authorization code for tokens and store them, within 3 minutes of the redirect.

        Args:
            code: The code, URL-encoded or not, or the whole URL of the redirect.
            state: State of the login; if ``code`` is a URL, its state must be the same.

        Raises:
            ConfigurationError: If ``code`` contains no code, or the app's settings are refused.
            AuthenticationError: If consent, the state or the code is refused.
            RemoteError: If Exact Online could not be reached; the code is still valid.
        """
        plain_code = parse_redirect(code, state)
        redirect_uri = self._need_redirect_uri()
        job = self._start(lambda home: self._rotator.exchange(plain_code, redirect_uri, home))
        return await _result(job)

    async def access_token(self) -> str:
        """An access token for the next call, refreshed if due.

        Raises:
            AuthenticationError: If the user must log in again; the message says why.
            RemoteError: If a refresh is due and Exact Online does not answer or does not issue tokens yet;
                the stored tokens are kept.
            ConfigurationError: If Exact Online refuses the client id or secret.
        """
        tokens = self._rotator.fresh()
        return (tokens or await self._current(None)).access_token

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        """Report that a data call was answered with 401; returns a token for one retry of the call.

        Args:
            access_token: Rejected token.
            date: ``Date`` header of the 401, if it had one.

        Raises:
            AuthenticationError: If there is no newer token, and this one cannot have expired yet: another
                call would only use up the error limit.
            RemoteError: As in ``access_token``.
        """
        self.note_date(date)
        tokens = self._rotator.fresh()
        if tokens is None or tokens.access_token == access_token:
            tokens = await self._current(access_token)
        return tokens.access_token

    def note_date(self, date: str | None) -> None:
        """Learn Exact Online's clock from the ``Date`` header of any reply.

        Refreshes then stay on time if this computer's clock is adjusted.
        """
        self._rotator.note_date(date)

    async def _current(self, rejected: str | None) -> TokenData:
        """Wait for the refresh in progress, or start one."""
        while True:
            with self._guard:
                job = self._jobs.get(rejected)
                if job is None or job.done():
                    job = self._start(lambda home: self._rotator.current(rejected, home))
                    self._jobs = {rejected: job}
            try:
                return await _result(job)
            except asyncio.CancelledError:
                if not job.cancelled():
                    raise
                # The event loop that ran the refresh has ended; this one tries again.

    def _start(self, work: Work) -> Future[Ended]:
        caller = asyncio.get_running_loop()
        if not self._rotator.own_loop:
            return asyncio.run_coroutine_threadsafe(_ended(work(None)), caller)
        executor = ThreadPoolExecutor(1, "exact-oauth")
        job = executor.submit(lambda: asyncio.run(_ended(work(caller))))
        executor.shutdown(wait=False)  # the thread ends after its work
        return job

    def _need_redirect_uri(self) -> str:
        if not self._redirect_uri:
            raise ConfigurationError(
                f"{SECTION}.redirect_uri is not set: put the one that is registered with the app in "
                ".dlt/config.toml or in SOURCES__EXACT_ONLINE__REDIRECT_URI"
            )
        return self._redirect_uri


async def _ended(work: Coroutine[Any, Any, TokenData]) -> Ended:
    """The tokens, or the error.

    A future with an error prints it unless somebody asks for it, and whoever waited may have been stopped.
    """
    try:
        return await work
    except Exception as error:  # noqa: BLE001 (raised by ``_result``)
        return error


async def _result(job: Future[Ended]) -> TokenData:
    """Wait for a job, which goes on if the caller is cancelled."""
    ended = await asyncio.shield(asyncio.wrap_future(job))
    if isinstance(ended, Exception):
        raise ended
    return ended


def parse_redirect(code: str, state: str | None = None) -> str:
    """The authorization code in a text that a user pasted or a web framework passed on.

    Args:
        code: The code, URL-encoded or not (it contains a ``!``, API 1.2), or the URL of the redirect.
        state: State of the login; compared if ``code`` is a URL.

    Raises:
        ConfigurationError: If the text contains no code.
        AuthenticationError: If the URL reports an error, or has no or another state.
    """
    text = code.strip()
    if "code=" not in text and "error=" not in text:
        # Digits alone, such as a company's code, would waste a call that counts as an error.
        if not text or text.isdecimal() or "://" in text or any(map(str.isspace, text)):
            raise ConfigurationError(
                "this is not an authorization code: paste the code or the address"
            )
        return unquote(text)
    query = redirect_query(text)
    if "error" in query:
        # Exact's error codes are short, such as access_denied.
        raise AuthenticationError(
            f"Exact Online returned no code: {clean_text(query['error'], 60)}; start again with "
            "`exact-source login`, and give consent"
        )
    given = query.get("state", "")
    if state is not None and not given:
        raise AuthenticationError(
            "the address has no state=..., so it is not complete; start again, and paste the whole address"
        )
    if state is not None and not hmac.compare_digest(given.encode(), state.encode()):
        raise AuthenticationError(
            "the address does not contain the state of this login: it belongs to another attempt; "
            "start again"
        )
    if not query.get("code"):
        raise ConfigurationError(
            "the address contains no authorization code: paste the code or the whole address"
        )
    return query["code"]


def redirect_query(address: str) -> dict[str, str]:
    """Parameters of a URL, or of a query alone; a ``+`` in a code stays a ``+``."""
    text = urlsplit(address).query if "?" in address else address
    pairs = (pair.partition("=") for pair in text.split("&"))
    return {
        name: unquote(value) if name == "code" else unquote_plus(value) for name, _, value in pairs
    }
