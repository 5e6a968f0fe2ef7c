"""What users would pick, on one server and the same rows: ``make bench`` writes the table of docs/speed.md.

    python -m benchmarks.side_by_side [--rows 50000] [--turns 5] [--only ours,sling] [--json FILE]

Each tool runs as its command in an environment of its own under ``.environments/``, which is made at the first
run. CPU seconds and peak memory are those of the command and its children, starts and imports included. The
server counts the calls. The tools take turns, and the median by CPU counts.

- ``ours``: ``exact_source.sync`` into DuckDB; ``rest_api``: dlt's REST API source into DuckDB.
- ``meltano``: ``meltano run`` with the taps ``tap-rest-api-msdk`` and ``target-duckdb``.
- ``airbyte``: the command of Airbyte's CDK with a manifest; no destination is on PyPI, so its messages go to a file.
- ``sling``: an API spec; it downloads the programs with which it writes DuckDB and SQLite, so it writes CSV.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from statistics import median
from threading import Timer
from typing import Any
from urllib.request import urlopen

from benchmarks.environments import ENVIRONMENTS, OURS, ROOT, prepare, program
from benchmarks.run import canned, machine

PATH = "bulk/Financial/TransactionLines"
PAGE, DIVISION = 1000, 123456
LINES = "transaction_lines"
LIMIT_S = 600  # a tool that takes longer has failed


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        into: Where the rows go.
        packages: Environment -> its packages.
        command: The command, from the server's address and an empty folder.
        count: Number of different rows that arrived in that folder.
    """

    into: str
    packages: dict[str, Sequence[str]]
    command: Callable[[str, Path], Sequence[str]]
    count: Callable[[Path], int]


def write(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


# -- commands --------------------------------------------------------------------------------------


def route(environment: str, name: str) -> Callable[[str, Path], Sequence[str]]:
    def command(base: str, folder: Path) -> Sequence[str]:
        script = str(ROOT / "benchmarks" / "routes.py")
        return program(environment, "python"), script, name, base, str(folder), "duckdb"

    return command


def meltano(base: str, folder: Path) -> Sequence[str]:
    tap = {
        "api_url": f"{base}/api/v1/{DIVISION}", "records_path": "$.d.results[*]",
        "pagination_request_style": "jsonpath_paginator",
        "pagination_response_style": "hateoas_body", "next_page_token_path": "$.d.__next",
        "streams": [{"name": LINES, "path": f"/{PATH}", "primary_keys": ["ID"]}],
    }  # fmt: skip
    target = {"path": str(folder / "bench.duckdb"), "default_target_schema": "exact_online"}
    project = {
        "version": 1, "send_anonymous_usage_stats": False, "default_environment": "bench",
        "environments": [{"name": "bench"}],
        "plugins": {
            "extractors": [{
                "name": "tap", "namespace": "tap", "capabilities": [],
                "executable": program("tap-rest", "tap-rest-api-msdk"), "config": tap,
                "settings": [{"name": name, "kind": kind_of(value)} for name, value in tap.items()],
            }],
            "loaders": [{
                "name": "target", "namespace": "target",
                "executable": program("target-duckdb", "target-duckdb"), "config": target,
                "settings": [{"name": name} for name in target],
            }],
        },
    }  # fmt: skip
    write(folder / "meltano.yml", project)
    return program("meltano", "meltano"), "--cwd", str(folder), "run", "tap", "target"


def kind_of(value: object) -> str:
    return "array" if isinstance(value, list) else "string"


def airbyte(base: str, folder: Path) -> Sequence[str]:
    stream = {
        "type": "DeclarativeStream", "name": LINES, "primary_key": ["ID"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester", "url_base": f"{base}/api/v1/{DIVISION}/", "path": PATH,
                "http_method": "GET",
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["d", "results"]},
            },
            "paginator": {
                "type": "DefaultPaginator", "page_token_option": {"type": "RequestPath"},
                "pagination_strategy": {
                    "type": "CursorPagination", "cursor_value": "{{ response.d.__next }}",
                    "stop_condition": "{{ not response.d.__next }}",
                },
            },
        },
    }  # fmt: skip
    manifest = {
        "version": "6.0.0", "type": "DeclarativeSource", "streams": [stream],
        "check": {"type": "CheckStream", "stream_names": [LINES]},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }  # fmt: skip
    configured = {
        "stream": {
            "name": LINES, "json_schema": {"type": "object"},
            "supported_sync_modes": ["full_refresh"], "source_defined_primary_key": [["ID"]],
        },
        "sync_mode": "full_refresh", "destination_sync_mode": "overwrite",
    }  # fmt: skip
    config = write(folder / "config.json", {"__injected_declarative_manifest": manifest})
    catalog = write(folder / "catalog.json", {"streams": [configured]})
    name = program("airbyte", "source-declarative-manifest")
    return name, "read", "--config", config, "--catalog", catalog


def sling(base: str, folder: Path) -> Sequence[str]:
    endpoint = {
        "description": "lines", "state": {"url": f"{base}/api/v1/{DIVISION}/{PATH}"},
        "request": {"url": "${state.url}", "method": "GET"},
        "pagination": {
            "next_state": {"url": "${response.json.d.__next}"},
            "stop_condition": 'is_null(jmespath(response.json, "d.__next"))',
        },
        "response": {"records": {"jmespath": "d.results[]", "primary_key": ["ID"]}},
    }  # fmt: skip
    spec = {"name": "Exact", "description": "lines", "endpoints": {LINES: endpoint}}
    write(folder / "spec.yaml", spec)
    env = {"connections": {"EXACT": {"type": "api", "spec": f"file://{folder}/spec.yaml"}}}
    write(folder / "env.yaml", env)
    replication = {
        "source": "EXACT", "target": "LOCAL",
        "streams": {LINES: {"object": f"file://{folder}/lines.csv", "mode": "full-refresh"}},
    }  # fmt: skip
    name = (
        f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/sling_linux_amd64/bin"
    )
    return (
        str(ENVIRONMENTS / "bench-sling" / name / "sling-linux-amd64"), "run", "-r",
        write(folder / "replication.yaml", replication),
    )  # fmt: skip


