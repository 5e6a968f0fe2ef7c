"""One story in each destination that can be run here; ``EXACT_RECORD=1`` writes the results for the docs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support import bigquery, mariadb, postgres
from tests.support.environments import environment

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
RECORD = ROOT / "tools" / "docs" / "destinations.json"
REQUIREMENTS = ROOT / "tests" / "support" / "lake_requirements.txt"
EXTENSIONS = [
    "avro",
    "delta",
    "ducklake",
    "httpfs",
    "iceberg",
    "icu",
    "json",
    "parquet",
    "sqlite_scanner",
]
PREPARE = f"""
import duckdb_extensions
for name in {EXTENSIONS}:
    duckdb_extensions.import_extension(name)
"""
# Kind -> what starts a server and returns the variables that name it.
SERVERS: dict[str, Callable[[], Mapping[str, str]]] = {
    "bigquery": bigquery.bigquery_settings,
    "mysql": lambda: {mariadb.ENVIRONMENT: mariadb.mariadb_url()},
    "postgres": lambda: {postgres.ENVIRONMENT: postgres.postgres_dsn()},
}
IN_OUR_ENVIRONMENT = {"duckdb", "postgres", "bigquery", "sqlite", "parquet"}
KINDS = (
    "duckdb",
    "postgres",
    pytest.param("bigquery", marks=pytest.mark.xdist_group("bigquery")),
    "sqlite",
    "ducklake",
    "parquet",
    "delta",
    "iceberg",
    "mysql",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_story_in_a_destination(kind: str, tmp_path: Path) -> None:
    server = SERVERS[kind]() if kind in SERVERS else {}
    python, home = Path(sys.executable), str(Path.home())
    if kind not in IN_OUR_ENVIRONMENT:
        python = environment("lakes", REQUIREMENTS, prepare=PREPARE)
        home = str(python.parents[1] / "home")

    done = subprocess.run(
        [python, "-m", "tests.support.destination_story", kind, tmp_path],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("DLT_")}
        | {"HOME": home, **server},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if os.environ.get("EXACT_RECORD"):
        record(kind, found)
    assert found == json.loads(RECORD.read_text())[kind], "run python -m tools.docs.dlt_pages --run"


def record(kind: str, found: dict[str, str]) -> None:
    """Keep the results of a story for the docs."""
    with FileLock(RECORD.with_suffix(".lock")):
        held = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.write_text(json.dumps({**held, kind: found}, indent=2, sort_keys=True) + "\n")
