"""The pipelines that people copy, run as they are against a sandbox and real databases."""

from __future__ import annotations

import os
import runpy
import time
from pathlib import Path

import duckdb
import psycopg2
import pytest

from tests.world import World

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture
def settings(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    values = {
        "base_url": world.base_url,
        "client_id": world.box.client_id,
        "client_secret": world.box.client_secret,
        "token_file": str(world.folder / "tokens.json"),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)
    world.box.state.limits.minute_limit = 1000  # these run by the computer's own clock
    world.box.clock.set(time.time())
    world.box.clock.run()
    world.login()
    monkeypatch.chdir(tmp_path / "project")
    return world


def truth(world: World) -> dict[int, int]:
    path = "financialtransaction/TransactionLines"
    return {d: len(world.box.rows(path, d)) for d in world.box.divisions}


COUNT = "SELECT division, count(*) FROM exact_online.transaction_lines GROUP BY division"


def test_the_duckdb_pipeline_loads_every_company(settings: World, tmp_path: Path) -> None:
    runpy.run_path(str(PIPELINES / "duckdb_pipeline.py"), run_name="__main__")

    with duckdb.connect(str(tmp_path / "project" / "exact.duckdb")) as database:
        assert dict(database.execute(COUNT).fetchall()) == truth(settings)


def test_the_postgres_pipeline_loads_every_company_from_parquet(
    settings: World,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres)

    runpy.run_path(str(PIPELINES / "postgres_pipeline.py"), run_name="__main__")

    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute(COUNT)
        assert dict(cursor.fetchall()) == truth(settings)
    packages = Path(os.environ["DLT_DATA_DIR"]) / "pipelines" / "exact_online" / "load"
    jobs = [p.name for p in packages.rglob("completed_jobs/transaction_lines.*")]
    assert jobs, "no load job of transaction lines was kept"
    assert not [name for name in jobs if "insert_values" in name]
    assert [name for name in jobs if name.endswith(".parquet")]
