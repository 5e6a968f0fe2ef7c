"""Parsers of JSON side by side: from the bytes of a page to one Arrow array per field.

    python -m benchmarks.parsers [SECONDS PER ROUTE] [--sample FILE] [--write benchmarks/parsers.md]

What a value means (dates, decimals, codes) is left out, because it costs the same for every parser. The routes
take turns on the same bytes; CPU time of the process counts, so threads of a parser count as well. FILE is a reply
that was recorded; its rows are repeated. Parsers that are not installed are left out (polars, msgspec, pysimdjson,
arro3-io).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.json as pj

from benchmarks.pages import ENTITY, page
from exact_source.odata.page_schema import RAW, PageSchema

Parse = Callable[[bytes], pa.Table]
SQL = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "bool": "BOOLEAN",
}


HEAD = """\
# Parsers of JSON

Made by `python -m benchmarks.parsers`: transaction lines into Arrow, CPU time, medians. *Made up* has the 60
columns that a sync asks for; *recorded* repeats the rows of a real reply with eight columns (`--sample`).

pyarrow.json is used because it is fastest on full pages of wide rows. Small pages pay a fixed 0.4 ms for it, so
up to sixteen of them are parsed by one call, and replies without rows are not parsed at all.

arro3 (arrow-rs) takes half the time, but is not used: it leaves out fields without a column and one of two equal
names, reads 1.5 as the integer 1 and U+20000, escaped as a pair, as U+10000, and some damaged pages end the process.
"""


def fields_of(body: bytes) -> list[str]:
    row = json.loads(body)["d"]["results"][0]
    return [
        name for name in row if name in ENTITY.columns and ENTITY.columns[name].type_code in RAW
    ]


def types_of(body: bytes) -> dict[str, pa.DataType]:
    return {name: RAW[ENTITY.columns[name].type_code] for name in fields_of(body)}


def with_pyarrow(body: bytes) -> Parse:
    fields = fields_of(body)
    schema = PageSchema(ENTITY, ENTITY.feeds["bulk"], fields)
    row = json.loads(body)["d"]["results"][0]
    around = {name: value for name, value in row.items() if name not in schema.columns}
    options = schema.parse_options(around, bare=False)

    def parse(body: bytes) -> pa.Table:
        table = pj.read_json(
            pa.BufferReader(body),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
            parse_options=options,
        )
        rows = table.column("d").chunk(0).field(0).flatten()
        return pa.table({name: rows.field(name) for name in fields})

    return parse


def by_columns(loads: Callable[[bytes], Any]) -> Callable[[bytes], Parse]:
    def prepare(body: bytes) -> Parse:
        types = types_of(body)

        def parse(body: bytes) -> pa.Table:
            rows = loads(body)
            return pa.table({n: pa.array([r[n] for r in rows], t) for n, t in types.items()})

        return parse

    return prepare


def with_duckdb(body: bytes) -> Parse:
    import duckdb

    structure = json.dumps(
        {"d": {"results": [{n: SQL[str(t)] for n, t in types_of(body).items()}]}}
    )
    connection = duckdb.connect(config={"threads": 1})
    names = ", ".join(f'r."{name}"' for name in types_of(body))
    query = (
        f"SELECT {names} FROM (SELECT unnest(from_json(?::VARCHAR, '{structure}').d.results) AS r)"
    )

    def parse(body: bytes) -> pa.Table:
        return connection.execute(query, [body.decode()]).to_arrow_table()

    return parse


def with_polars(body: bytes) -> Parse:
    import polars

    kinds = {"string": polars.String, "double": polars.Float64, "int16": polars.Int16, "int32": polars.Int32, "bool": polars.Boolean}  # fmt: skip
    row = polars.Struct({n: kinds[str(t)] for n, t in types_of(body).items()})
    schema = {"d": polars.Struct({"results": polars.List(row)})}

    def parse(body: bytes) -> pa.Table:
        frame = polars.read_json(body, schema=schema)
        rows = frame.select(polars.col("d").struct.field("results").explode())
        return rows.unnest("results").to_arrow()

    return parse


def with_arro3(body: bytes) -> Parse:
    import arro3.io

    types = types_of(body)
    row = pa.struct(list(types.items()))
    schema = pa.schema([("d", pa.struct([("results", pa.list_(row))]))])

    def parse(body: bytes) -> pa.Table:
        table = pa.table(arro3.io.read_json(body, schema, batch_size=1))
        rows = table.column("d").chunk(0).field(0).flatten()
        return pa.table({name: rows.field(name) for name in types})

    return parse


def with_msgspec(body: bytes) -> Parse:
    import msgspec

    kinds: dict[str, Any] = {
        "string": str,
        "double": float,
        "int16": int,
        "int32": int,
        "bool": bool,
    }
    types = types_of(body)
    fields = [(n, kinds[str(t)] | None, None) for n, t in types.items()]
    row = msgspec.defstruct("Row", fields, gc=False)
    results = msgspec.defstruct("Results", [("results", list[row])])
    decoder = msgspec.json.Decoder(msgspec.defstruct("Body", [("d", results)]))

    def parse(body: bytes) -> pa.Table:
        rows = decoder.decode(body).d.results
        return pa.table({n: pa.array([getattr(r, n) for r in rows], t) for n, t in types.items()})

    return parse


def with_simdjson(body: bytes) -> Parse:
    import simdjson

    types, parser = types_of(body), simdjson.Parser()

    def parse(body: bytes) -> pa.Table:
        rows = [row.as_dict() for row in parser.parse(body)["d"]["results"]]
        return pa.table({n: pa.array([r[n] for r in rows], t) for n, t in types.items()})

    return parse


ROUTES: dict[str, Callable[[bytes], Parse]] = {
    "pyarrow.json (used)": with_pyarrow,
    "arro3": with_arro3,
    "msgspec structs": with_msgspec,
    "polars": with_polars,
    "orjson": by_columns(lambda body: orjson.loads(body)["d"]["results"]),
    "simdjson": with_simdjson,
    "json": by_columns(lambda body: json.loads(body)["d"]["results"]),
    "DuckDB from_json": with_duckdb,
}


def prepared(body: bytes) -> dict[str, Parse]:
    """The parsers that are installed, checked to return the same rows."""
    found: dict[str, Parse] = {}
    wanted: list[Any] | None = None
    for name, prepare in ROUTES.items():
        try:
            parse = prepare(body)
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        rows = parse(body).to_pylist()
        wanted = wanted or rows
        assert rows == wanted, f"{name} reads other rows"
        found[name] = parse
    return found


def measure(body: bytes, seconds: float) -> dict[str, float]:
    """Median CPU seconds of each parser."""
    routes = prepared(body)
    taken: dict[str, list[float]] = {name: [] for name in routes}
    while min(sum(times) for times in taken.values()) < seconds:
        for name, parse in routes.items():
            start = time.process_time()
            parse(body)
            taken[name].append(time.process_time() - start)
    return {name: median(times) for name, times in taken.items()}


def repeated(file: Path, rows: int) -> bytes:
    """A page with the rows of a recorded reply."""
    found = json.loads(file.read_bytes())
    while isinstance(found, dict):  # recorders wrap replies in different ways
        found = next(found[name] for name in ("d", "results", "response", "data") if name in found)
    many = (found * (rows // len(found) + 1))[:rows]
    return json.dumps({"d": {"results": many}}, separators=(",", ":"), ensure_ascii=False).encode()


def table_of(title: str, rows: int, size: int, found: dict[str, float]) -> str:
    base = found["pyarrow.json (used)"]
    lines = [
        f"### {title}: {rows:,} rows, {size / 1e6:.2f} MB\n",
        "| parser | CPU ms | rows/s | times pyarrow.json |",
        "| --- | --: | --: | --: |",
    ]
    for name, took in sorted(found.items(), key=lambda pair: pair[1]):
        lines.append(f"| {name} | {took * 1e3:.2f} | {rows / took:,.0f} | {took / base:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", nargs="?", type=float, default=2.0)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    bodies = {"Made up": [page(1000), page(60)]}
    if options.sample:
        bodies["Recorded"] = [repeated(options.sample, 1000), repeated(options.sample, 60)]
    tables = []
    for title, pages in bodies.items():
        for body in pages:
            rows = len(json.loads(body)["d"]["results"])
            tables.append(table_of(title, rows, len(body), measure(body, options.seconds)))
            print(tables[-1], flush=True)
    if options.write:
        options.write.write_text("\n".join([HEAD, *tables]))


if __name__ == "__main__":
    main()
