"""Writes the tables of docs/destinations.md and docs/dlt.md.

    python -m tools.docs.dlt_pages

The table of destinations comes from ``destinations.json``, which the stories of
``tests/nightly/test_destination_stories.py`` record. Each row of ``idioms.json`` names its test.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RESULTS, IDIOMS = (ROOT / "tools" / "docs" / f"{name}.json" for name in ("destinations", "idioms"))
TESTS = ROOT / "tests" / "dlt" / "test_idioms.py"
MARK = re.compile(
    r"(<!-- (\w+): python -m tools\.docs\.dlt_pages -->\n).*?(<!-- end -->)", re.DOTALL
)
NAMES = {
    "delta": "filesystem, Delta",
    "duckdb": "DuckDB",
    "ducklake": "DuckLake",
    "iceberg": "filesystem, Iceberg",
    "mysql": "MariaDB",
    "clickhouse": "ClickHouse",
    "parquet": "filesystem, Parquet, change log",
    "sqlite": "SQLite",
}
STEPS = {
    "first": "first load",
    "idle": "idle sync loads nothing",
    "change": "changes",
    "delete": "deletions",
    "history": "history",
    "kill": "continues after kill -9",
    "machine": "continues on another machine",
    "money": "amounts exact",
}


def destinations() -> str:
    """The table of destinations, from the recorded results."""
    results = json.loads(RESULTS.read_text())
    lines = [
        "| destination | " + " | ".join(STEPS.values()) + " |",
        "|---" * (len(STEPS) + 1) + "|",
    ]
    for kind in sorted(results, key=NAMES.__getitem__):
        cells = (results[kind][step] for step in STEPS)
        lines.append(f"| {NAMES[kind]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def idioms() -> str:
    """The table of idioms.

    Raises:
        ValueError: If a row names a test that does not exist.
    """
    tests = {f.name for f in ast.parse(TESTS.read_text()).body if isinstance(f, ast.FunctionDef)}
    lines = ["| what you write | result |", "|---|---|"]
    for row in json.loads(IDIOMS.read_text()):
        if row["test"] not in tests:
            raise ValueError(f"{TESTS.name} has no {row['test']}")
        lines.append(f"| {row['idiom']} | {row['result']} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Each page with its table."""
    tables = {"destinations": destinations(), "idioms": idioms()}
    paths = (DOCS / "destinations.md", DOCS / "dlt.md")
    return {
        path: MARK.sub(lambda m: f"{m[1]}\n{tables[m[2]]}\n{m[3]}", path.read_text("utf-8"))
        for path in paths
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
