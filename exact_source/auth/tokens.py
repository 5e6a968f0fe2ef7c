"""The access and refresh token of one refresh, and when the next refresh is due."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import ConfigurationError

LIFETIME_S = 600.0  # API 1.2
EARLIEST_REFRESH_S = 570.0  # API 1.2, 1.3: refused before
MARGIN_S = 30.0  # API 1.3: "ask 30 s before expiry"
SHORT_LIFE_S = 300.0  # below this lifetime, 30 s would be a large part of it
UNUSED_LIFE_S = 30 * 86400.0  # API 1.2: lifetime of an unused refresh token
DATE_TOLERANCE_S = 5.0  # the Date header counts whole seconds and is some milliseconds old
DATE_ROUNDING_S = 1.0


class TokenDataError(ConfigurationError, ValueError):
    """The tokens cannot be valid, because of a mistake of the caller or the token storage."""


@dataclass(frozen=True)
class TokenData:
    """An access token, and the refresh token that can be exchanged once for the next pair of tokens.

    A storage may store only the first four fields; the others make the timing exact.

    Attributes:
        access_token: Sent with every call as ``Bearer``.
        refresh_token: Works once (API 1.4).
        token_type: ``bearer``.
        expires_at: When the access token expires; must be timezone-aware and in UTC.
        issued_at: This host's clock before the request was sent. Default: 600 s before ``expires_at``.
        received_at: This host's clock after the reply arrived, seconds since the epoch; Exact counts its
            570 s from this time or earlier. A float, because a datetime rounds to microseconds, and a
            refresh that is one microsecond early is refused. Default: ``issued_at``.
        server_offset_s: Exact's clock (``Date`` header of the reply) minus this host's clock.

    Raises:
        TokenDataError: If a token is empty or a time is naive or not UTC.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    token_type: str
    expires_at: datetime
    issued_at: datetime | None = field(default=None, kw_only=True)
    received_at: float | None = field(default=None, kw_only=True, repr=False)
    server_offset_s: float | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        for name in ("access_token", "refresh_token"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise TokenDataError(f"TokenData.{name} must be a text that is not empty")
        set_field = object.__setattr__  # how a frozen dataclass is completed
        set_field(self, "expires_at", _utc("expires_at", self.expires_at))
        issued_at = self.issued_at or self.expires_at - timedelta(seconds=LIFETIME_S)
        set_field(self, "issued_at", _utc("issued_at", issued_at))
        if self.received_at is None:
            set_field(self, "received_at", issued_at.timestamp())

    def age_s(self, now: float, server_offset_s: float | None = None) -> float:
        """Seconds since the tokens were received; negative if this host's clock was set back unnoticed.

        Args:
            now: This host's clock, seconds since the epoch.
            server_offset_s: Exact's current ``Date``, minus ``now``. If it differs from the offset at the
                time of receipt, the clock was adjusted (or this is another host), and the age is measured
                by Exact's clock.
        """
        assert self.received_at is not None  # noqa: S101  (set in __post_init__)
        return now - self.received_at - self._step_s(server_offset_s)

    def doubt_s(self, server_offset_s: float | None = None) -> float:
        """Maximum error of ``age_s``, in seconds."""
        if self._step_s(server_offset_s):
            return DATE_TOLERANCE_S
        # An adjustment that is too small to tell from the rounding of the Date header.
        return max(0.0, self._seen_step_s(server_offset_s) + DATE_ROUNDING_S)

    def is_due(self, now: float, server_offset_s: float | None = None) -> bool:
        """Whether the tokens should be refreshed: in their last 30 s or later."""
        age_s = self.age_s(now, server_offset_s) - self.doubt_s(server_offset_s)
        return age_s >= self.earliest_refresh_s

    def _step_s(self, server_offset_s: float | None) -> float:
        """Seconds by which this host's clock was set forward since the tokens were received."""
        step = self._seen_step_s(server_offset_s)
        return step if abs(step) > DATE_TOLERANCE_S else 0.0

    def _seen_step_s(self, server_offset_s: float | None) -> float:
        if server_offset_s is None or self.server_offset_s is None:
            return -DATE_ROUNDING_S
        return self.server_offset_s - server_offset_s

    @property
    def lifetime_s(self) -> float:
        """Seconds from ``issued_at`` to ``expires_at``."""
        assert self.issued_at is not None  # noqa: S101  (set in __post_init__)
        return (self.expires_at - self.issued_at).total_seconds()

    @property
    def is_short_lived(self) -> bool:
        """Whether the lifetime of the access token is below the documented 600 s."""
        return self.lifetime_s < LIFETIME_S

    @property
    def way_s(self) -> float:
        """Seconds from sending the request to the end of its reply."""
        assert self.issued_at is not None  # noqa: S101  (set in __post_init__)
        assert self.received_at is not None  # noqa: S101
        return max(0.0, self.received_at - self.issued_at.timestamp())

    @property
    def earliest_refresh_s(self) -> float:
        """Age in seconds at which the tokens are refreshed: 30 s before the access token expires.

        With the documented lifetime of 600 s that is after 570 s, the earliest that Exact allows (API 1.2,
        1.3). A token with a lifetime below 300 s is refreshed in the last tenth of it.
        """
        is_short = self.lifetime_s < SHORT_LIFE_S
        return max(0.0, self.lifetime_s - (self.lifetime_s / 10 if is_short else MARGIN_S))

    @property
    def fingerprint(self) -> str:
        """A hash that identifies the refresh token without revealing it."""
        return hashlib.sha256(self.refresh_token.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """All fields, with the tokens in plain text: encrypt the text, or protect the file."""
        assert self.issued_at is not None  # noqa: S101  (set in __post_init__)
        return json.dumps(
            {
                "access_token": self.access_token,
                "refresh_token": self.refresh_token,
                "token_type": self.token_type,
                "expires_at": self.expires_at.isoformat(),
                "issued_at": self.issued_at.isoformat(),
                "received_at": self.received_at,
                "server_offset_s": self.server_offset_s,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> TokenData:
        """The inverse of ``to_json``.

        Raises:
            TokenDataError: If the text is not such a document; the message does not quote it.
        """
        try:
            document = json.loads(text)
            issued_at = document.get("issued_at")
            return cls(
                document["access_token"],
                document["refresh_token"],
                str(document.get("token_type", "bearer")),
                datetime.fromisoformat(document["expires_at"]),
                issued_at=datetime.fromisoformat(issued_at) if issued_at else None,
                received_at=_number(document.get("received_at")),
                server_offset_s=_number(document.get("server_offset_s")),
            )
        except TokenDataError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"no field {error}" if isinstance(error, KeyError) else "not the JSON expected"
            raise TokenDataError(f"stored tokens cannot be read: {reason}") from None

    @classmethod
    def from_reply(
        cls,
        reply: Mapping[str, Any],
        *,
        sent_at: float,
        received_at: float,
        server_offset_s: float | None,
        refresh_token: str | None = None,
    ) -> TokenData:
        """The tokens in a reply of the token endpoint.

        This fails only if a token is missing. An invalid ``expires_in`` is replaced by the usual lifetime,
        so that the tokens are not lost; Exact sends it as a JSON string (API 1.2).

        Args:
            reply: Decoded body.
            sent_at: This host's clock before the request was sent.
            received_at: This host's clock after the reply arrived.
            server_offset_s: Exact's clock minus this host's, ``None`` if unknown.
            refresh_token: Used if the reply has none; OAuth2 allows that if the token stays the same.
        """
        return cls(
            str(reply["access_token"]),
            str(reply.get("refresh_token") or refresh_token or ""),
            str(reply.get("token_type") or "bearer"),
            _moment(sent_at + _lifetime_s(reply.get("expires_in"))),
            issued_at=_moment(sent_at),
            received_at=received_at,
            server_offset_s=server_offset_s,
        )


def _utc(name: str, moment: object) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise TokenDataError(
            f"TokenData.{name} must be a datetime with a time zone: datetime.now(UTC), not utcnow()"
        )
    if moment.utcoffset() != timedelta(0):
        raise TokenDataError(f"TokenData.{name} must be in UTC: use .astimezone(UTC)")
    return moment.astimezone(UTC)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _lifetime_s(expires_in: object) -> float:
    try:
        seconds = float(str(expires_in))
    except ValueError:
        return LIFETIME_S
    return seconds if 0 < seconds <= UNUSED_LIFE_S else LIFETIME_S
