"""One route of the benchmark in a separate process: ``routes.py ROUTE BASE FOLDER DESTINATION``."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from contextlib import suppress

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
T0 = time.perf_counter()
DIVISION, PATH = 123456, "bulk/Financial/TransactionLines"


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def started() -> dict[str, float]:
    """Import everything first: imports count as start-up, not as work."""
    return {"start_cpu_s": cpu(), "start_wall_s": time.perf_counter() - T0}


def arrow_peak() -> int:
    """Peak memory of Arrow: the rows in transit."""
    import pyarrow as pa

    return pa.default_memory_pool().max_memory()


def pipeline(folder: str, destination: str):
    import dlt

    made = (
        dlt.destinations.duckdb(f"{folder}/bench.duckdb")
        if destination == "duckdb"
        else dlt.destinations.postgres(destination)
    )
    return dlt.pipeline(
        "bench", destination=made, dataset_name="exact_online", pipelines_dir=f"{folder}/dlt"
    )


def count(p) -> int:
    with p.sql_client() as client:
        return client.execute_sql("SELECT count(*) FROM transaction_lines")[0][0]


class Token:
    async def access_token(self) -> str:
        return "x"

    async def report_rejected(self, token: str, *, date: str | None = None) -> str:
        return token


def ours(base: str, folder: str, destination: str):
    p = pipeline(folder, destination)
    import_ours()
    start = started()
    synced(p, base, ["transaction_lines"])
    return start, count(p)


def change(base: str, folder: str, destination: str):
    """Load into a table that an earlier process has filled."""
    p = pipeline(folder, destination)
    import_ours()
    start = started()
    (result,) = synced(p, base, ["transaction_lines"])
    return start, result.rows


def empty(base: str, folder: str, destination: str):
    """The second sync of fifty entities without rows; only the calls count."""
    from exact_source.catalogue import load_catalogue

    found = load_catalogue().entities.items()
    entities = [
        n for n, e in found if {"sync", "bulk"} & e.feeds.keys() and "function" not in e.feeds
    ]
    p = pipeline(folder, destination)
    synced(p, base, entities[:50])
    start = started()
    return start, sum(r.calls for r in synced(p, base, entities[:50]))


def import_ours() -> None:
    """Do the imports of ``synced``, and dlt's work when it opens a database."""
    import dlt.common.libs.pyarrow
    import dlt.destinations.impl.duckdb.duck
    import httpx

    with suppress(ImportError):  # dlt and DuckDB import it if it is there
        import pandas  # noqa: F401

    from exact_source.client.client import ExactClient
    from exact_source.sync.runner import sync

    del dlt, httpx, ExactClient, sync


def synced(p, base: str, entities: list[str]):
    """The result of a sync of one division without limits."""
    from exact_source.cli.gc_tuning import infrequent_gc
    from exact_source.client.client import ExactClient
    from exact_source.client.limits import Limits
    from exact_source.clock import SystemClock
    from exact_source.engine.run import Run
    from exact_source.options import ROUND_ROWS, ROUND_S
    from exact_source.source import make_options
    from exact_source.sync.runner import sync

    limits, clock = Limits(), SystemClock()
    limits.divisions[DIVISION].minute.limit = 10**8
    limits.divisions[DIVISION].day.limit = 10**8
    options = make_options(divisions=[DIVISION], round_s=ROUND_S, round_rows=ROUND_ROWS)
    run = Run(
        options,
        lambda: ExactClient(Token(), base, limits=limits, clock=clock),
        clock=clock,
        limits=limits,
    )
    with infrequent_gc():  # as the command does
        outcome = sync(p, run, entities)
    assert outcome.exit_code == 0, outcome
    return outcome.results


def pages(base: str):
    import httpx

    url = f"{base}/api/v1/{DIVISION}/{PATH}"
    with httpx.Client() as client:
        while url:
            d = client.get(url).json()["d"]
            yield d["results"]
            url = d.get("__next")


def dicts(base: str, folder: str, destination: str):
    import dlt

    p = pipeline(folder, destination)
    start = started()
    resource_ = dlt.resource(
        lambda: pages(base), name="transaction_lines", primary_key="ID", write_disposition="merge",
        max_table_nesting=0,
    )  # fmt: skip
    p.run(resource_)
    return start, count(p)


def rest_api(base: str, folder: str, destination: str):
    from dlt.sources.rest_api import rest_api_source

    p = pipeline(folder, destination)
    start = started()
    config = {
        "client": {"base_url": f"{base}/api/v1/{DIVISION}/", "paginator": {"type": "json_link", "next_url_path": "d.__next"}},
        "resources": [{
            "name": "transaction_lines", "primary_key": "ID", "write_disposition": "merge",
            "endpoint": {"path": PATH, "data_selector": "d.results"},
        }],
    }  # fmt: skip
    p.run(rest_api_source(config))
    return start, count(p)


def floor(base: str, folder: str, destination: str):
    """DuckDB reads the bodies with all types given, and converts the dates."""
    import duckdb

    from benchmarks.canned import ENTITY, FIELDS

    sql = {
        "g": "VARCHAR",
        "s": "VARCHAR",
        "t": "VARCHAR",
        "f": "DOUBLE",
        "m": "DECIMAL(38,9)",
        "b": "BOOLEAN",
    }
    type_codes = {f: ENTITY.columns[f].type_code for f in FIELDS}
    struct = ", ".join(f'"{f}" {sql.get(t, "INTEGER")}' for f, t in type_codes.items())
    picked = ", ".join(
        f'make_timestamp(r."{f}"[7:-3]::BIGINT * 1000) AS "{f}"' if t == "t" else f'r."{f}"'
        for f, t in type_codes.items()
    )
    con = duckdb.connect(f"{folder}/floor.duckdb")
    start = started()
    con.execute(
        f"CREATE TABLE lines AS SELECT {picked} FROM (SELECT unnest(d.results) AS r FROM read_json("
        f"'{folder}/page*.json', columns={{d: 'STRUCT(results STRUCT({struct})[])'}}, "
        "maximum_object_size=100000000))"
    )
    con.execute("CHECKPOINT")
    return start, con.execute("SELECT count(*) FROM lines").fetchone()[0]


if __name__ == "__main__":
    route, base, folder, destination = sys.argv[1:]
    start, rows = globals()[route](base, folder, destination)
    print(json.dumps({"rows": rows, "arrow_bytes": arrow_peak(), **start}))
