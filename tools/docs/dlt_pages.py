"""Writes the tables of docs/destinations.md and docs/dlt.md from the results of tests.

    python -m tools.docs.dlt_pages          the tables, from the recorded results
    python -m tools.docs.dlt_pages --run    runs the tests first, and records their results

Each row of ``destinations.json`` was printed by a story of ``tests/nightly/test_destination_stories.py``. The
other files were written by tests of ``tests/dlt``: ``idioms.json`` by ``test_idioms.py``, ``methods.json`` by
``test_strategies.py`` and ``generated.json`` by ``test_generated_sql.py``. Without ``EXACT_RECORD=1`` these
tests compare their results with the files.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RESULTS, IDIOMS, METHODS, GENERATED = (
    ROOT / "tools" / "docs" / f"{name}.json"
    for name in ("destinations", "idioms", "methods", "generated")
)
TESTS, STRATEGIES, SQL = (
    ROOT / "tests" / "dlt" / f"test_{name}.py" for name in ("idioms", "strategies", "generated_sql")
)
STORIES = ROOT / "tests" / "nightly" / "test_destination_stories.py"
MARK = re.compile(
    r"(<!-- (\w+): python -m tools\.docs\.dlt_pages -->\n).*?(<!-- end -->)", re.DOTALL
)
NAMES = {
    "bigquery": "BigQuery, emulator",
    "delta": "filesystem, Delta",
    "duckdb": "DuckDB",
    "ducklake": "DuckLake, catalog in DuckDB",
    "iceberg": "filesystem, Iceberg",
    "mysql": "MariaDB",
    "parquet": "filesystem, Parquet, change log",
    "postgres": "Postgres",
    "sqlite": "SQLite",
}
STEPS = {
    "first": "first load",
    "idle": "idle sync loads nothing",
    "change": "changes",
    "delete": "deletions",
    "history": "history",
    "kill_round": "continues after kill -9 between two rounds",
    "kill_load": "continues after kill -9 during a load",
    "machine": "continues on another machine",
    "money": "amounts exact",
}


def destinations() -> str:
    """The table of destinations, from the recorded results.

    Raises:
        ValueError: If a destination has no result, because its story was skipped.
    """
    results = json.loads(RESULTS.read_text())
    if set(results) != set(NAMES):
        raise ValueError(f"{RESULTS.name} and the names differ: {set(results) ^ set(NAMES)}")
    lines = [
        "| destination | " + " | ".join(STEPS.values()) + " |",
        "|---" * (len(STEPS) + 1) + "|",
    ]
    for kind in sorted(results, key=NAMES.__getitem__):
        cells = (results[kind][step] for step in STEPS)
        lines.append(f"| {NAMES[kind]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def idioms() -> str:
    """The table of idioms, from the recorded results in the order of the tests.

    Raises:
        ValueError: If a row has no test, or a test no row.
    """
    rows = json.loads(IDIOMS.read_text())
    showing = [
        function.name
        for function in ast.parse(TESTS.read_text()).body
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
        if "shows" in {argument.arg for argument in function.args.args}
    ]
    if set(showing) != set(rows):
        raise ValueError(f"{IDIOMS.name} and the tests differ: {set(showing) ^ set(rows)}")
    lines = ["| what you write | result |", "|---|---|"]
    lines += [f"| {rows[name]['idiom']} | {rows[name]['result']} |" for name in showing]
    return "\n".join(lines) + "\n"


def methods() -> str:
    """The table of methods, with the destinations that get each."""
    found = json.loads(METHODS.read_text())
    by_method: dict[str, list[str]] = {}
    for name, method in found.items():
        destination, _, table_format = name.partition(" with ")
        written = f' with `table_format="{table_format}"`' if table_format else ""
        by_method.setdefault(method, []).append(f"`{destination}`{written}")
    lines = ["| method | destinations of dlt |", "|---|---|"]
    by_method["refused"] = by_method.pop("refused")  # at the end
    lines += [f"| {method} | {', '.join(names)} |" for method, names in by_method.items()]
    return "\n".join(lines) + "\n"


def generated() -> str:
    """The table of statements that were generated, by purpose and destination."""
    found = json.loads(GENERATED.read_text())
    purposes = sorted({purpose for kinds in found.values() for purpose in kinds} - {"dialect"})
    lines = ["| statements | " + " | ".join(f"`{name}`" for name in found) + " |"]
    lines += ["|---" * (len(found) + 1) + "|"]
    for purpose in ("dialect", *purposes):
        cells = (
            kinds.get(purpose, "").replace("truncatetable", "truncate") for kinds in found.values()
        )
        lines.append(f"| {purpose} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Each page with its tables."""
    tables = {
        "destinations": destinations(),
        "generated": generated(),
        "idioms": idioms(),
        "methods": methods(),
    }
    paths = (DOCS / "destinations.md", DOCS / "dlt.md")
    return {
        path: MARK.sub(lambda m: f"{m[1]}\n{tables[m[2]]}\n{m[3]}", path.read_text("utf-8"))
        for path in paths
    }


def record() -> None:
    """Run the tests and record their results; if a test fails or is skipped, the former results stay.

    Raises:
        subprocess.CalledProcessError: If a test fails.
        ValueError: If a row is missing afterwards.
    """
    before = {path: path.read_text() for path in (IDIOMS, RESULTS, METHODS, GENERATED)}
    for path in before:
        path.write_text("{}\n")
    tests = map(str, (TESTS, STRATEGIES, SQL, STORIES))
    command = (sys.executable, "-m", "pytest", "-q", "-m", "", *tests)
    try:
        subprocess.run(command, cwd=ROOT, env=os.environ | {"EXACT_RECORD": "1"}, check=True)  # noqa: S603
        pages()
    except BaseException:
        for path, text in before.items():
            path.write_text(text)
        raise


if __name__ == "__main__":
    if "--run" in sys.argv[1:]:
        record()
    for path, text in pages().items():
        path.write_text(text, "utf-8")
