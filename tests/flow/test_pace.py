"""How close to the limits many companies are read, in an event loop whose time is moved, not waited for."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from exact_source.client import ExactClient, Target
from exact_source.entities import load_catalogue
from exact_source.feeds import harmless_filter, plan_feeds
from exact_source.limits import Limits
from exact_source.listing import read_all
from exact_source.pages import PageSchema
from exact_source.sandbox import Sandbox, SandboxClock

ENTITIES = (
    "journals", "gl_accounts", "accounts", "contacts", "items", "sales_orders", "sales_invoices",
    "sales_order_lines", "sales_invoice_lines", "transaction_lines",
)  # fmt: skip
START = 1_772_000_000.0 // 60 * 60 + 7.0  # somewhere in a minute
LATENCY_S = 0.3


class JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: where a loop would sleep, its time jumps."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events and timeout:
            self.jumped_s += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the sum of the waits that it skipped."""

    def __init__(self) -> None:
        self.jumps = JumpingSelector()
        super().__init__(self.jumps)

    def time(self) -> float:
        return self.jumps.jumped_s


class LoopClock(SandboxClock):
    """The sandbox's and the client's time: that of the loop."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__(START, frozen=True)
        self._loop = loop

    def now(self) -> float:
        return START + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Token:
    """A token that was handed over; how it is renewed is tested elsewhere."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def access_token(self) -> str:
        return self._text

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        return access_token


async def read_company(client: ExactClient, division: int) -> None:
    async def read(rank: int, name: str) -> None:
        entity = load_catalogue().entities[name]
        feed = plan_feeds(entity).full
        query = {"$filter": "Timestamp gt 1L" if feed.kind == "sync" else harmless_filter(feed)}
        await read_all(
            client,
            Target(division, feed.path, name, rank),
            PageSchema(entity, feed),
            {k: v for k, v in query.items() if v},
        )

    await asyncio.gather(*(read(rank, name) for rank, name in enumerate(ENTITIES)))


def simulate(
    box: Sandbox, loop: JumpingLoop, others: Coroutine[Any, Any, None] | None = None
) -> float:
    """Read all companies side by side; gives the seconds that it took."""

    async def everything() -> None:
        client = ExactClient(
            Token(box.issue_tokens()["access_token"]),
            "http://sandbox",
            limits=Limits(),
            clock=box.clock,  # type: ignore[arg-type]
            transport=httpx.ASGITransport(box.app),
        )
        try:
            reads = [read_company(client, division) for division in box.divisions]
            await asyncio.gather(*reads, *([others] if others else []))
        finally:
            await client.close()

    loop.run_until_complete(everything())
    return loop.time()


def least_s(calls: int) -> float:
    """The least seconds that the rules allow for so many calls of one company."""
    seconds_left = 60 - START % 60
    windows = math.ceil(calls / 60)
    if windows == 1:
        return calls * LATENCY_S
    last = calls - 60 * (windows - 1)
    return seconds_left + 60 * (windows - 2) + last * LATENCY_S


@pytest.fixture
def loop() -> Any:
    made = JumpingLoop()
    yield made
    made.close()


def make_box(loop: JumpingLoop, companies: int) -> Sandbox:
    return Sandbox(
        companies=companies, invoices=30, clock=LoopClock(loop), latency=LATENCY_S,
        page_size=4, large_page_size=4,
    )  # fmt: skip


def test_twenty_companies_with_ten_entities_come_within_a_tenth_of_what_the_rules_allow(
    loop: JumpingLoop,
) -> None:
    box = make_box(loop, 20)

    took_s = simulate(box, loop)

    calls = Counter(r.division for r in box.requests)
    assert min(calls.values()) > 120  # three minutes' windows at least
    assert {r.status for r in box.requests} == {200}
    assert {box.max_in_flight(d) for d in box.divisions} == {1}
    assert took_s <= 1.1 * max(least_s(n) for n in calls.values())


def test_calls_that_others_take_are_waited_out_without_an_error(loop: JumpingLoop) -> None:
    box = make_box(loop, 2)
    division = box.divisions[0]

    async def others() -> None:
        for _ in range(40):
            box.consume(division, 5)
            await asyncio.sleep(4)

    simulate(box, loop, others())

    assert {r.status for r in box.requests} <= {200, 429}
    for path in ("bulk/Financial/TransactionLines", "sync/CRM/Accounts"):
        rows = sum(r.rows for r in box.requests if r.path == path and r.division == division)
        assert rows == len(box.rows(path, division))
