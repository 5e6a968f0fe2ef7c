"""Fetches ``$metadata`` of services of a live company, through the client and within its limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import httpx

from .auth import OAuth, TokenStorage
from .client import ExactClient, Target
from .clock import Clock
from .entities.csdl import EntitySet, parse_csdl
from .errors import StreamError
from .limits import Limits
from .odata import build_url
from .settings import Settings

TAIL = "$metadata"


class XmlTransport(httpx.AsyncHTTPTransport):
    """Asks for no JSON where there is none to be had: Exact refuses that for metadata (API 3.1)."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        if request.url.path.endswith(TAIL):
            request.headers["Accept"] = "*/*"
        return await super().handle_async_request(request)


@dataclass
class Services:
    """What the services of one company described.

    Attributes:
        found: Service -> name of an endpoint -> what it holds.
        refused: Service -> why it could not be read.
        calls: Calls that were sent.
    """

    found: dict[str, dict[str, EntitySet]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    calls: int = 0


def metadata_client(
    settings: Settings, storage: TokenStorage, clock: Clock, limits: Limits
) -> Callable[[], ExactClient]:
    """Makes clients that can read metadata, one for each event loop."""

    def connect() -> ExactClient:
        oauth = OAuth(
            settings.client_id,
            settings.client_secret,
            settings.redirect_uri,
            storage,
            base_url=settings.base_url,
            clock=clock,
        )
        return ExactClient(
            oauth, settings.base_url, limits=limits, clock=clock, transport=XmlTransport()
        )

    return connect


async def read_services(client: ExactClient, division: int, names: Sequence[str]) -> Services:
    """Read the metadata of some services, one call each; a refusal of one does not stop the others.

    Raises:
        LimitError: If the day's calls are used up.
        AuthenticationError: If a person must log in again.
    """
    services = Services()
    for name in names:
        target = Target(division, f"{name}/{TAIL}", f"{TAIL} of {name}")
        url = build_url(target.path, division, {})
        try:
            services.found[name] = await client.get(
                target, url, partial(parse_csdl, where=target.where)
            )
        except StreamError as error:
            services.refused[name] = str(error)
        services.calls += target.calls
    return services
