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
from ..settings import SECTION
from .in_flight import SPENDING
from .masking import SECRETS, clean_text
from .storage.protocol import LockedStorage, StorageAdapter
from .storage.refusal import Refusal
from .token_endpoint import TokenEndpoint
from .token_response import Answer, TokenOutcome
from .tokens import EARLIEST_REFRESH_S, TokenData, TokenDataError

logger = logging.getLogger(__name__)

LOGIN = "run `exact-source login`"
PAUSE_AFTER_LOSS_S = 5.0  # Exact may still be at work on the request whose reply was lost
PAUSES_AFTER_SAVE_ERROR_S = (0.5, 2.0, 5.0)
HOLD_S = 60.0  # after "too early" from a server that sends no Date
KEPT = "the stored tokens are kept, run again later"
TRY_LATER = (
    "run again in 10 minutes, and if the stored tokens are refused then, run `exact-source login`"
)

# After these no later request with the same refresh token can succeed (API 1.4).
FINAL = {
    TokenOutcome.USED,
    TokenOutcome.EXPIRED,
    TokenOutcome.CHAIN_BROKEN,
    TokenOutcome.GRANT_REFUSED,
}
_MEANING = {
    TokenOutcome.USED: (
        "the stored refresh token was used before, by another program that shares this connection "
        "or by a run that was killed or cut off before it could store the reply"
    ),
    TokenOutcome.EXPIRED: "the stored refresh token went unused for 30 days and has expired",
    TokenOutcome.CHAIN_BROKEN: "the token chain is broken: a token or code was used twice at once",
}


class Rotator:
    """Refreshes the tokens of one connection when they are due.

    Args:
        app: ``client_id`` and ``client_secret`` for the token endpoint.
        storage: Storage in which the tokens outlive the process.
        endpoint: Source of new tokens.
        clock: Time.
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
        # Fingerprint, and the error that is raised until a time instead of asking again.
        self._refused: tuple[str, float, ExactError] | None = None
        self._unsaved: tuple[str | None, TokenData] | None = None  # fingerprint of its predecessor

    def fresh(self) -> TokenData | None:
        """The pair in memory, if it is valid for another call."""
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
            await storage.get()  # an unreadable store must not cost the code
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
                    raise self._exchange_error(answer)
                return await self._store(storage, None, answer)

    async def current(self, rejected: str | None, home: AbstractEventLoop | None) -> TokenData:
        """The stored pair, refreshed if due.

        Args:
            rejected: Access token that Exact answered with 401.
            home: See ``StorageAdapter.locked``.
        """
        async with self._storage.locked(home) as storage:
            tokens = await self._read(storage)
            if rejected == tokens.access_token:
                self._check_rejection(tokens)
                self._hold = None
            elif not self._is_due(tokens):
                return self._use(tokens)
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
            self._unsaved = None  # there was a login since
        if tokens is None:
            raise AuthenticationError(f"no tokens are stored for this connection: {LOGIN}")
        SECRETS.learn(tokens.access_token, tokens.refresh_token)
        return tokens

    def _check_rejection(self, tokens: TokenData) -> None:
        age_s = tokens.age_s(self._clock.now(), self._offset_s)
        # Exact counts the life from a moment between request and reply (API 1.2).
        oldest_s = age_s + tokens.way_s + tokens.doubt_s(self._offset_s)
        # A negative age means that the clock was set back; then only Exact knows the age.
        if age_s >= 0 and oldest_s < tokens.earliest_refresh_s:
            raise AuthenticationError(
                f"Exact Online refuses the access token {age_s:.0f} s after it was issued: access "
                "was withdrawn, the user's password changed, or the storage truncated the token; "
                f"{LOGIN}"
            )

    def _check_refused(self, storage: LockedStorage, tokens: TokenData) -> None:
        """Raise the error of an earlier request, as long as another one would end in the same way."""
        if self._refused is not None:
            fingerprint, until, error = self._refused
            if fingerprint == tokens.fingerprint and self._clock.now() < until:
                raise copy(error)  # each task that asks adds a traceback of its own
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
            # The old refresh token may work until the new one is used (API 1.4).
            stored = await storage.get()
            if stored is not None and stored.fingerprint != tokens.fingerprint:
                return self._use(stored)
            answer = await self._ask(tokens)
        if answer.outcome is TokenOutcome.TOKENS:
            return await self._store(storage, tokens, answer)
        # A program that ignores the lock may have refreshed.
        stored = await storage.get()
        if stored is not None and stored.fingerprint != tokens.fingerprint:
            return self._use(stored)
        if answer.outcome is TokenOutcome.TOO_EARLY and self._is_usable(tokens, rejected, lost):
            return self._go_on(tokens, answer)
        error = self._refresh_error(tokens, answer, lost)
        if answer.outcome in FINAL:
            storage.note_refusal(Refusal(tokens.fingerprint, _reason(answer, lost), answer.sent_at))
        raise error

    def _is_usable(self, tokens: TokenData, rejected: str | None, lost: Answer | None) -> bool:
        """Whether "not expired" can mean this access token, and not one whose reply was lost."""
        if tokens.access_token == rejected:
            return False
        age_s = tokens.age_s(self._clock.now(), self._offset_s)
        is_expired = age_s - tokens.doubt_s(self._offset_s) >= tokens.lifetime_s
        knows = self._offset_s is not None and tokens.server_offset_s is not None
        # Without a lost reply and without Exact's clock, this computer's clock is probably off.
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
        return self._use(new)

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
        """Use the access token that Exact says still lives, and ask again a little later.

        Either this computer's clock is off, or a short-lived token may be refreshed only at its end.
        """
        if self._is_due(tokens):
            now = self._clock.now()
            left_s = tokens.lifetime_s - tokens.age_s(now, self._offset_s)
            hold_s = left_s if 0 < left_s < HOLD_S and tokens.is_short_lived else HOLD_S
            self._hold = (tokens.fingerprint, now + hold_s)
        logger.warning("going on with the access token there is: %s", answer.detail)
        return self._use(tokens)

    def _use(self, tokens: TokenData) -> TokenData:
        SECRETS.learn(tokens.access_token, tokens.refresh_token)
        self._tokens = tokens
        return tokens

    def _is_due(self, tokens: TokenData) -> bool:
        now = self._clock.now()
        if self._hold and self._hold[0] == tokens.fingerprint and now < self._hold[1]:
            return False
        return tokens.is_due(now, self._offset_s)

    def _refresh_error(
        self, tokens: TokenData, answer: Answer, lost: Answer | None
    ) -> AuthenticationError | RemoteError | ConfigurationError:
        if answer.outcome is TokenOutcome.CLIENT_REFUSED:
            return _client_error(answer)
        if answer.outcome in {TokenOutcome.UNREACHABLE, TokenOutcome.BUSY, TokenOutcome.LOST}:
            return _passing_error(answer, lost)
        if answer.outcome is TokenOutcome.TOO_EARLY:
            early = self._too_early_error(tokens, answer, lost)
            until = early.resumes_at or self._clock.now() + HOLD_S
            self._refused = (tokens.fingerprint, until, early)
            return early
        error = AuthenticationError(f"{_reason(answer, lost)}: {LOGIN}")
        self._refused = (tokens.fingerprint, float("inf"), error)
        return error

    def _too_early_error(
        self, tokens: TokenData, answer: Answer, lost: Answer | None
    ) -> RemoteError:
        now = self._clock.now()
        wait_s = answer.retry_after_s
        if wait_s is None and tokens.is_short_lived and lost is None:
            # The rule of the documented life may hold for a shorter one, too (API 1.3).
            wait_s = EARLIEST_REFRESH_S - tokens.age_s(now, self._offset_s)
        if wait_s is None or wait_s <= 0:
            return _newer_tokens_error(answer, lost)
        at = datetime.fromtimestamp(now + wait_s, UTC)
        return RemoteError(
            f"Exact Online does not issue new tokens before {at:%Y-%m-%d %H:%M:%S} UTC "
            f"({answer.detail}); {KEPT}",
            resumes_at=now + wait_s,
        )

    def _exchange_error(
        self, answer: Answer
    ) -> AuthenticationError | RemoteError | ConfigurationError:
        if answer.outcome in {TokenOutcome.UNREACHABLE, TokenOutcome.BUSY}:
            return RemoteError(f"the code was not exchanged: {_why_not(answer)}")
        if answer.outcome is TokenOutcome.CLIENT_REFUSED:
            return _client_error(answer)
        if answer.outcome is TokenOutcome.LOST:
            return AuthenticationError(
                f"the reply to the code exchange was lost ({answer.detail}), and a code works only "
                f"once: {LOGIN} again"
            )
        return AuthenticationError(
            f"Exact Online refuses the code ({answer.detail}); a code works once, within 3 minutes: "
            f"{LOGIN} again"
        )


def _why_not(answer: Answer) -> str:
    if answer.outcome is TokenOutcome.UNREACHABLE:
        return f"Exact Online could not be reached ({answer.detail}), nothing was sent"
    return f"Exact Online is limiting token requests ({answer.detail})"


def _loss(lost: Answer) -> str:
    at = datetime.fromtimestamp(lost.sent_at, UTC)
    return f"the reply to the token refresh of {at:%Y-%m-%d %H:%M:%S} UTC was lost ({lost.detail})"


def _reason(answer: Answer, lost: Answer | None) -> str:
    """Why the stored refresh token was refused, with Exact's words."""
    meaning = _MEANING.get(answer.outcome, "Exact Online refuses the stored refresh token")
    if lost is not None:
        meaning = f"{_loss(lost)} and the refresh token is spent"
    return f"{meaning} ({answer.detail})"


