"""A company large enough to fill pages, and verifications of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from exact_source.odata.csdl import parse_csdl
from exact_source.sandbox.deviations.sizes import SMALL_PAGES
from exact_source.verify import Verification, verify
from exact_source.verify.report import document, markdown
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
    "contract-headers": "other-limit-headers",
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
    "sync-top-ignored": "sync-top",
    "select-ignored": "select",
    "no-inline-count": "inline-count",
    "count-as-number": "inline-count",
    "no-count-path": "count-path",
    "select-everywhere": "select-needless",
    "filter-everywhere": "filter-needless",
    "version-as-number": "version-form",
    "shared-versions": "version-unique",
    "sync-by-key": "sync-order",
    "sync-token-without-l": "sync-token",
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
    "sync-by-key": {"sync-token"},
    "sync-has-other-keys": {"twins-accounts"},
}


# Rows on a page of the scaled world: few, but more than there are accounts.
SCALED = {"regular": 12, "bulk": 60, "sync": 60, "function": 12}
PARSE_ONCE = cache(parse_csdl)  # the $metadata is the same nearly every time


@contextmanager
def large_world(folder: Path) -> Iterator[World]:
    """One company with 1,845 transaction lines, and a tombstone; pages of the real sizes."""
    with _world(folder, invoices=230, page_size=60, large_page_size=1000) as world:
        yield world


@contextmanager
def scaled_world(folder: Path) -> Iterator[World]:
    """A company of 80 transaction lines, whose pages are as much smaller."""
    sizes = {"page_size": SCALED["regular"], "large_page_size": SCALED["sync"]}
    with _world(folder, invoices=10, **sizes) as world:
        yield world


@contextmanager
def _world(folder: Path, **settings: Any) -> Iterator[World]:
    box = make_box(companies=1, **settings)
    with box.serve() as url:
        world = World(box, url, folder)
        world.bury(world.division, 2)
        yield world


@contextmanager
def _scale_of(world: World) -> Iterator[None]:
    """Let ``verify`` assume the page sizes of the scaled world, and make no call through a socket."""
    if world.box.settings.page_size != SCALED["regular"]:
        yield
        return
    small = {k: (name, min(rows, 5 * SCALED[k] // 6)) for k, (name, rows) in SMALL_PAGES.items()}
    transport = httpx.ASGITransport(world.box.app, raise_app_exceptions=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exact_source.verify.paging.PAGE_SIZES", SCALED)
        patch.setattr("exact_source.sandbox.deviations.sizes.SMALL_PAGES", small)
        patch.setattr("exact_source.verify.schema.parse_csdl", PARSE_ONCE)
        patch.setattr("exact_source.client.observing.AiohttpTransport", lambda *_: transport)
        # httpx looks for trio at each call, which takes longer than many answers.
        patch.setattr("httpx._transports.asgi.is_running_trio", lambda: False)
        yield


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

    async def ask() -> Verification:
        async with world.make_read_only_run(observe=observe).connected() as client:
            return await verify(client, world.division, listeners.append)

    try:
        with world.watch() as calls, _scale_of(world):
            found = asyncio.run(ask())
    finally:
        active.clear()
    assert len(calls) == found.calls <= 80
    assert {call.method for call in calls.all} == {"GET"}
    refused = [status for status in calls.statuses() if status in ERRORS]
    assert len(refused) == found.refusals <= 2
    return found


def leaks(world: World, found: Verification) -> set[str]:
    """Values of rows that the report or the JSON contains, if they are long enough to be told apart."""
    text = markdown(found) + json.dumps(document(found))
    words = set(re.findall(r"[\w.@-]+", text))
    return {word for word in words if len(word) >= 4} & _values(world) - ALLOWED


ALLOWED = {"Amsterdam", "True", "False", "None", "1000", "5000"}
READ = (
    "crm/Accounts", "financialtransaction/TransactionLines", "financial/GLAccounts", "sync/Deleted",
    "read/financial/JournalStatusList",
)  # fmt: skip


def _values(world: World) -> set[str]:
    rows = (row for path in READ for row in world.box.rows(path, world.division))
    texts = {str(value).strip() for row in rows for value in row.values()}
    return texts | {text.upper() for text in texts} | {str(world.division)}


def names(found: Verification, verdict: str) -> set[str]:
    """The checks with this verdict."""
    return {f.check.name for f in found.findings if f.seen.verdict == verdict}
