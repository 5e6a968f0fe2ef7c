"""A server of prepared pages: the replies of a division with many transaction lines, as fast as possible.

    python benchmarks/canned.py FOLDER ROWS PAGE_SIZE [CHANGED]

A request for all rows gets ROWS rows; a request for changes gets CHANGED rows (default: none) with keys spread
over the table. Other endpoints are empty. ``/calls`` is the number of requests.

It runs in a separate process and writes all pages to files before it reports that it is ready, so that making
pages does not slow the measured process. The pages come from a template and differ in keys, numbers and dates;
the announced limits are very high. Prints its address on stdout.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from exact_source.catalogue import load_catalogue

ENTITY = load_catalogue().entities["transaction_lines"]
PATH = "bulk/Financial/TransactionLines"
DIVISION = 123456
SKIPPED = {
    "CustomField", "ExternalLinkDescription", "ExternalLinkReference", "PaymentDiscountAmount",
    "ProjectWBS", "ProjectWBSDescription", "SerialNumber", "ShopOrder", "Subscription",
    "SubscriptionDescription", "TrackingNumber", "TrackingNumberDescription", "VATCodeDescription",
    "VATType",
}  # fmt: skip
FIELDS = [f for f in ENTITY.feeds["bulk"].columns if f not in SKIPPED]
WORDS = ["Verkoop", "Inkoop", "Factuur", "Kantoor", "Huur", "Bank", "é&ü", "O'Neil"]
NULLS = {"Asset", "AssetCode", "CostUnit", "Document", "Item", "ItemCode", "Notes", "Project"}
START_MS = 1_577_836_800_000
EMPTY = b'{"d":{"results":[]}}'
HEADERS = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n"
    "X-RateLimit-Limit: 100000000\r\nX-RateLimit-Remaining: 99999999\r\n"
    "X-RateLimit-Minutely-Limit: 100000000\r\nX-RateLimit-Minutely-Remaining: 99999999\r\n\r\n"
)


def value(field: str, number: int, rnd: random.Random) -> Any:
    type_code = ENTITY.columns[field].type_code
    if field == "ID":
        return str(uuid.UUID(int=(number << 64) | 0x8000000000000001))
    if field == "Division":
        return DIVISION
    if field == "Modified":
        return f"/Date({START_MS + number * 1000})/"
    if field in NULLS and rnd.random() < 0.5:
        return None
    if type_code == "g":
        return str(uuid.UUID(int=rnd.getrandbits(128)))
    if type_code == "s":
        return f"{rnd.choice(WORDS)} {rnd.randrange(100_000)}"
    if type_code == "t":
        return f"/Date({START_MS + rnd.randrange(10**11)})/"
    if type_code in "fm":
        return round(rnd.uniform(-9999, 9999), 2)
    return bool(rnd.random() < 0.5) if type_code == "b" else rnd.randrange(1, 30_000)


@lru_cache(maxsize=4)
def page(first: int, size: int, link: str | None) -> bytes:
    rnd = random.Random(first)
    rows = []
    for number in range(first, first + size):
        meta = {
            "uri": f"http://x/api/v1/{DIVISION}/{PATH}(guid'x')",
            "type": "Exact.TransactionLine",
        }
        rows.append({"__metadata": meta, **{f: value(f, number, rnd) for f in FIELDS}})
    body: dict[str, Any] = {"results": rows}
    if link is not None:
        body["__next"] = link
    return json.dumps({"d": body}, separators=(",", ":"), ensure_ascii=False).encode()


@lru_cache(maxsize=1)
def template(size: int) -> tuple[bytes, ...]:
    """Eight different pages that are renumbered, because making every row would be the slowest part."""
    return tuple(page(n * size, size, None) for n in range(8))


def body(first: int, total: int, size: int, base: str, stride: int = 1) -> bytes:
    """A page with its own keys: the template's keys shifted to ``first``, ``stride`` apart."""
    which = (first // size) % 8
    text = template(size)[which]
    # Keys are hex numbers with a fixed width, so a page is moved by rewriting them.
    out = []
    parts = text.split(b'"ID":"')
    out.append(parts[0])
    for offset, part in enumerate(parts[1:]):
        if first + offset >= total:  # the last page may be shorter
            out[-1] = out[-1][: out[-1].rindex(b",{")] + b"]}}"
            break
        number = (first + offset) * stride
        key = str(uuid.UUID(int=(number << 64) | 0x8000000000000001)).encode()
        out.append(b'"ID":"' + key + part[36:])
    text = b"".join(out)
    after = first + size
    if after < total:
        changes = "&changes" if stride > 1 else ""
        link = f"{base}/api/v1/{DIVISION}/{PATH}?$skiptoken={after}{changes}"
        text = text[:-2] + b',"__next":"' + link.encode() + b'"}}'
    return text


def write_pages(folder: Path, total: int, size: int, base: str, stride: int = 1) -> None:
    """A file for each page, named after the number of its first row."""
    folder.mkdir()
    for first in range(0, total, size):
        (folder / str(first)).write_bytes(body(first, total, size, base, stride))


DIVISION_ROW = {
    "Code": DIVISION, "Description": "Bench", "BlockingStatus": 0, "DivisionMoveDate": None,
}  # fmt: skip
SHORT_ANSWERS = {
    "Divisions": json.dumps({"d": {"results": [DIVISION_ROW]}}).encode(),
    "UserHasRights": b'{"d":{"UserHasRights":true}}',
}


def file_for(folder: Path, query: dict[str, list[str]]) -> Path:
    """Number of the requested page; the first one for all rows or for changes."""
    first = query.get("$skiptoken", ["0"])[0]
    text = query.get("$filter", [""])[0]
    asks_for_all = "changes" not in query and ("1900" in text or not text)
    return folder / ("all" if asks_for_all else "changes") / first


async def main(folder: Path, total: int, size: int, changed: int = 0) -> None:
    loop = asyncio.get_running_loop()
    calls = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        while line := await reader.readline():
            url = urlsplit(line.decode().split(" ")[1])
            while (await reader.readline()) not in (b"\r\n", b""):
                pass
            calls += url.path != "/calls"
            file = file_for(folder, parse_qs(url.query, keep_blank_values=True))
            if url.path.endswith(PATH) and file.exists():
                writer.write(HEADERS.format(size=file.stat().st_size).encode())
                await writer.drain()
                with file.open("rb") as rows:
                    await loop.sendfile(writer.transport, rows)
            else:
                data = SHORT_ANSWERS.get(url.path.rpartition("/")[2], EMPTY)
                data = str(calls).encode() if url.path == "/calls" else data
                writer.write(HEADERS.format(size=len(data)).encode() + data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 20)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    write_pages(folder / "all", total, size, base)
    if changed:
        write_pages(folder / "changes", changed, size, base, total // changed)
    print(base, flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
