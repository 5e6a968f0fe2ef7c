"""Everything that one sandbox knows; the HTTP side and the Python side work on the same objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from .clock import SandboxClock
from .data.catalogue import Catalogue, Endpoint
from .data.store import Order, Store
from .http.requests import InFlight, Request, TokenRequest
from .http.webhooks import Webhooks
from .rules.faults import Faults
from .rules.limits import CallLimits, ErrorLimit
from .rules.oauth import OAuth
from .rules.rights import Rights

Language = Literal["en", "nl"]
LARGEST_RESPONSE = 38_000_000
FOREIGN_HOST = "http://exact-online.invalid"


@dataclass
class Settings:
    """How this Exact Online differs from the one on the internet.

    Attributes:
        page_size: Rows a page of the regular feed.
        large_page_size: Rows a page of bulk and sync feeds.
        lenient: Whether mandatory ``$select`` and ``$filter`` are left out.
        latency: Seconds that every data call takes, of real time.
        sync_order: Order of rows in sync feeds, which Exact does not document (API 3.2).
        paged_reads: Whether lists of ``read/`` are paged; sources disagree (API 10.16).
        strict: Whether every endpoint with a sync sibling demands a ``$filter``; known of a few only.
        language: ``en`` or ``nl``: the user's, in which refusals are worded (API 6.1).
        response_limit: Bytes of the largest body (API 2.4: 9.5 MB outside NL and BE).
        foreign_host: Origin to which faults lead that leave this site.
    """

    page_size: int = 60
    large_page_size: int = 1000
    lenient: bool = False
    latency: float = 0.0
    sync_order: Order = "key"
    paged_reads: bool = False
    strict: bool = False
    language: Language = "en"
    response_limit: int = LARGEST_RESPONSE
    foreign_host: str = FOREIGN_HOST

    def page(self, endpoint: Endpoint) -> int:
        """Rows a page of an endpoint."""
        return self.large_page_size if endpoint.kind in {"bulk", "sync"} else self.page_size


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
    user: str  # guid of the user who logs in
    faults: Faults
    webhooks: Webhooks
    rights: Rights = field(default_factory=Rights)
    in_flight: InFlight = field(default_factory=InFlight)
    requests: list[Request] = field(default_factory=list)
    token_requests: list[TokenRequest] = field(default_factory=list)

    def defaults(self, division: int | None) -> dict[str, object]:
        """Values of columns that stored rows leave out because they are always the same."""
        return {
            "Division": division,
            "Creator": self.user,
            "CreatorFullName": USER_NAME,
            "Modifier": self.user,
            "ModifierFullName": USER_NAME,
        }


USER_NAME = "Sanne de Boer"
