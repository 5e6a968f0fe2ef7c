"""Models the time that many companies take, and its causes: ``python benchmarks/scale.py``.

    python benchmarks/scale.py [--divisions 1,50,500,5000] [--json FILE] [--picture FILE]

The clock is moved; nothing waits. The calls of every company go through the real ``Limits``, their number comes
from the real planner and feeds, and the cost of a row, a call and a load is measured in the same run. First the
model is compared with the real client and the sandbox, with a small number of companies.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import idle
from benchmarks.run import measure
from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.client.limits import DAY_S, Limits
from exact_source.engine.key_sync import calls_for
from exact_source.errors import LimitError

START = 1_772_000_000 // DAY_S * DAY_S + 22 * 3600.0  # two hours before the day of the limits ends
LATENCY_S = 0.3
ROUND_S = 300.0
CONTRACT_CAP = 20_000
PAGE_ROWS = {"sync": 1000, "bulk": 1000}
# Rows of a company with 50,000 transaction lines; others have more or fewer in proportion.
LINES = 50_000
ROWS = {
    "transaction_lines": LINES, "sales_invoice_lines": 12_000, "sales_order_lines": 9_000,
    "sales_invoices": 4_000, "sales_orders": 3_000, "purchase_orders": 1_500, "items": 1_200,
    "contacts": 900, "accounts": 700, "gl_accounts": 400, "projects": 100, "journals": 40,
    "payment_conditions": 20, "vat_codes": 40, "warehouses": 5,
}  # fmt: skip
SIZES = (0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 1, 1, 1, 10)  # of ten companies


@dataclass(frozen=True)
class Cost:
    """CPU seconds per unit of work."""

    row: float = 0.0
    call: float = 0.0
    load: float = 0.0


@dataclass(frozen=True)
class Pages:
    """A number of calls with this many rows each."""

    calls: int
    rows: int


@dataclass(frozen=True)
class Result:
    """The result of one simulation: duration in seconds, calls, and division-seconds by cause."""

    divisions: int
    what: str
    took_s: float
    calls: int
    spent: Mapping[str, float]

    @property
    def binds(self) -> str:
        return max(self.spent, key=lambda cause: self.spent[cause])


def first_load(position: int) -> list[Pages]:
    """All rows of a company."""
    size = SIZES[position % len(SIZES)]
    pages = [Pages(1, 1)]  # sync/Deleted
    for name, rows in ROWS.items():
        kind = plan_feeds(load_catalogue().entities[name]).full.kind
        page_rows = PAGE_ROWS.get(kind, 60)
        pages.append(Pages(calls_for(int(rows * size), page_rows), page_rows))
    return pages


def update(position: int) -> list[Pages]:
    """The changes since yesterday: a page of each entity."""
    size = SIZES[position % len(SIZES)]
    return [Pages(1 + len(ROWS), int(20 * size))]


class Companies:
    """Companies that call as soon as they may; one processor handles replies, and a load stops all of them."""

    def __init__(
        self,
        work: Sequence[list[Pages]],
        cost: Cost,
        limits: Limits,
        start: float,
        latency_s: float,
    ) -> None:
        self.spent: Counter[str] = Counter()
        self.ended_at = start
        self._cost, self._limits, self._latency_s = cost, limits, latency_s
        self._calls = [rows_of_calls(pages) for pages in work]
        self._due = [(start, division) for division in range(len(work))]
        self._free_at = self._round_began = start

    def run(self) -> None:
        while self._due:
            at, division = heapq.heappop(self._due)
            again_at = self._turn(at, division)
            if again_at is None:
                self.ended_at = max(self.ended_at, at)
            else:
                heapq.heappush(self._due, (again_at, division))

    def _turn(self, at: float, division: int) -> float | None:
        """Time at which a company is due again; ``None`` if it has read everything."""
        if at - self._round_began >= ROUND_S and self._cost.load:
            self._free_at = self._round_began = max(at, self._free_at) + self._cost.load
        if at < self._round_began:  # the load at the end of a round is running
            return self._wait("load", at, self._round_began)
        try:
            wait_s = self._limits.wait_s(division, at)
        except LimitError as error:
            cause = "contract" if "contract" in str(error) else "day"
            return self._wait(cause, at, error.resumes_at)
        if wait_s > 0:
            return self._wait("minute", at, at + wait_s)
        rows = next(self._calls[division], None)
        if rows is None:
            return None
        self._limits.spend(division)
        return self._answer(at + self._latency_s, self._cost.call + rows * self._cost.row)

    def _answer(self, at: float, work_s: float) -> float:
        self.spent["one call at a time"] += self._latency_s + work_s
        self.spent["processor"] += max(0.0, self._free_at - at)
        self._free_at = max(at, self._free_at) + work_s
        return self._free_at

    def _wait(self, cause: str, since: float, until: float) -> float:
        self.spent[cause] += until - since
        return until


def simulate(
    what: str,
    work: Sequence[list[Pages]],
    *,
    cost: Cost,
    cap: int | None = None,
    start: float = START,
    latency_s: float = LATENCY_S,
) -> Result:
    """Let all companies read everything concurrently."""
    limits = Limits(contract_cap=cap)
    companies = Companies(work, cost, limits, start, latency_s)
    companies.run()
    return Result(len(work), what, companies.ended_at - start, limits.calls, dict(companies.spent))


def rows_of_calls(pages: Sequence[Pages]) -> Iterator[int]:
    for page in pages:
        for _ in range(page.calls):
            yield page.rows


def calibrate() -> Cost:
    """The costs of this project on this machine, end to end into DuckDB.

    A row costs the difference between a large and a small load. A call costs the difference between idle syncs
    of many and of few companies.
    """
    large, tiny = (measure("ours", rows, 1000, "duckdb") for rows in (200_000, 1_000))
    row = (large["cpu_s"] - tiny["cpu_s"]) / (large["rows"] - tiny["rows"])
    many, few = (idle.measure(companies, idle.ENTITIES) for companies in (500, 50))
    call = (many["cpu_s"] - few["cpu_s"]) / (many["calls"] - few["calls"])
    return Cost(row, call, tiny["wall_s"])


def held_against_the_real_ones(companies: int) -> tuple[float, float]:
    """Seconds that the real client takes against the sandbox in moved time, and those of the model."""
    from tests.cli import test_pace

    jumps = test_pace.Jumps()
    box = test_pace.make_box(jumps, companies)
    with closing(jumps.new_loop()) as loop:
        test_pace.simulate(box, loop, asyncio.sleep(0))
    counted = Counter(r.division for r in box.requests)
    work = [[Pages(counted[d], 0)] for d in box.divisions]
    model = simulate(
        "check", work, cost=Cost(), start=test_pace.START, latency_s=test_pace.LATENCY_S
    )
    return jumps.sum_s, model.took_s


def text_of(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def picture(results: Sequence[Result]) -> str:
    """A bar for each result that shows the causes of the time."""
    colours = {
        "one call at a time": "#9aa5b1", "minute": "#2f6f9f", "day": "#d98b2b", "contract": "#b5413b",
        "processor": "#6a4c93", "load": "#4f9d69",
    }  # fmt: skip
    height = 34 * len(results) + 46
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Where the time of the companies goes">'
    )
    parts = [head, f'<rect width="760" height="{height}" fill="#fff"/>']
    for index, (cause, colour) in enumerate(colours.items()):
        x = 10 + index * 125
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="18">{cause}</text>')
    for index, result in enumerate(results):
        y, x, total = 38 + 34 * index, 250.0, sum(result.spent.values())
        parts.append(f'<text x="10" y="{y + 15}">{result.divisions:,} × {result.what}</text>')
        for cause, colour in colours.items():
            width = 400 * result.spent.get(cause, 0) / total
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="22" fill="{colour}"/>'
            )
            x += width
        parts.append(f'<text x="{x + 8:.0f}" y="{y + 15}">{text_of(result.took_s)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--divisions", default="1,50,500,5000")
    parser.add_argument("--json")
    parser.add_argument("--picture")
    options = parser.parse_args()
    held = []
    for companies in (1, 20):
        real_s, model_s = held_against_the_real_ones(companies)
        held.append({"divisions": companies, "real_s": real_s, "model_s": model_s})
        print(
            f"{companies:>5} against client and sandbox: {real_s:.1f} s, the model says {model_s:.1f} s"
        )
    cost = calibrate()
    print(
        f"a row {cost.row * 1e6:.0f} us, a call {cost.call * 1e3:.1f} ms, a load {cost.load:.1f} s\n"
    )
    results = []
    line = "| {:>9} | {:26} | {:>9} | {:>9} | {:18} | {:>5} |"
    print(line.format("divisions", "what", "calls", "time", "most time goes to", "share"))
    print(line.format("--:", "---", "--:", "--:", "---", "--:"))
    for count in map(int, options.divisions.split(",")):
        for what, pages, cap in (
            ("update", update, None),
            ("first load", first_load, None),
            ("first load, one contract", first_load, CONTRACT_CAP),
        ):
            result = simulate(what, [pages(n) for n in range(count)], cost=cost, cap=cap)
            results.append(result)
            share = result.spent[result.binds] / sum(result.spent.values())
            print(
                line.format(
                    f"{count:,}", what, f"{result.calls:,}", text_of(result.took_s), result.binds,
                    f"{share:.0%}",
                ),
                flush=True,
            )  # fmt: skip
    if options.picture:
        Path(options.picture).write_text(picture(results))
    if options.json:
        found = [asdict(r) | {"binds": r.binds} for r in results]
        Path(options.json).write_text(
            json.dumps({"held": held, "cost": asdict(cost), "results": found}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
