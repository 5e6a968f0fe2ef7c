"""Makes calls for many companies in parallel, with one call at a time in each (API 2.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

# Number of companies with a call at the same time.
SIDE_BY_SIDE = 50


async def for_each(companies: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for each company; the first error cancels the others and is raised unchanged."""
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(company: T) -> None:
        async with gate:
            await work(company)

    tasks = [asyncio.ensure_future(one(company)) for company in companies]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
