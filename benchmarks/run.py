"""End to end, side by side, on the same bytes: ``make bench``.

    python benchmarks/run.py [--rows 200000] [--page 1000] [--only ours,floor,...] [--json FILE]

Each route runs in a process of its own; CPU seconds and peak memory are that process's, from the
kernel. The routes: ``ours`` (this project, cursor state and all), ``rest_api`` and ``dicts`` (dlt's ways
without Arrow, on fewer rows because they are slow), ``floor`` (DuckDB reads the same bodies from files).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SLOW = {"rest_api", "dicts"}


@contextmanager
def canned(rows: int, page: int):
    server = subprocess.Popen(
        [sys.executable, str(HERE / "canned.py"), str(rows), str(page)],
        stdout=subprocess.PIPE, text=True, cwd=HERE.parent, env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()


def measure(route: str, rows: int, page: int, destination: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, canned(rows, page) as base:
        if route == "floor":
            save_bodies(Path(folder), base)
        argv = [sys.executable, str(HERE / "routes.py"), route, base, folder, destination]
        started = time.perf_counter()
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
            stdout=subprocess.PIPE,
            text=True,
        )
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise SystemExit(f"{route} failed")
    counted = json.loads(out.strip().splitlines()[-1])
    cpu = usage.ru_utime + usage.ru_stime
    start_cpu, start_wall = counted["start_cpu_s"], counted["start_wall_s"]
    return {
        "route": route, "destination": destination, "rows": counted["rows"], "page": page,
        "wall_s": round(wall - start_wall, 2), "cpu_s": round(cpu - start_cpu, 2),
        "rows_per_s": round(counted["rows"] / (wall - start_wall)),
        "cpu_us_per_row": round((cpu - start_cpu) / counted["rows"] * 1e6, 1),
        "peak_mb": usage.ru_maxrss // 1024, "start_s": round(start_wall, 2),
    }  # fmt: skip


def save_bodies(folder: Path, base: str) -> None:
    """The floor reads files: the same bodies, fetched before the clock starts."""
    import httpx

    url, number = f"{base}/api/v1/123456/bulk/Financial/TransactionLines", 0
    while url:
        body = httpx.get(url).content
        (folder / f"page{number:05}.json").write_bytes(body)
        _, found, link = body[-200:].rpartition(b'"__next":')
        url, number = json.loads(link.rstrip(b"}")) if found else "", number + 1


HEADER = ("route", "rows", "page", "wall s", "CPU s", "rows/s", "CPU us/row", "peak MB")
LINE = "{:10} {:>9,} {:>5} {:>7} {:>7} {:>8,} {:>10} {:>8}"
FIELDS = ("route", "rows", "page", "wall_s", "cpu_s", "rows_per_s", "cpu_us_per_row", "peak_mb")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--slow-rows", type=int, default=20_000)
    parser.add_argument("--page", type=int, default=1000)
    parser.add_argument("--only", default="floor,ours,dicts,rest_api")
    parser.add_argument("--destination", default="duckdb")
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    print("{:10} {:>9} {:>5} {:>7} {:>7} {:>8} {:>10} {:>8}".format(*HEADER))
    for route in options.only.split(","):
        rows = min(options.rows, options.slow_rows) if route in SLOW else options.rows
        r = measure(route, rows, options.page, options.destination)
        results.append(r)
        print(LINE.format(*(r[name] for name in FIELDS)), flush=True)
    by = {r["route"]: r for r in results}
    if {"floor", "ours"} <= by.keys():
        print(
            f"CPU per row, ours : floor = {by['ours']['cpu_us_per_row'] / by['floor']['cpu_us_per_row']:.2f}"
        )
    if {"rest_api", "ours"} <= by.keys():
        print(
            f"rows a second, ours : rest_api = {by['ours']['rows_per_s'] / by['rest_api']['rows_per_s']:.1f}"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
