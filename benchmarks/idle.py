"""What calls without news take: a second sync of many companies of which none has a new row.

    python -m benchmarks.idle [--companies 50,500,5000] [--entities 16] [--json FILE]

Each line is a process of its own, over real sockets; a server in another process answers every call at once.
What counts starts with the sync and ends with its commit; the import and the first sync do not count.
``--profile`` shows where the time goes, and needs no server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.environments import OURS, prepare, program

ENTITIES = 15  # with sync/Deleted sixteen calls for each company
FIRST_CODE = 100_000
EMPTY = b'{"d":{"results":[]}}'


def companies_body(count: int) -> bytes:
    rows = (
        {
            "Code": FIRST_CODE + n, "Description": f"Company {n}", "BlockingStatus": 0,
            "DivisionMoveDate": None,
        }
        for n in range(count)
    )  # fmt: skip
    return json.dumps({"d": {"results": list(rows)}}).encode()


def me_body() -> bytes:
    return json.dumps({"d": {"results": [{"UserID": "x", "CurrentDivision": FIRST_CODE}]}}).encode()


def answer(path: str, companies: bytes) -> bytes:
    name = path.partition("?")[0].rpartition("/")[2]
    if name == "Divisions":
        return companies
    if name == "Me":
        return me_body()
    return b'{"d":{"UserHasRights":true}}' if name == "UserHasRights" else EMPTY


def headers() -> dict[str, str]:
    left = {f"X-RateLimit-{kind}Remaining": "99999999" for kind in ("", "Minutely-")}
    now_ms = str(int(time.time() // 86_400 + 1) * 86_400_000)
    return {
        "Content-Type": "application/json; charset=utf-8", "Cache-Control": "private",
        "X-RateLimit-Limit": "100000000", "X-RateLimit-Minutely-Limit": "100000000", **left,
        "X-RateLimit-Reset": now_ms, "X-RateLimit-Minutely-Reset": now_ms,
        "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
    }  # fmt: skip


async def serve(count: int) -> None:
    """Answer every call; prints the address on stdout."""
    companies = companies_body(count)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readline():
            while (await reader.readline()) not in (b"\r\n", b""):
                pass
            body = answer(request.decode().split(" ")[1], companies)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers().items())
            head = f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def served(count: int):
    command = [sys.executable, "-m", "benchmarks.idle", "--serve", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


# -- the client ------------------------------------------------------------------------------------


class Token:
    async def access_token(self) -> str:
        return "token"

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        raise AssertionError(date)


def in_process(count: int) -> Any:
    """A transport that answers by itself."""
    import httpx

    from exact_source.client.transport import url_of

    companies, sent = companies_body(count), headers()

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers=sent, content=answer(url_of(request), companies))

    return Transport()


def sync_all(pipeline: Any, base: str, entities: int, transport: Any = None) -> int:
    """Sync the companies once; returns the calls."""
    from exact_source.cli.gc_tuning import infrequent_gc
    from exact_source.client.client import ExactClient
    from exact_source.client.limits import DivisionLimits, Limits
    from exact_source.clock import SystemClock
    from exact_source.engine.run import Run
    from exact_source.options import ROUND_ROWS, ROUND_S
    from exact_source.source import choose_entities, load_catalogue, make_options
    from exact_source.sync.runner import sync

    limits, clock = Limits(), SystemClock()

    def unlimited() -> DivisionLimits:
        found = DivisionLimits()
        found.minute.limit = found.day.limit = 10**8
        return found

    limits.divisions.default_factory = unlimited
    run = Run(
        make_options(round_s=ROUND_S, round_rows=ROUND_ROWS),
        lambda: ExactClient(Token(), base, limits=limits, clock=clock, transport=transport),
        clock=clock,
        limits=limits,
    )
    catalogue = load_catalogue()
    names = [
        n for n in choose_entities(None, catalogue) if "function" not in catalogue.entities[n].feeds
    ]
    with infrequent_gc():
        outcome = sync(pipeline, run, names[:entities])
    assert outcome.exit_code == 0, outcome
    return outcome.calls


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def make_pipeline(folder: str) -> Any:
    import dlt

    return dlt.pipeline(
        "idle", destination=dlt.destinations.duckdb(f"{folder}/idle.duckdb"),
        dataset_name="exact_online", pipelines_dir=f"{folder}/dlt",
    )  # fmt: skip


def one_sync(base: str, folder: str, entities: int) -> None:
    """One sync in this process; prints what it took."""
    pipeline = make_pipeline(folder)
    import exact_source.sync.runner  # noqa: F401 (imports are start-up)

    cpu, wall = cpu_s(), time.perf_counter()
    calls = sync_all(pipeline, base, entities)
    print(
        json.dumps({
            "calls": calls, "cpu_s": round(cpu_s() - cpu, 3), "total_cpu_s": round(cpu_s(), 3),
            "wall_s": round(time.perf_counter() - wall, 3),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        })
    )  # fmt: skip


def measure(companies: int, entities: int) -> dict[str, Any]:
    """Sync twice, in two processes and an environment with this package alone; returns what the second took."""
    prepare("ours", OURS)
    with tempfile.TemporaryDirectory() as folder, served(companies) as base:
        for _ in range(2):
            text = subprocess.run(
                [program("ours", "python"), "-m", "benchmarks.idle", "--sync", base, folder, str(entities)],
                stdout=subprocess.PIPE, text=True, check=True,
            ).stdout  # fmt: skip
    found = json.loads(text.strip().splitlines()[-1])
    found["cpu_ms_per_call"] = round(found["cpu_s"] / found["calls"] * 1000, 3)
    return {"companies": companies, "entities": entities, **found}


def measure_often(companies: int) -> dict[str, Any]:
    """One stream for a single company, else all; the median of three, but of thousands one alone."""
    entities = 1 if companies == 1 else ENTITIES
    turns = 1 if companies > LONG else 3
    found = [measure(companies, entities) for _ in range(turns)]
    return sorted(found, key=lambda one: one["cpu_s"])[len(found) // 2]


def profile(companies: int, entities: int) -> None:
    """Print where the time of a second sync goes, in all of its threads."""
    import cProfile
    import pstats
    import threading

    profilers: list[cProfile.Profile] = []
    run = threading.Thread.run

    def profiled_run(thread: threading.Thread) -> None:
        profilers.append(profiler := cProfile.Profile(time.thread_time))
        profiler.runcall(run, thread)

    with tempfile.TemporaryDirectory() as folder:
        pipeline, transport = make_pipeline(folder), in_process(companies)
        sync_all(pipeline, "http://127.0.0.1:1", entities, transport)
        cpu = cpu_s()
        calls = sync_all(pipeline, "http://127.0.0.1:1", entities, transport)
        cpu = cpu_s() - cpu
        print(
            f"{calls} calls, {cpu:.2f} s CPU without the profiler, {cpu / calls * 1e3:.2f} ms a call"
        )
        threading.Thread.run = profiled_run  # type: ignore[method-assign]
        profilers.append(main := cProfile.Profile(time.thread_time))
        main.runcall(sync_all, pipeline, "http://127.0.0.1:1", entities, transport)
    for profiler in profilers:
        profiler.create_stats()
        if sum(entry[2] for entry in profiler.stats.values()) > 0.1:  # type: ignore[attr-defined]
            stats = pstats.Stats(profiler)
            stats.sort_stats("tottime").print_stats(40)
            stats.sort_stats("cumulative").print_stats(80)


LONG = 1000  # companies whose sync takes minutes
NAMES = (
    "companies", "entities", "calls", "cpu_s", "wall_s", "cpu_ms_per_call", "total_cpu_s", "peak_mb",
)  # fmt: skip
LINE = "{:>9} {:>8} {:>8} {:>8} {:>8} {:>15} {:>11} {:>8}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--companies", default="50,500,5000")
    parser.add_argument("--entities", type=int, default=ENTITIES)
    parser.add_argument("--json")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", type=int)
    parser.add_argument("--sync", nargs=3)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return
    if options.sync:
        base, folder, entities = options.sync
        one_sync(base, folder, int(entities))
        return
    counts = [int(n) for n in options.companies.split(",")]
    if options.profile:
        profile(counts[0], options.entities)
        return
    print(LINE.format(*NAMES))
    results = []
    for count in counts:
        found = measure(count, options.entities)
        results.append(found)
        print(LINE.format(*(found[name] for name in NAMES)), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
if __name__ == "__main__":
    main()
