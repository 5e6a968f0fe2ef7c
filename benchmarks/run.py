"""End to end, side by side, on the same bytes: ``make bench``.

    python benchmarks/run.py [--parts FROM_THE_LIST_BELOW] [--rows 200000] [--json FILE]

Each route runs in a process of its own; CPU seconds and peak memory are that process's, from the kernel.
FILE keeps the parts that are not measured again.

- ``ours``: this project, as ``exact-source sync`` loads, cursor state and all; ``floor``: DuckDB reads the same bodies from files.
- ``rest_api`` and ``dicts``: dlt's ways without Arrow, on fewer rows because they are slow.
- ``change``: 1 % of the rows changed and are merged; ``empty``: fifty entities without news (rows are calls).
- ``idle``: many companies without news, a call each for every entity; ``parsers`` are a table of their own.
- ``memory``: ``ours`` at a tenth of the rows, at all, and at five times as many.
- ``start``: the command's help and the import of the source, beside what they cannot do without: Python, dlt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent


@contextmanager
def canned(rows: int, page: int, changed: int = 0):
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, str(HERE / "canned.py"), folder, str(rows), str(page), str(changed)],
            stdout=subprocess.PIPE, text=True, cwd=HERE.parent, env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        )  # fmt: skip
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()
            server.wait()


def measure(route: str, rows: int, page: int, destination: str = "duckdb") -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        place = opened.enter_context(empty_database()) if destination == "postgres" else destination
        if route == "change":
            with canned(rows, page) as base:
                run_route("ours", base, folder, place)
        base = opened.enter_context(canned(rows, page, rows // 100 if route == "change" else 0))
        if route == "floor":
            save_bodies(Path(folder), base)
        return {"page": page, "destination": destination} | run_route(route, base, folder, place)


def run_route(route: str, base: str, folder: str, place: str) -> dict[str, Any]:
    """What a route took in a process of its own, its start-up left out."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(HERE / "routes.py"), route, base, folder, place],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(HERE.parent)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{route} failed")
    counted = json.loads(out.strip().splitlines()[-1])
    cpu = usage.ru_utime + usage.ru_stime - counted["start_cpu_s"]
    wall -= counted["start_wall_s"]
    return {
        "route": route, "rows": counted["rows"],
        "wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "rows_per_s": round(counted["rows"] / wall),
        "cpu_us_per_row": round(cpu / counted["rows"] * 1e6, 1),
        "peak_mb": usage.ru_maxrss // 1024, "arrow_mb": counted["arrow_bytes"] >> 20, "start_s": round(counted["start_wall_s"], 2),
    }  # fmt: skip


@contextmanager
def empty_database():
    """A Postgres from its wheel, as the tests start it."""
    from tests.support.postgres import fresh_database

    with fresh_database() as dsn:
        yield dsn


def save_bodies(folder: Path, base: str) -> None:
    """The floor reads files: the same bodies, fetched before the clock starts."""
    import httpx

    url, number = f"{base}/api/v1/123456/bulk/Financial/TransactionLines", 0
    while url:
        body = httpx.get(url).content
        (folder / f"page{number:05}.json").write_bytes(body)
        _, found, link = body[-200:].rpartition(b'"__next":')
        url, number = json.loads(link.rstrip(b"}")) if found else "", number + 1


HEADER = (
    "route",
    "into",
    "rows",
    "page",
    "wall s",
    "CPU s",
    "rows/s",
    "CPU us/row",
    "peak MB",
    "Arrow",
)
LINE = "{:10} {:9} {:>9} {:>5} {:>7} {:>7} {:>8} {:>10} {:>8} {:>6}"
FIELDS = (
    "route", "destination", "rows", "page", "wall_s", "cpu_s", "rows_per_s", "cpu_us_per_row", "peak_mb",
    "arrow_mb",
)  # fmt: skip
PARTS = {
    "pages of 1,000": [("floor", 1, 1000, "duckdb"), ("ours", 1, 1000, "duckdb"), ("dicts", 0.05, 1000, "duckdb"), ("rest_api", 0.05, 1000, "duckdb")],
    "pages of 60": [("floor", 0.3, 60, "duckdb"), ("ours", 0.3, 60, "duckdb"), ("rest_api", 0.03, 60, "duckdb")],
    "postgres": [("ours", 0.6, 1000, "postgres"), ("dicts", 0.05, 1000, "postgres")],
    "change": [("change", 0.6, 1000, "duckdb"), ("change", 3, 1000, "duckdb"), ("change", 0.6, 1000, "postgres")],
    "empty": [("empty", 0.001, 1000, "duckdb")],
    "memory": [("ours", 0.1, 1000, "duckdb"), ("ours", 1, 1000, "duckdb"), ("ours", 3, 1000, "duckdb"), ("ours", 0.1, 1000, "postgres"), ("ours", 3, 1000, "postgres")],
}  # fmt: skip
# What is compared is measured so often, and the median counts; the others take minutes.
TURNS, OFTEN = (
    5,
    {
        ("pages of 1,000", "floor"),
        ("pages of 1,000", "ours"),
        ("pages of 60", "floor"),
        ("pages of 60", "ours"),
        ("empty", "empty"),
    },
)
# What comes before the first call; the medians of so many starts of each, in turns.
START = {
    "python": ("-c", "pass"),
    "help": ("-m", "exact_source", "--help"),
    "import dlt": ("-c", "import dlt"),
    "libraries": ("-c", "import dlt, httpx, pyarrow, pyarrow.compute, duckdb"),
    "import": ("-c", "from exact_source import exact_online"),
}
# Parts that do not measure rows; companies of an idle sync.
OTHERS = ("idle", "start")
IDLE_COMPANIES = (1, 50, 500, 5000)
START_FIELDS = ("route", "wall_s", "cpu_s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--parts", "--only", dest="only", default=",".join([*PARTS, *OTHERS]))
    parser.add_argument("--starts", type=int, default=9)
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    for part in (name for name in PARTS if name in options.only):
        print(f"\n{part}\n{LINE.format(*HEADER)}")
        found = measure_part(part, options.rows)
        say_ratios(found)
        results += [{"part": part} | r for r in found]
    if "idle" in options.only:
        results += measure_idle()
    if "start" in options.only:
        results += measure_start(options.starts)
    if options.json:
        from benchmarks.canned import FIELDS as FIELDS_OF_A_LINE

        found = {"machine": machine(), "columns": len(FIELDS_OF_A_LINE), "results": results}
        file = Path(options.json)
        file.write_text(json.dumps(with_earlier(found, file), indent=1) + "\n")