# -- what arrived ----------------------------------------------------------------------------------


def rows_of(relation: str, key: str = "id") -> Callable[[Path], int]:
    """Different keys of a relation, in which ``{}`` is the folder."""

    def count(folder: Path) -> int:
        import duckdb

        file = folder / "bench.duckdb"
        with duckdb.connect(str(file) if file.exists() else ":memory:") as con:
            sql = f"SELECT count(DISTINCT {key}) FROM {relation.format(folder)}"
            return con.execute(sql).fetchone()[0]

    return count


RECORDS = "(SELECT record.data.ID AS id FROM read_json('{}/out.txt', columns = {{record: 'STRUCT(data STRUCT(ID VARCHAR))', type: 'VARCHAR'}}, format = 'newline_delimited') WHERE type = 'RECORD')"
TOOLS = {
    "ours": Tool("DuckDB", {"ours": OURS}, route("ours", "ours"), rows_of(f"exact_online.{LINES}")),
    "rest_api": Tool("DuckDB", {"ours": OURS}, route("ours", "rest_api"), rows_of(f"exact_online.{LINES}")),
    "meltano": Tool(
        "DuckDB",
        {
            "meltano": ["meltano==4.4.1"],
            "tap-rest": ["tap-rest-api-msdk==1.4.2", "setuptools<81"],
            "target-duckdb": ["target-duckdb==0.8.0", "duckdb>=1.4,<2"],
        },
        meltano,
        rows_of(f"exact_online.{LINES}"),
    ),
    "airbyte": Tool("JSON lines", {"airbyte": ["airbyte-cdk==7.39.1"]}, airbyte, rows_of(RECORDS)),
    "sling": Tool("CSV", {"sling": ["sling-linux-amd64==1.4.11"]}, sling, rows_of("read_csv('{}/lines.csv', all_varchar = true)")),
}  # fmt: skip
# Tools that cannot run, with the reason.
CANNOT = {
    "ingestr": "its package downloads the program at the first start, and it has no source for an API that it does not know",
    "tap-exact": "it reads ten fixed lists with tokens of its own, and not transaction lines",
}


# -- measuring -------------------------------------------------------------------------------------


def measure(name: str, tool: Tool, rows: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made, canned(rows, PAGE) as base:
        folder = Path(made)
        command = tool.command(base, folder)
        home = {"HOME": made, "SLING_HOME_DIR": made, "PYTHONPATH": str(ROOT)}
        # Each tool in its own environment; only the two routes need the benchmarks.
        env = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONHOME"}}
        env |= home if "routes.py" in " ".join(command) else home | {"PYTHONPATH": ""}
        env |= {"SLING_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
        started = time.perf_counter()
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            process = subprocess.Popen(
                command, cwd=made, env=env, stdout=out, stderr=err, start_new_session=True
            )
            limit = Timer(LIMIT_S, os.killpg, (process.pid, SIGKILL))  # with its children
            limit.start()
            _, status, usage = os.wait4(process.pid, 0)
            limit.cancel()
        wall_s = time.perf_counter() - started
        process.returncode = status
        if status:
            raise RuntimeError((folder / "err.txt").read_text()[-2000:])
        calls = int(urlopen(f"{base}/calls").read())
        arrived = tool.count(folder)
    cpu_s = usage.ru_utime + usage.ru_stime
    return {
        "route": name, "destination": tool.into, "rows": rows, "wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2),
        "rows_per_s": round(rows / wall_s), "cpu_us_per_row": round(cpu_s / rows * 1e6, 1),
        "peak_mb": usage.ru_maxrss // 1024, "calls": calls, "missing": rows - arrived,
    }  # fmt: skip


FIELDS = ("route", "destination", "rows", "wall_s", "cpu_s", "rows_per_s", "cpu_us_per_row", "peak_mb", "calls", "missing")  # fmt: skip
LINE = "{:10} {:11} {:>8} {:>8} {:>8} {:>10} {:>14} {:>8} {:>6} {:>8}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", default=",".join(TOOLS))
    parser.add_argument("--json")
    options = parser.parse_args()
    tools = {name: TOOLS[name] for name in options.only.split(",")}
    cannot = dict(CANNOT)
    for name, tool in [*tools.items()]:
        try:
            for environment, packages in tool.packages.items():
                prepare(environment, packages)
        except subprocess.CalledProcessError:
            cannot[name] = "its packages could not be installed"
            del tools[name]
    print(LINE.format(*FIELDS))
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in tools}
    for _ in range(options.turns):
        for name, tool in tools.items():
            if name in cannot:
                continue
            try:
                runs[name].append(measure(name, tool, options.rows))
            except (RuntimeError, OSError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                cannot[name] = "it failed"
                continue
            print(LINE.format(*(runs[name][-1][field] for field in FIELDS)), flush=True)
    found = [middle(each) for each in runs.values() if each]
    for name, why in cannot.items():
        print(f"{name}: not measured, because {why}")
    if options.json:
        content = {
            "machine": machine(), "turns": options.turns, "results": found, "cannot": cannot,
        }  # fmt: skip
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n")


def middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run with the median CPU."""
    at = median(run["cpu_s"] for run in runs)
    return min(runs, key=lambda run: abs(run["cpu_s"] - at))


if __name__ == "__main__":
    main()
