"""How close to the limits many companies are read, in an event loop whose time is moved, not waited for."""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import httpx
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import harmless_filter, plan_feeds
from exact_source.client.call import Call
from exact_source.client.client import ExactClient
from exact_source.client.limits import Limits
from exact_source.client.lists import read_all
from exact_source.engine.run import Run
from exact_source.odata.page import PageSchema
from exact_source.options import ROUND_ROWS, ROUND_S
from exact_source.sandbox import Sandbox, SandboxClock
from exact_source.source import make_options
from exact_source.sync.outcome import Outcome
from exact_source.sync.runner import sync
from tests.support.world import billed, feed_path

ENTITIES = (
    "journals", "gl_accounts", "accounts", "contacts", "items", "sales_orders", "sales_invoices",
    "sales_order_lines", "sales_invoice_lines", "transaction_lines",
)  # fmt: skip
START = 1_772_000_000.0 // 60 * 60 + 7.0  # somewhere in a minute
LATENCY_S = 0.3
TURN_S = 0.001  # real time in which other threads show that they have work
OWN_S = 0.0003  # of it, CPU that the loop needs for itself


class Jumps(SandboxClock):
    """Time as the sum of the waits that event loops skipped: the sandbox's and the client's."""

    def __init__(self) -> None:
        super().__init__(START, frozen=True)
        self.sum_s = 0.0

    def now(self) -> float:
        return START + self.sum_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def new_loop(self) -> JumpingLoop:
        return JumpingLoop(self)


class JumpingSelector(selectors.DefaultSelector):
    """Waits for other threads only: where a loop would sleep, time jumps."""

    def __init__(self, jumps: Jumps) -> None:
        super().__init__()
        self.jumps = jumps

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(None if timeout is None else 0)
        while not events and timeout:
            before = time.process_time()
            events = super().select(TURN_S)
            if not events and time.process_time() - before < OWN_S and not others_run():
                self.jumps.sum_s += timeout
                break
        return events


def others_run() -> bool:
    """Whether another thread of this process runs, or would if the machine were less busy."""
    own = str(threading.get_native_id())
    files = [task / "stat" for task in Path("/proc/self/task").glob("*") if task.name != own]
    return any(state_of(file) in {"R", "D"} for file in files)


def state_of(file: Path) -> str:
    """State of a thread: R is running or could, D waits for a disk; empty once it has ended."""
    with suppress(OSError):
        return file.read_text().rpartition(")")[2].split()[0]
    return ""


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that waits for nothing."""

    def __init__(self, jumps: Jumps) -> None:
        self.jumps = jumps
        super().__init__(JumpingSelector(jumps))

    def time(self) -> float:
        return self.jumps.sum_s


class Token:
    """A token that was handed over; how it is renewed is tested elsewhere."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def access_token(self) -> str:
        return self._text

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        return access_token


def connect(box: Sandbox, limits: Limits) -> ExactClient:
    return ExactClient(
        Token(box.issue_tokens()["access_token"]),
        "http://sandbox",
        limits=limits,
        clock=box.clock,  # type: ignore[arg-type]
        transport=httpx.ASGITransport(box.app),
    )


async def read_company(client: ExactClient, division: int) -> None:
    async def read(rank: int, name: str) -> None:
        entity = load_catalogue().entities[name]
        feed = plan_feeds(entity).full
        query = {"$filter": "Timestamp gt 1L" if feed.kind == "sync" else harmless_filter(feed)}
        await read_all(
            client,
            Call(division, feed.path, name, (0.0, rank)),
            PageSchema(entity, feed),
            {k: v for k, v in query.items() if v},
        )

    await asyncio.gather(*(read(rank, name) for rank, name in enumerate(ENTITIES)))


def simulate(box: Sandbox, loop: JumpingLoop, others: Coroutine[Any, Any, None]) -> None:
    """Read all companies side by side."""

    async def everything() -> None:
        client = connect(box, Limits())
        try:
            reads = [read_company(client, division) for division in box.divisions]
            await asyncio.gather(*reads, others)
        finally:
            await client.close()

    loop.run_until_complete(everything())


def least_s(calls: int) -> float:
    """The least seconds that the rules allow for so many calls of one company."""
    seconds_left = 60 - START % 60
    windows = math.ceil(calls / 60)
    if windows == 1:
        return calls * LATENCY_S
    last = calls - 60 * (windows - 1)
    return seconds_left + 60 * (windows - 2) + last * LATENCY_S


