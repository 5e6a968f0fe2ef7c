"""Rows a second from the bytes of a page to a typed table, one thread.

    python benchmarks/pages.py [SECONDS PER ROUTE]

Transaction lines with 60 columns, pages of 1,000 and of 60 rows. The routes take turns on the same
bytes, so that a busy machine slows all of them; CPU time of the process is measured, best and median.
"""

from __future__ import annotations

import json
import random
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.json as pj

from exact_source.catalogue import load_catalogue
from exact_source.odata.page import PageSchema, _parse_slow, parse_page

ENTITY = load_catalogue().entities["transaction_lines"]
SKIPPED = {
    "CustomField", "ExternalLinkDescription", "ExternalLinkReference", "PaymentDiscountAmount",
    "ProjectWBS", "ProjectWBSDescription", "SerialNumber", "ShopOrder", "Subscription",
    "SubscriptionDescription", "TrackingNumber", "TrackingNumberDescription", "VATCodeDescription",
    "VATType",
}  # fmt: skip
FIELDS = [f for f in ENTITY.feeds["bulk"].columns if f not in SKIPPED]
SCHEMA = PageSchema(ENTITY, ENTITY.feeds["bulk"], FIELDS)
WORDS = ["Verkoop", "Inkoop", "Factuur", "Kantoor", "Huur", "Bank", "é&ü", "O'Neil"]
OFTEN_NULL = {"Asset", "AssetCode", "CostUnit", "Document", "Item", "ItemCode", "Notes", "Project"}


def value(field: str, rnd: random.Random) -> Any:
    type_code = ENTITY.columns[field].type_code
    if field in OFTEN_NULL and rnd.random() < 0.5:
        return None
    if field == "Division":
        return 123456
    if field.endswith("Code") and type_code == "s":
        return f"{rnd.randrange(100_000):>18}"
    made: dict[str, Callable[[], Any]] = {
        "g": lambda: str(uuid.UUID(int=rnd.getrandbits(128))),
        "s": lambda: f"{rnd.choice(WORDS)} {rnd.randrange(100_000)}",
        "m": lambda: round(rnd.uniform(-9999, 9999), 2),
        "f": lambda: round(rnd.uniform(0, 99), 4),
        "i": lambda: rnd.randrange(1, 100_000),
        "h": lambda: rnd.randrange(1, 2025),
        "t": lambda: f"/Date({1_577_836_800_000 + rnd.randrange(10**11)})/",
    }
    return made[type_code]()


def page(rows: int) -> bytes:
    rnd = random.Random(rows)
    uri = "https://start.exactonline.nl/api/v1/123456/bulk/Financial/TransactionLines(guid'{}')"
    results = [
        {"__metadata": {"uri": uri.format(uuid.UUID(int=n)), "type": "Exact.TransactionLine"}}
        | {field: value(field, rnd) for field in FIELDS}
        for n in range(rows)
    ]
    body = {"d": {"results": results, "__next": "https://start.exactonline.nl/next"}}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return text.replace("/Date(", "\\/Date(").replace(")/", ")\\/").encode()


def ours(body: bytes) -> pa.Table:
    return parse_page(body, SCHEMA, division=123456, where="lines").table


def slow(body: bytes) -> Any:
    return _parse_slow(body, SCHEMA, "lines")


def bare_read(body: bytes) -> Any:
    """``pyarrow.json`` alone: the floor of this route."""
    return pj.read_json(
        pa.BufferReader(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=SCHEMA.parse_options({"__metadata": {"uri": "", "type": ""}}, bare=False),
    )


CONVERT: dict[str, Callable[[Any], Any]] = {
    "g": str.lower,
    "m": lambda number: Decimal(repr(number)),
    "t": lambda text: datetime.fromtimestamp(int(text[6:-2]) / 1000, UTC).replace(tzinfo=None),
}


def by_columns(loads: Callable[[bytes], Any]) -> Callable[[bytes], pa.Table]:
    """Python objects, one array per column, as in most connectors."""

    def parse(body: bytes) -> pa.Table:
        rows = loads(body)["d"]["results"]
        arrays = []
        for field, column in SCHEMA.columns.items():
            sent = [row.get(field) for row in rows]
            if field in SCHEMA.codes:
                sent = [v and v.strip(" ") for v in sent]
            elif column.type_code in CONVERT:
                sent = [None if v is None else CONVERT[column.type_code](v) for v in sent]
            arrays.append(pa.array(sent, SCHEMA.arrow.field(column.name).type))
        return pa.table(arrays, names=[c.name for c in SCHEMA.columns.values()])

    return parse


ROUTES: dict[str, Callable[[bytes], Any]] = {
    "parse_page": ours,
    "pyarrow.json alone (floor)": bare_read,
    "parse_page, value by value": slow,
    "json.loads -> columns": by_columns(json.loads),
    "orjson.loads -> columns": by_columns(orjson.loads),
}


def measure(body: bytes, seconds: float) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in ROUTES}
    while min(sum(times) for times in taken.values()) < seconds:
        for name, route in ROUTES.items():
            start = time.process_time()
            route(body)
            taken[name].append(time.process_time() - start)
    return taken


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    for rows in (1000, 60):
        body = page(rows)
        print(f"{rows} rows, {len(FIELDS)} columns, {len(body):,} bytes")
        for name, times in measure(body, seconds).items():
            times.sort()
            best, median = times[0], times[len(times) // 2]
            print(
                f"  {name:28} best {best * 1e3:7.2f} ms {rows / best:9,.0f} rows/s   "
                f"median {median * 1e3:7.2f} ms {rows / median:9,.0f} rows/s"
            )


if __name__ == "__main__":
    main()