def _passing_error(answer: Answer, lost: Answer | None) -> RemoteError:
    """The error of a refresh that failed for now, or whose reply was lost."""
    if lost is None:
        message = f"the tokens were not refreshed: {_why_not(answer)}; {KEPT}"
    elif answer.outcome is TokenOutcome.LOST:
        message = f"{_loss(lost)}, and the reply to the second attempt was lost too ({answer.detail}); {KEPT}"
    elif answer.outcome is TokenOutcome.UNREACHABLE:
        message = (
            f"{_loss(lost)}, and then Exact Online could not be reached ({answer.detail}); {KEPT}"
        )
    else:
        message = f"{_loss(lost)}, and then {_why_not(answer)}; {KEPT}"
    return RemoteError(message)


def _newer_tokens_error(answer: Answer, lost: Answer | None) -> RemoteError:
    """The error if Exact has issued a token of this connection that is not stored here (API 1.3)."""
    if lost is None:
        message = (
            "Exact Online recently issued newer tokens than the stored ones, to another program or in "
            f"a lost reply, and does not issue others yet ({answer.detail}): {TRY_LATER}"
        )
    else:
        message = (
            f"{_loss(lost)}; Exact Online has issued the new tokens and does not issue others yet "
            f"({answer.detail}): {TRY_LATER}"
        )
    return RemoteError(message)


def _client_error(answer: Answer) -> ConfigurationError:
    return ConfigurationError(
        f"Exact Online refuses the app ({answer.detail}): check {SECTION}.client_id, "
        "client_secret, redirect_uri and the region they were registered in"
    )


def _is_harmless(error: Exception) -> bool:
    return SECRETS.mask(str(error)) == str(error)
