"""Reads ``$metadata`` of the services of a live company, through the client and within its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..errors import StreamError
from ..odata.csdl import EntitySet, parse_csdl
from ..odata.query import build_url
from .call import Call
from .client import ExactClient

METADATA = "$metadata"


@dataclass
class Services:
    """The metadata of the services of one company.

    Attributes:
        found: Service -> name of an endpoint -> its entity set.
        refused: Service -> error of the call, if it failed.
        calls: Calls that were sent.
    """

    found: dict[str, dict[str, EntitySet]] = field(default_factory=dict)
    refused: dict[str, StreamError] = field(default_factory=dict)
    calls: int = 0


async def read_services(client: ExactClient, division: int, names: Sequence[str]) -> Services:
    """Read the metadata of some services, with one call each; a refused service does not stop the others.

    Raises:
        LimitError: If the day's calls are used up.
        AuthenticationError: If a person must log in again.
    """
    services = Services()
    for name in names:
        call = Call(division, f"{name}/{METADATA}", f"{METADATA} of {name}")
        url = build_url(call.path, division, {})
        try:
            services.found[name] = await client.get(
                call, url, partial(parse_csdl, where=call.where)
            )
        except StreamError as error:
            services.refused[name] = error
        services.calls += call.calls
    return services