@pytest.fixture
def jumps() -> Jumps:
    return Jumps()


def make_box(jumps: Jumps, companies: int, invoices: int = 30, page_size: int = 4) -> Sandbox:
    return Sandbox(
        companies=companies, invoices=invoices, clock=jumps, latency=LATENCY_S,
        page_size=page_size, large_page_size=page_size,
    )  # fmt: skip


@dataclass
class Syncs:
    """Whole syncs, through the source and dlt into DuckDB, in loops whose time is moved."""

    jumps: Jumps
    folder: Path

    def sync(self, box: Sandbox, *entities: str) -> Outcome:
        limits = Limits()
        self.pipeline = dlt.pipeline(
            "exact_online",
            destination=dlt.destinations.duckdb(str(self.folder / "exact.duckdb")),
            dataset_name="pace",
            pipelines_dir=str(self.folder / "pipelines"),
        )
        options = make_options(round_s=ROUND_S, round_rows=ROUND_ROWS)
        run = Run(options, lambda: connect(box, limits), clock=self.jumps, limits=limits)
        return sync(self.pipeline, run, entities or ENTITIES)

    def assert_all_is_there(self, box: Sandbox) -> None:
        for entity in ENTITIES:
            with self.pipeline.sql_client() as client:
                found = client.execute_sql(f"SELECT division, count(*) FROM {entity} GROUP BY 1")
            path = feed_path(entity)
            wanted = {(division, len(box.rows(path, division))) for division in box.divisions}
            assert {tuple(row) for row in found or ()} == wanted


@pytest.fixture
def syncs(jumps: Jumps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Syncs:
    monkeypatch.setattr(asyncio, "new_event_loop", jumps.new_loop)  # where dlt gets its loops
    return Syncs(jumps, tmp_path)


@pytest.mark.nightly
def test_twenty_companies_with_ten_entities_come_within_a_tenth_of_what_the_rules_allow(
    jumps: Jumps, syncs: Syncs
) -> None:
    box = make_box(jumps, 20, invoices=3, page_size=2)

    outcome = syncs.sync(box)

    calls = Counter(r.division for r in billed(box.requests))
    assert outcome.exit_code == 0
    assert min(calls.values()) > 60  # more than a minute allows
    assert {r.status for r in box.requests} == {200}
    assert {box.max_in_flight(d) for d in box.divisions} == {1}
    assert jumps.sum_s <= 1.1 * max(least_s(n) for n in calls.values())
    syncs.assert_all_is_there(box)


def test_hundreds_of_companies_are_read_side_by_side(jumps: Jumps, syncs: Syncs) -> None:
    box = make_box(jumps, 200, invoices=1, page_size=1000)

    outcome = syncs.sync(box, "accounts")

    assert outcome.exit_code == 0
    assert {r.status for r in box.requests} == {200}
    calls = Counter(r.division for r in billed(box.requests))
    assert len(calls) == 200
    assert jumps.sum_s < 20 * LATENCY_S  # one after the other they take a hundred times as long


@pytest.mark.nightly
def test_a_company_with_work_left_uses_all_calls_of_a_minute_over_rounds_and_is_never_refused(
    jumps: Jumps, syncs: Syncs
) -> None:
    box = make_box(jumps, 2, invoices=100)

    outcome = syncs.sync(box)

    assert (outcome.exit_code, outcome.rounds) == (0, 2)
    assert {r.status for r in box.requests} == {200}
    for division in box.divisions:
        minutes = Counter(int(r.at // 60) for r in box.requests if r.division == division)
        *full, _last = (minutes[minute] for minute in range(min(minutes), max(minutes) + 1))
        assert len(full) >= 5
        assert min(full) >= 0.98 * 60
    syncs.assert_all_is_there(box)


def test_calls_that_others_take_are_waited_out_without_an_error(jumps: Jumps) -> None:
    box = make_box(jumps, 2)
    division = box.divisions[0]

    async def others() -> None:
        for _ in range(40):
            box.consume(division, 5)
            await asyncio.sleep(4)

    with closing(jumps.new_loop()) as loop:
        simulate(box, loop, others())

    assert {r.status for r in box.requests} <= {200, 429}
    for path in ("bulk/Financial/TransactionLines", "sync/CRM/Accounts"):
        rows = sum(r.rows for r in box.requests if r.path == path and r.division == division)
        assert rows == len(box.rows(path, division))
