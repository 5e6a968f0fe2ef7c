"""Columns that Exact has withdrawn: a query that names one is refused as a whole (API 3.3)."""

from __future__ import annotations

from collections.abc import Iterable

from .client import Target
from .entities import Feed
from .entities.drift import service_of
from .metadata import Services, read_services
from .run import Run


async def withdrawn_fields(
    run: Run, target: Target, feed: Feed, fields: Iterable[str]
) -> list[str]:
    """Those of ``fields`` that an endpoint no longer has, as ``$metadata`` of its service says.

    The service is asked once a run and division, whatever the answer; that call is counted on
    ``target``.

    Raises:
        LimitError: If the day's calls are used up.
    """
    service, division = service_of(feed.path), target.division or 0

    async def fetch() -> Services:
        answer = await read_services(run.client, division, [service])
        target.calls += answer.calls
        return answer

    services: Services = await run.once(("metadata", division, service), fetch)
    found = services.found.get(service, {}).get(feed.path.rpartition("/")[2])
    if found is None:
        return []  # it cannot be said
    served = {*found.columns, *found.unknown_types, *found.navigation}
    return [field for field in fields if field not in served]
