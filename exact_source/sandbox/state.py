"""The state of one sandbox, which its HTTP and Python interfaces share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

from .clock import AMSTERDAM, SandboxClock
from .data.catalogue import Catalogue, Endpoint
from .data.store import Order, Store
from .deviations.sizes import page_size
from .http.requests import InFlight, Request, TokenRequest
from .http.webhooks import Webhooks
from .replay import Replay
from .rules.demands import Demand
from .rules.faults import Faults
from .rules.limits import CallLimits, ErrorLimit
from .rules.oauth import OAuth
from .rules.rights import Rights

Language = Literal["en", "nl"]
LARGEST_RESPONSE = 38_000_000
FOREIGN_HOST = "http://exact-online.invalid"


@dataclass
class Settings:
    """Choices where Exact differs by app, or where its behaviour is unknown.

    Attributes:
        page_size: Rows per page of regular feeds and of collections.
        large_page_size: Rows per page of bulk and sync feeds.
        latency: Seconds that every data call takes, of real time.
        require_select: Which calls must have ``$select``: ``never``, ``seen`` (those whose refusal was
            recorded), or ``everywhere``.
        require_filter: The same for ``$filter``; ``never`` was observed with a production app (API 12.2).
        sync_order: Order and skiptoken of sync feeds: their OData key ``Timestamp`` (API 12.6), or ``key``.
        paged_reads: Whether lists of ``read/`` are paged; sources disagree (API 10.16).
        language: ``en`` or ``nl``: language of the user and of error messages (API 6.1).
        response_limit: Bytes of the largest body (API 2.4: 9.5 MB outside NL and BE).
        foreign_host: Origin of the links of faults that lead to another host.
        deviations: Names of ``DEVIATIONS``: deliberate differences from Exact Online.
    """

    page_size: int = 60
    large_page_size: int = 1000
    latency: float = 0.0
    require_select: Demand = "seen"
    require_filter: Demand = "never"
    sync_order: Order = "Timestamp"
    paged_reads: bool = False
    language: Language = "en"
    response_limit: int = LARGEST_RESPONSE
    foreign_host: str = FOREIGN_HOST
    deviations: set[str] = field(default_factory=set)

    def page(self, endpoint: Endpoint) -> int:
        """Rows per page of an endpoint."""
        size = self.large_page_size if endpoint.kind in {"bulk", "sync"} else self.page_size
        return page_size(self.deviations, endpoint, size)


@dataclass
class State:
    """The parts of a sandbox."""

    settings: Settings
    clock: SandboxClock
    catalogue: Catalogue
    store: Store
    oauth: OAuth
    limits: CallLimits
    errors: ErrorLimit
    random: Random
    divisions: list[int]
    user: str  # guid of the user
    faults: Faults
    webhooks: Webhooks
    rights: Rights = field(default_factory=Rights)
    replay: Replay | None = None  # answers all data calls, if there is one
    in_flight: InFlight = field(default_factory=InFlight)
    requests: list[Request] = field(default_factory=list)
    token_requests: list[TokenRequest] = field(default_factory=list)

    @property
    def utc_offset(self) -> timedelta:
        """The difference between the site's wall clock and UTC."""
        local = datetime.fromtimestamp(self.clock.now(), UTC).astimezone(AMSTERDAM)
        return local.utcoffset() or timedelta()

    def defaults(self, division: int | None) -> dict[str, object]:
        """Values of columns that stored rows omit because they are always the same."""
        return {
            "Division": division,
            "Creator": self.user,
            "CreatorFullName": USER_NAME,
            "Modifier": self.user,
            "ModifierFullName": USER_NAME,
        }


USER_NAME = "Sanne de Boer"
