"""Sends one request at a time per division to Exact Online, within its limits and with a valid token.

``get`` waits for the division's turn, parses the reply and retries a page, never a stream.
``_send_admitted`` waits for the limits and sends with a valid token; ``_send`` sends once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from typing import TypeVar

import httpx

from .._version import __version__
from ..auth.masking import clean_text
from ..clock import Clock, SystemClock
from ..errors import AuthenticationError, ContractError, LimitError, RefusedError, RemoteError
from ..http_dates import parse_retry_after
from ..odata.query import build_url
from ..settings import SECTION, Settings
from .call import Call, OnWait, PriorityLock
from .limits import MINUTE_S, Limits
from .ports import Admission, TokenSource
from .refusal import hint, mask_values, stated_reason
from .request import ExactRequest
from .retry import ATTEMPTS, EXISTS, AgainError, is_rejected_token, says_exists, wait_s
from .transport import CONNECTIONS, MB, AiohttpTransport, ClosedError, TooLargeError

T = TypeVar("T")
logger = logging.getLogger(__name__)

HEADERS = {"Accept-Encoding": "gzip", "User-Agent": f"exact-source/{__version__}"}
# Heavy endpoints take long before they answer with 408.
TIMEOUT = {"timeout": httpx.Timeout(120.0, connect=20.0).as_dict()}
ANSWER_S = 600.0  # limit for a whole reply; one that trickles in never exceeds the read timeout
LIMIT_PATIENCE_S = 3600.0
TOKEN_PATIENCE_S = 3600.0
SLICE_S = 1.0  # longest sleep, so that a stop request takes effect within a second


class ExactClient:
    """The connection of one app to one Exact Online site.

    Args:
        tokens: Source of bearer tokens.
        base_url: The site's origin; the token is sent nowhere else.
        limits: Counts and paces the calls of each division.
        clock: Clock.
        max_response_mb: Largest body of a reply in MB, compressed as well as decompressed.
        transport: Sends the requests; tests replace it.
        admission: Leases, if several workers share the divisions.

    Attributes:
        on_wait: Called about every second of a wait; may raise to end it.
        on_error: Called after each reply that counts toward Exact's error limit (API 2.3).
    """

    def __init__(
        self,
        tokens: TokenSource,
        base_url: str,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        max_response_mb: float = Settings.max_response_mb,
        transport: httpx.AsyncBaseTransport | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.base_url = base_url
        self._origin = httpx.URL(base_url)
        self.limits = limits or Limits()
        self.clock = clock or SystemClock()
        self.on_wait: OnWait = lambda _call, _until, _why: None
        self.on_error: Callable[[], None] = lambda: None
        self._tokens = tokens
        self._admission = admission
        self._turns: dict[int, PriorityLock] = defaultdict(PriorityLock)
        # No call waits inside the transport for a connection: it would be sent even after a stop request.
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._transport = transport or AiohttpTransport(base_url, int(max_response_mb * MB))
        self._max_response_mb = max_response_mb
        self._most_tries = ATTEMPTS

    def report_to(self, on_wait: OnWait, on_error: Callable[[], None]) -> None:
        """Set the functions that are called during waits and after errors."""
        self.on_wait, self.on_error = on_wait, on_error

    def give_up_after(self, tries: int) -> None:
        """Send a call at most this many times, for commands whose user waits for the answer."""
        self._most_tries = tries

    async def close(self) -> None:
        """Close the connections; calls in progress end with a ``LimitError``."""
        await self._transport.aclose()

    async def get(self, call: Call, url: str, parse: Callable[[bytes], T]) -> T:
        """The parsed body of one reply.

        Args:
            call: Stream that the call belongs to; its division's limits and error budget apply.
            url: Path and query, from ``build_url`` or ``check_next``.
            parse: Parses the body; a broken body (truncated, HTML, empty) is requested again, any
                other ``ContractError`` ends the stream.

        Raises:
            RefusedError: On a 4xx; a retry would use up the error budget.
            LimitError: If the daily calls are used up, or the client was closed.
            RemoteError: If there is no usable reply after all retries.
            ContractError: If the reply does not match the documented contract, or is too large.
            AuthenticationError: If a person must log in again.
        """
        tries = 0
        while True:
            tries += 1
            try:
                async with self._turn(call):  # other streams continue while this one backs off
                    response = await self._send_admitted(call, url)
                return _parsed(parse, self._accepted(call, response, url))
            except AgainError as error:
                seconds = wait_s(error, tries) if tries < self._most_tries else None
                if seconds is None:
                    raise RemoteError(
                        f"{call.where}: {error} after {tries} tries; run again later"
                    ) from error.__cause__
                why = f"{error}, try {tries}"
            await self._pause(call, seconds, why)

    async def has_rights(self, asker: Call, path: str) -> bool:
        """Whether the user may read an endpoint; Exact does not bill this call (API 2.1, 5).

        Args:
            asker: Call with the division; it may cancel the request.
            path: Path of the endpoint.
        """
        name = "user_has_rights"
        stop = asker.before_call
        division = asker.division or 0
        call = Call(division, "users/UserHasRights", name, before_call=stop, is_billed=False)
        query = {"endpoint": f"'{path}'", "action": "'GET'"}
        answer = await self.get(call, build_url(call.path, division, query), bytes)
        return b"true" in answer.lower()

    async def change(
        self, call: Call, method: str, url: str, body: Mapping[str, str] | None = None
    ) -> None:
        """Send a POST or a DELETE once; a retry might make the change twice.

        Raises:
            RefusedError: On a 4xx; with ``reason`` ``EXISTS`` if the object exists already.
            RemoteError: If it is unknown whether the change was made.
            LimitError: If the day's calls are used up.
            AuthenticationError: If a person must log in again.
        """
        async with self._turns[call.division or 0].hold(call.rank):
            try:
                response = await self._send_admitted(call, url, method, body)
                if not response.is_success:
                    if says_exists(response):
                        raise RefusedError(
                            f"{call.where}: it exists already", status=500, reason=EXISTS
                        )
                    self._accepted(call, response)
            except AgainError as error:
                raise RemoteError(
                    f"{call.where}: {error}, so it may have been done or not; list them to see"
                ) from error.__cause__

    def _turn(self, call: Call) -> AbstractAsyncContextManager[None]:
        if call.division is None:
            return nullcontext()
        return self._turns[call.division].hold(call.rank)

    async def _send_admitted(
        self, call: Call, url: str, method: str = "GET", body: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send until the reply is neither a 429 nor the first rejection of the token.

        Exact does nothing when it sends these replies, so even a change may be sent again.
        """
        rejection: AuthenticationError | None = None
        refused_since: float | None = None
        while True:
            await self._admit(call)
            token = await self._access_token(call)
            async with self._connections:
                call.before_call(call)  # a stop may have been requested meanwhile
                if not self._spend(call):
                    continue  # other streams took the last calls meanwhile
                response = await self._send(call, url, token, method, body)
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                refused_since = refused_since or self.clock.now()
                await self._wait_out_429(call, refused_since)
            elif is_rejected_token(response):
                self._note_error(call)
                if rejection is not None:
                    raise rejection
                rejection = await self._report_rejected(call, token, response)
            else:
                return response

    async def _access_token(self, call: Call) -> str:
        """A valid token; waits for up to an hour if Exact does not issue a new one yet (API 1.3)."""
        give_up_at = self.clock.now() + TOKEN_PATIENCE_S
        while True:
            try:
                return await self._tokens.access_token()
            except RemoteError as error:
                until = error.resumes_at
                if until is None or until > give_up_at:
                    raise
                await self._pause(call, until - self.clock.now(), "no new token is issued yet")

    async def _wait_out_429(self, call: Call, refused_since: float) -> None:
        """Wait until calls are allowed again; other programs share the limit (API 2.2).

        Raises:
            LimitError: If the replies have been 429 for an hour.
        """
        now = self.clock.now()
        if now - refused_since > LIMIT_PATIENCE_S:
            raise LimitError(
                f"{call.where}: refused with 429 for an hour, because other programs use all calls or "
                "made too many errors; run again later",
                resumes_at=now,
            )
        if call.division is None:  # these calls have no known limit (API 2.1)
            why = "Exact refuses all calls, as it does for an hour after too many errors"
            await self._pause(call, MINUTE_S, why)

    async def _report_rejected(
        self, call: Call, token: str, response: httpx.Response
    ) -> AuthenticationError:
        """Report the rejected token, so that an old one is refreshed; returns the error to raise next time.

        Raises:
            AuthenticationError: If the reply is a 401 and the token was not too old. A login page with
                another status may come from a proxy, so the call is sent once more before the user has to
                log in again.
        """
        try:
            await self._tokens.report_rejected(token, date=response.headers.get("Date"))
        except AuthenticationError as error:
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                raise
            return error
        except RemoteError as error:
            if error.resumes_at is None:  # otherwise the next call waits for a new token
                raise
        return AuthenticationError(
            f"{call.where}: Exact Online rejects a fresh access token; run `exact-source login`"
        )

    async def _admit(self, call: Call) -> None:
        """Wait until the limits allow a call."""
        call.before_call(call)
        if call.division is None:
            return
        if self.limits.errors_left(call.division, call.path, self.clock.now()) <= 0:
            raise RefusedError(
                f"{call.where}: Exact refused too often within the hour, so it is not asked again "
                "until then (error limit)",
                status=HTTPStatus.TOO_MANY_REQUESTS,
            )
        while (wait_s := await self._wait_s(call.division)) > 0:
            await self._pause(call, wait_s, "the calls of this minute are used up")

    def _spend(self, call: Call) -> bool:
        """Count a call that is sent now; ``False`` if the limits no longer allow it."""
        if call.division is not None:
            if self.limits.wait_s(call.division, self.clock.now()) > 0:
                return False
            self.limits.spend(call.division, is_billed=call.is_billed)
        call.count()
        return True

    async def _pause(self, call: Call, seconds: float, why: str) -> None:
        """Wait in slices; ``on_wait`` is called before each, and raises to end the wait."""
        until = self.clock.now() + seconds
        while (left_s := until - self.clock.now()) > 0:
            self.on_wait(call, until, why)
            await self.clock.sleep(min(left_s, SLICE_S))

    async def _wait_s(self, division: int) -> float:
        if self._admission is not None:
            await self._admission.admit(division)
        return self.limits.wait_s(division, self.clock.now())

    async def _send(
        self, call: Call, url: str, token: str, method: str, body: Mapping[str, str] | None
    ) -> httpx.Response:
        # Atom is the default (API 3.1); $metadata and $count are refused if JSON is requested.
        is_text = url.partition("?")[0].endswith(("/$metadata", "/$count"))
        accept = "*/*" if is_text else "application/json"
        headers = {**HEADERS, "Accept": accept, "Authorization": f"Bearer {token}"}
        request = ExactRequest(method, self._origin, url, headers=headers, json=body)
        request.extensions.update(TIMEOUT)
        sent_at = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_S):
                # httpx's client is not used: redirects must not be followed, because a login page may be
                # one (API 1.5), and cookies must not be stored.
                response = await self._transport.handle_async_request(request)
                await response.aread()
        except ClosedError:
            raise LimitError(
                f"{call.where}: stopped, because the run ended", resumes_at=self.clock.now()
            ) from None
        except TooLargeError:
            raise ContractError(
                f"{call.where}: the reply is larger than {self._max_response_mb:g} MB and was not read; "
                f"if Exact Online really sends so much, raise {SECTION}.max_response_mb"
            ) from None
        except (httpx.HTTPError, TimeoutError) as error:
            # The message may contain the URL; the name of the class is enough.
            raise AgainError(f"no answer ({type(error).__name__})") from None
        took_ms = (time.perf_counter() - sent_at) * 1000
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %d in %.0f ms", call.where, response.status_code, took_ms)
        if call.division is not None:
            self.limits.observe(
                call.division, response.status_code, response.headers, self.clock.now()
            )
        return response

    def _accepted(self, call: Call, response: httpx.Response, url: str = "") -> httpx.Response:
        """The reply if its status is 200.

        Args:
            call: The call.
            response: The reply.
            url: Path and query of a read; empty for a change, because Exact's message may repeat its values.

        Raises:
            AgainError: If the same call may succeed later.
            RefusedError: On any other status.
        """
        status = response.status_code
        if status == HTTPStatus.OK:
            return response
        if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            now = self.limits.server_time(self.clock.now())
            raise AgainError(
                f"HTTP {status}",
                patient=status == HTTPStatus.SERVICE_UNAVAILABLE,
                least_s=parse_retry_after(response.headers.get("Retry-After"), now),
            )
        if status in {400, 403, 404, 414}:
            self._note_error(call)
        reason = clean_text(response.headers.get("Reason", ""))
        answer = " ".join(filter(None, [str(status), reason]))
        stated = stated_reason(response.content)
        if url and stated:
            logger.debug("%s: %s: %s", call.where, answer, clean_text(stated, None))
            answer = f"{answer}: {clean_text(mask_values(stated, url)).rstrip('.')}"
        raise RefusedError(
            f"{call.where}: Exact Online answered {answer}; {hint(status, reason, call.path)}",
            status=status,
            reason=reason,
            words=stated,
        )

    def _note_error(self, call: Call) -> None:
        if call.division is not None:
            self.limits.note_error(call.division, call.path, self.clock.now())
            self.on_error()


def _parsed(parse: Callable[[bytes], T], response: httpx.Response) -> T:
    """The parsed body.

    Raises:
        AgainError: If the body is broken, so that a retry may help.
    """
    try:
        return parse(response.content)
    except ContractError as error:
        if getattr(error, "broken", False):
            raise AgainError(f"broken answer ({error})") from error
        raise
