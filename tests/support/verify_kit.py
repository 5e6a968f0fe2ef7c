"""A company large enough to fill pages, and verifications of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exact_source.client.limits import Limits
from exact_source.connect import make_asking_run
from exact_source.source import make_options
from exact_source.verify import Verification, verify
from tests.support.world import World, make_box

HOUR_S = 3600
ERRORS = {400, 401, 403, 404}
# Deviation -> the check that must find it.
FOUND_BY = {
    "server-time-in-utc": "server-time",
    "offset-in-minutes": "server-offset",
    "rows-ahead": "newest-row",
    "filter-in-utc": "filter-digits",
    "dates-as-instants": "date-only",
    "iso-dates": "date-form",
    "no-date-header": "date-header",
    "no-day-headers": "day-headers",
    "no-minute-headers": "minute-headers",
    "other-limits": "limit-values",
    "reset-in-seconds": "reset-unit",
    "local-day": "day-end",
    "sliding-minute": "minute-end",
    "double-cost": "call-costs",
    "rights-are-counted": "rights-cost",
    "me-is-counted": "me-is-free",
    "odata-3": "service-version",
    "small-pages": "regular-page",
    "small-bulk-pages": "bulk-page",
    "small-sync-pages": "sync-page",
    "bare-lists": "envelope",
    "empty-is-null": "empty-list",
    "relative-links": "next-link",
    "links-without-query": "next-keeps-query",
    "overlapping-pages": "next-goes-on",
    "paged-reads": "whole-list",
    "no-modified-filter": "filter-modified",
    "no-bulk-modified-filter": "bulk-filter-modified",
    "no-key-filter": "filter-key",
    "orderby-ignored": "orderby",
    "top-ignored": "top",
    "select-ignored": "select",
    "no-inline-count": "inline-count",
    "count-as-number": "inline-count",
    "no-count-path": "count-path",
    "select-everywhere": "select-needless",
    "filter-everywhere": "filter-needless",
    "version-as-number": "version-form",
    "shared-versions": "version-unique",
    "sync-by-key": "sync-order",
    "version-inclusive": "version-filter",
    "no-version-zero": "from-zero",
    "no-start-version": "start-version",
    "start-version-always": "no-start-version",
    "new-deleted-code": "deleted-codes",
    "deleted-without-key": "deleted-keys",
    "codes-unpadded": "code-padding",
    "texts-unpadded": "text-padding",
    "capital-guids": "guids",
    "amounts-as-texts": "amounts",
    "other-division": "division",
    "rights-by-path": "rights-form",
    "rights-as-numbers": "rights-answer",
    "no-rights-question": "rights-form",
    "one-metadata": "metadata",
    "endpoint-withdrawn": "endpoints",
    "field-withdrawn": "fields",
    "new-field": "new-fields",
    "other-type": "types",
    "bulk-misses-rows": "twins-accounts",
    "sync-adds-gl-rows": "twins-gl-accounts",
    "sync-has-other-keys": "twin-keys",
}
# Other checks that a deviation inevitably affects.
ALSO = {
    "rows-ahead": {"filter-digits"},
    "sync-has-other-keys": {"twins-accounts"},
}


@contextmanager
def large_world(folder: Path) -> Iterator[World]:
    """One company with 1,100 transaction lines, a recently changed row, and a tombstone."""
    box = make_box(invoices=230, page_size=60, large_page_size=1000, companies=1)
    with box.serve() as url:
        world = World(box, url, folder)
        world.bury(world.division, 2)
        yield world


def touch_newest(world: World) -> None:
    """Change a row now that is neither the first nor the last by key."""
    world.box.touch("crm/Accounts", world.division, [world.keys("crm/Accounts")[3]])


def verified(world: World, *deviations: str) -> Verification:
    """Verify with these deviations, an hour after the last verification."""
    world.clock.sandbox.advance(HOUR_S + 60)
    touch_newest(world)
    active = world.box.settings.deviations
    active.clear()
    active.update(deviations)
    listeners: list[Any] = []

    def observe(request: Any, response: Any) -> None:
        for listener in listeners:
            listener.observe(request, response)

    run = make_asking_run(
        make_options(divisions=[world.division]),
        world.settings,
        world.storage,
        world.clock,
        Limits(),
        observe=observe,
    )

    async def ask() -> Verification:
        async with run.asking() as client:
            return await verify(client, world.division, listeners.append)

    try:
        with world.watch() as calls:
            found = asyncio.run(ask())
    finally:
        active.clear()
    assert len(calls) == found.calls <= 80
    assert {call.method for call in calls.all} == {"GET"}
    refused = [status for status in calls.statuses() if status in ERRORS]
    assert len(refused) == found.refusals <= 2
    return found


def names(found: Verification, verdict: str) -> set[str]:
    """The checks with this verdict."""
    return {f.check.name for f in found.findings if f.seen.verdict == verdict}