def with_earlier(found: dict[str, Any], file: Path) -> dict[str, Any]:
    """What was measured now, and the other parts as they were measured on this machine before."""
    earlier = json.loads(file.read_text()) if file.exists() else {}
    if any(earlier.get(name) != found[name] for name in ("machine", "columns")):
        return found
    now = {r["part"] for r in found["results"]}
    kept = [r for r in earlier["results"] if r["part"] not in now]
    parts = [*PARTS, *OTHERS]
    in_order = sorted([*kept, *found["results"]], key=lambda r: parts.index(r["part"]))
    return found | {"results": in_order}


def measure_part(part: str, rows: int) -> list[dict[str, Any]]:
    """Each route's median run by CPU; the machine is not as fast at all times, so they take turns."""
    runs: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for turn in range(TURNS):
        for case in PARTS[part]:
            route, times, page, destination = case
            if turn and (part, route) not in OFTEN:
                continue
            r = measure(route, int(rows * times), page, destination)
            runs.setdefault(case, []).append(r)
            print(LINE.format(*(show(r[name]) for name in FIELDS)), flush=True)
    return [sorted(found, key=lambda r: r["cpu_s"])[len(found) // 2] for found in runs.values()]


def machine() -> str:
    """What was measured on, in words."""
    import duckdb
    import pyarrow

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return (
        f"{os.cpu_count()} cores, {memory} GB of memory, Python {sys.version.split()[0]}, "
        f"DuckDB {duckdb.__version__}, pyarrow {pyarrow.__version__}"
    )


def measure_idle() -> list[dict[str, Any]]:
    """The second sync of companies that have nothing new; medians of three, but of the longest."""
    from benchmarks.idle import LINE as IDLE_LINE
    from benchmarks.idle import NAMES, measure_often

    print(f"\nidle\n{IDLE_LINE.format(*NAMES)}")
    found = []
    for companies in IDLE_COMPANIES:
        found.append({"part": "idle", "route": "idle"} | measure_often(companies))
        print(IDLE_LINE.format(*(show(found[-1][name]) for name in NAMES)), flush=True)
    return found


def measure_start(times: int) -> list[dict[str, Any]]:
    """Medians of each start, and what ours add to those that they cannot do without."""
    line = "{:13} {:>7} {:>7}"
    print(f"\nstart, medians of {times}\n{line.format('route', 'wall s', 'CPU s')}")
    took = {route: [] for route in START}
    for number in range(times + 1):  # the first one fills the caches
        for route, arguments in START.items():
            seconds = start(arguments)
            took[route] += [seconds] if number else []
    found = []
    for route, runs in took.items():
        wall, cpu = (round(median(each), 3) for each in zip(*runs, strict=True))
        found.append({"part": "start", "route": route, "wall_s": wall, "cpu_s": cpu})
        print(line.format(*(show(found[-1][name]) for name in START_FIELDS)), flush=True)
    by = {r["route"]: r for r in found}
    for ours, base in (("help", "python"), ("import", "import dlt"), ("import", "libraries")):
        more = {name: by[ours][name] - by[base][name] for name in ("wall_s", "cpu_s")}
        print(f"{ours} over {base}: {more['wall_s']:.3f} s wall, {more['cpu_s']:.3f} s CPU")
    return found


def start(arguments: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a new Python that does this."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise SystemExit(f"{arguments} failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def show(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def say_ratios(found: list[dict[str, Any]]) -> None:
    by = {r["route"]: r for r in found}
    if {"floor", "ours"} <= by.keys():
        ratio = by["ours"]["cpu_us_per_row"] / by["floor"]["cpu_us_per_row"]
        print(f"CPU per row, ours : floor = {ratio:.2f}")
    for slow in ("rest_api", "dicts"):
        if {slow, "ours"} <= by.keys():
            ratio = by["ours"]["rows_per_s"] / by[slow]["rows_per_s"]
            print(f"rows a second, ours : {slow} = {ratio:.1f}")


if __name__ == "__main__":
    main()
