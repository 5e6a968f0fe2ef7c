"""CPU milliseconds of a page, by transport: httpx's own, that of httpx2, and ours over aiohttp.

    python -m benchmarks.transport

A server in a process of its own sends a page of 60 rows and one of 2 MB. The transports take turns, and the CPU time
of this process is measured, so a busy machine slows all of them alike. Prints the medians of five turns. httpx2 is
measured if it is installed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from benchmarks.pages import page
from exact_source.client.transport import AiohttpTransport

TURNS = 5
# Rows -> pages in one turn.
SIZES = {60: 200, 1000: 40}


def serve(port: Any) -> None:
    bodies = {rows: page(rows) for rows in SIZES}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # the client has closed its connection
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = bodies[int(head.split()[1].strip(b"/"))]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def turn(make: Callable[[], Any], module: Any, url: str, count: int) -> float:
    """CPU milliseconds of one page."""
    async with make() as transport:
        size = 0
        for n in range(count + 5):
            if n == 5:  # connected, and imported what it needs
                began = time.process_time()
            request = module.Request("GET", url, headers={"Accept": "application/json"})
            reply = await transport.handle_async_request(request)
            size += len(await reply.aread())
        assert size > count * 1000
        return (time.process_time() - began) / count * 1000


def main() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    origin = f"http://127.0.0.1:{ours.recv()}"
    kinds: dict[str, tuple[Callable[[], Any], Any]] = {
        "httpx": (httpx.AsyncHTTPTransport, httpx),
        "aiohttp": (lambda: AiohttpTransport(origin), httpx),
    }
    if importlib.util.find_spec("httpx2"):
        httpx2 = importlib.import_module("httpx2")
        kinds["httpx2"] = (httpx2.AsyncHTTPTransport, httpx2)
    for rows, count in SIZES.items():
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(TURNS):
            for name, (make, module) in kinds.items():
                found[name].append(asyncio.run(turn(make, module, f"{origin}/{rows}", count)))
        for name, figures in found.items():
            middle, least = statistics.median(figures), min(figures)
            print(f"{rows:>5} rows  {name:8} median {middle:.2f} ms  least {least:.2f} ms")
    server.terminate()


if __name__ == "__main__":
    main()
