"""Refreshes tokens: lock, read the store again, refresh if still needed, save, release, then use."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from copy import copy
from datetime import UTC, datetime

from ..clock import Clock
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    ExactError,
    RemoteError,
    TokenStoreError,
)
from ..http_dates import parse_date
from .in_flight import SPENDING
from .masking import SECRETS, clean_text
from .storage.protocol import LockedStorage, StorageAdapter
from .storage.refusal import Refusal
from .token_endpoint import TokenEndpoint
from .token_errors import LOGIN, exchange_error, refresh_error, refusal_reason
from .token_response import Answer, TokenOutcome
from .tokens import EARLIEST_REFRESH_S, TokenData, TokenDataError

logger = logging.getLogger(__name__)

PAUSE_AFTER_LOSS_S = 5.0  # Exact may still be processing the request whose reply was lost
PAUSES_AFTER_SAVE_ERROR_S = (0.5, 2.0, 5.0)
HOLD_S = 60.0  # after "too early" from a server that sends no Date

# After these outcomes no request with the same refresh token can succeed (API 1.4).
FINAL = {
    TokenOutcome.USED,
    TokenOutcome.EXPIRED,
    TokenOutcome.CHAIN_BROKEN,
    TokenOutcome.GRANT_REFUSED,
}


class Rotator:
    """Refreshes the tokens of one connection when they are due.

    Args:
        app: ``client_id`` and ``client_secret`` for the token endpoint.
        storage: Persistent storage of the tokens.
        endpoint: The token endpoint.
        clock: Clock.
        own_loop: Whether these coroutines run in an event loop that runs nothing else.
    """

    def __init__(
        self,
        app: Mapping[str, str],
        storage: StorageAdapter,
        endpoint: TokenEndpoint,
        clock: Clock,
        *,
        own_loop: bool,
    ) -> None:
        self._app = app
        self._storage = storage
        self._endpoint = endpoint
        self._clock = clock
        self.own_loop = own_loop
        self._tokens: TokenData | None = None
        self._offset_s: float | None = None  # Exact's clock minus this host's
        self._hold: tuple[str, float] | None = None  # fingerprint, earliest next refresh
        # Fingerprint, time, and the error that is raised until then instead of another request.
        self._refused: tuple[str, float, ExactError] | None = None
        self._unsaved: tuple[str | None, TokenData] | None = None  # fingerprint of its predecessor

    def fresh(self) -> TokenData | None:
        """The tokens in memory, if they are valid for another call."""
        tokens = self._tokens
        return None if tokens is None or self._is_due(tokens) else tokens

    def note_date(self, header: str | None) -> None:
        """Learn Exact's clock from a ``Date`` header."""
        seconds = parse_date(header)
        if seconds is not None:
            self._offset_s = seconds - self._clock.now()

    async def exchange(
        self, code: str, redirect_uri: str, home: AbstractEventLoop | None
    ) -> TokenData:
        """Exchange an authorization code for tokens, and store them.

        Args:
            code: Decoded code.
            redirect_uri: Registered redirect URI.
            home: See ``StorageAdapter.locked``.
        """
        with SECRETS.knowing(code):
            return await self._exchange(code, redirect_uri, home)

    async def _exchange(
        self, code: str, redirect_uri: str, home: AbstractEventLoop | None
    ) -> TokenData:
        async with self._storage.locked(home) as storage:
            await storage.get()  # find out before the code is used up whether the store is readable
            await storage.check_writable()
            with SPENDING.one():
                answer = await self._endpoint.post(
                    {
                        "grant_type": "authorization_code",
                        "code": code,
                        "redirect_uri": redirect_uri,
                        **self._app,
                    }
                )
                if answer.outcome is not TokenOutcome.TOKENS:
                    raise exchange_error(answer)
                return await self._store(storage, None, answer)

    async def current(self, rejected: str | None, home: AbstractEventLoop | None) -> TokenData:
        """The stored tokens, refreshed if due.

        Args:
            rejected: Access token that Exact rejected with 401.
            home: See ``StorageAdapter.locked``.
        """
        async with self._storage.locked(home) as storage:
            tokens = await self._read(storage)
            if rejected == tokens.access_token:
                self._check_rejection(tokens)
                self._hold = None
            elif not self._is_due(tokens):
                return self._set_tokens(tokens)
            self._check_refused(storage, tokens)
            await storage.check_writable()
            with SPENDING.one():
                return await self._refresh(storage, tokens, rejected)

    async def _read(self, storage: LockedStorage) -> TokenData:
        tokens = await storage.get()
        if self._unsaved is not None:
            followed, unsaved = self._unsaved
            if followed == (tokens.fingerprint if tokens else None):
                await self._save(storage, followed, unsaved)
                return unsaved
            self._unsaved = None  # the user has logged in since
        if tokens is None:
            raise AuthenticationError(f"no tokens are stored for this connection: {LOGIN}")
        SECRETS.learn(tokens.access_token, tokens.refresh_token)
        return tokens

    def _check_rejection(self, tokens: TokenData) -> None:
        age_s = tokens.age_s(self._clock.now(), self._offset_s)
        # Exact counts the lifetime from some time between request and reply (API 1.2).
        oldest_s = age_s + tokens.way_s + tokens.doubt_s(self._offset_s)
        # A negative age means that this clock was set back; then only Exact knows the age.
        if age_s >= 0 and oldest_s < tokens.earliest_refresh_s:
            raise AuthenticationError(
                f"Exact Online refuses the access token {age_s:.0f} s after it was issued: access "
                "was withdrawn, the user's password changed, or the storage truncated the token; "
                f"{LOGIN}"
            )

    def _check_refused(self, storage: LockedStorage, tokens: TokenData) -> None:
        """Raise the error of an earlier request, while another request would fail in the same way."""
        if self._refused is not None:
            fingerprint, until, error = self._refused
            if fingerprint == tokens.fingerprint and self._clock.now() < until:
                raise copy(error)  # each task adds its own traceback
        refusal = storage.refusal_of(tokens)
        if refusal is not None:
            at = datetime.fromtimestamp(refusal.at, UTC)
            raise AuthenticationError(
                f"{refusal.reason}; it was refused at {at:%Y-%m-%d %H:%M:%S} UTC and is not sent again: "
                f"{LOGIN}"
            )

    async def _refresh(
        self, storage: LockedStorage, tokens: TokenData, rejected: str | None
    ) -> TokenData:
        answer, lost = await self._ask(tokens), None
        if answer.outcome is TokenOutcome.LOST:
            lost = answer
            logger.warning(
                "the reply to a token refresh was lost (%s); trying the stored token once more",
                lost.detail,
            )
            await self._clock.sleep(PAUSE_AFTER_LOSS_S)
            # The old refresh token may still work until the new one is used (API 1.4).
            stored = await storage.get()
            if stored is not None and stored.fingerprint != tokens.fingerprint:
                return self._set_tokens(stored)
            answer = await self._ask(tokens)
        if answer.outcome is TokenOutcome.TOKENS:
            return await self._store(storage, tokens, answer)
        # A program that ignores the lock may have refreshed.
        stored = await storage.get()
        if stored is not None and stored.fingerprint != tokens.fingerprint:
            return self._set_tokens(stored)
        if answer.outcome is TokenOutcome.TOO_EARLY and self._is_usable(tokens, rejected, lost):
            return self._go_on(tokens, answer)
        error = self._note_refused(tokens, answer, lost)
        if answer.outcome in FINAL:
            storage.note_refusal(
                Refusal(tokens.fingerprint, refusal_reason(answer, lost), answer.sent_at)
            )
        raise error

    def _is_usable(self, tokens: TokenData, rejected: str | None, lost: Answer | None) -> bool:
        """Whether "not expired" can refer to this access token, and not to one whose reply was lost."""
        if tokens.access_token == rejected:
            return False
        age_s = tokens.age_s(self._clock.now(), self._offset_s)
        is_expired = age_s - tokens.doubt_s(self._offset_s) >= tokens.lifetime_s
        knows = self._offset_s is not None and tokens.server_offset_s is not None
        # Without a lost reply and without Exact's time, this computer's clock is probably wrong.
        return not is_expired or (lost is None and not knows)

    async def _ask(self, tokens: TokenData) -> Answer:
        answer = await self._endpoint.post(
            {
                "grant_type": "refresh_token",
                "refresh_token": tokens.refresh_token,
                **self._app,
            }
        )
        if answer.server_offset_s is not None:
            self._offset_s = answer.server_offset_s
        return answer

    async def _store(
        self, storage: LockedStorage, old: TokenData | None, answer: Answer
    ) -> TokenData:
        try:
            new = TokenData.from_reply(
                answer.reply,
                sent_at=answer.sent_at,
                received_at=answer.received_at,
                server_offset_s=answer.server_offset_s,
                refresh_token=old.refresh_token if old else None,
            )
        except TokenDataError:
            raise AuthenticationError(
                f"Exact Online's reply contains no refresh token: {LOGIN}"
            ) from None
        SECRETS.learn(new.access_token, new.refresh_token)
        await self._save(storage, old.fingerprint if old else None, new)
        return self._set_tokens(new)

    async def _save(self, storage: LockedStorage, followed: str | None, new: TokenData) -> None:
        self._unsaved = (followed, new)
        for pause_s in (*PAUSES_AFTER_SAVE_ERROR_S, None):
            try:
                await storage.save(new)
            except Exception as error:  # noqa: BLE001  (whatever a user's storage raises)
                reason = clean_text(f"{type(error).__name__}: {error}")
                if pause_s is None:
                    raise TokenStoreError(
                        f"new tokens could not be stored ({reason}); they are kept in "
                        "memory and stored at the next call, but are lost if the process ends "
                        f"first: repair the store, or {LOGIN}"
                    ) from (error if _is_harmless(error) else None)
                logger.warning("new tokens could not be stored, trying again: %s", reason)
                await self._clock.sleep(pause_s)
            else:
                self._unsaved = None
                return

    def _go_on(self, tokens: TokenData, answer: Answer) -> TokenData:
        """Use the access token, which Exact says has not expired, and try to refresh a little later.

        Either this computer's clock is wrong, or a short-lived token can be refreshed only at its end.
        """
        if self._is_due(tokens):
            now = self._clock.now()
            left_s = tokens.lifetime_s - tokens.age_s(now, self._offset_s)
            hold_s = left_s if 0 < left_s < HOLD_S and tokens.is_short_lived else HOLD_S
            self._hold = (tokens.fingerprint, now + hold_s)
        logger.warning("going on with the access token there is: %s", answer.detail)
        return self._set_tokens(tokens)

    def _set_tokens(self, tokens: TokenData) -> TokenData:
        SECRETS.learn(tokens.access_token, tokens.refresh_token)
        self._tokens = tokens
        return tokens

    def _is_due(self, tokens: TokenData) -> bool:
        now = self._clock.now()
        if self._hold and self._hold[0] == tokens.fingerprint and now < self._hold[1]:
            return False
        return tokens.is_due(now, self._offset_s)

    def _note_refused(
        self, tokens: TokenData, answer: Answer, lost: Answer | None
    ) -> AuthenticationError | RemoteError | ConfigurationError:
        """The error of a refresh; it is stored if another request would fail in the same way."""
        is_early = answer.outcome is TokenOutcome.TOO_EARLY
        resumes_at = self._resumes_at(tokens, answer, lost) if is_early else None
        error = refresh_error(answer, lost, resumes_at)
        if is_early:
            until = resumes_at or self._clock.now() + HOLD_S
            self._refused = (tokens.fingerprint, until, error)
        elif isinstance(error, AuthenticationError):
            self._refused = (tokens.fingerprint, float("inf"), error)
        return error

    def _resumes_at(self, tokens: TokenData, answer: Answer, lost: Answer | None) -> float | None:
        """Time from which Exact issues new tokens; ``None`` if unknown."""
        now = self._clock.now()
        wait_s = answer.retry_after_s
        if wait_s is None and tokens.is_short_lived and lost is None:
            # The rule for the documented lifetime may also apply to a shorter one (API 1.3).
            wait_s = EARLIEST_REFRESH_S - tokens.age_s(now, self._offset_s)
        return None if wait_s is None or wait_s <= 0 else now + wait_s


def _is_harmless(error: Exception) -> bool:
    return SECRETS.mask(str(error)) == str(error)
