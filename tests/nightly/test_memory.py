"""A sync bounds the memory that it takes, and keeps to what the user set."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.common.destination.configuration import ParquetFormatConfiguration
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

from benchmarks.run import measure
from exact_source.cli.gc_tuning import INFREQUENT, infrequent_gc
from exact_source.loading import batches
from exact_source.loading import tuning as memory
from exact_source.sync.pipeline_lock import duckdb_kept_open
from exact_source.sync.runner import sync
from tests.support.world import World

ENTITY = "transaction_lines"
ROWS = 200_000  # more than are on their way at once: up to three batches of 60,000


def test_rows_on_their_way_take_the_same_memory_however_many_come() -> None:
    few, many = (measure("ours", rows, 1000)["arrow_mb"] for rows in (ROWS, 3 * ROWS))
    assert few > 20  # what is measured is there
    assert many <= 1.25 * few


@pytest.mark.parametrize(
    ("config", "taken"),
    [
        (None, ("953.6 MiB", 1)),
        ({"memory_limit": "2GB"}, ("1.8 GiB", 1)),
        ({"threads": 2}, ("953.6 MiB", 2)),
    ],
)
def test_what_duckdb_takes_is_bounded_unless_the_user_says_otherwise(
    tmp_path: Path, config: dict[str, Any] | None, taken: tuple[str, int]
) -> None:
    credentials = DuckDbCredentials(str(tmp_path / "exact.duckdb"), global_config=config)
    pipeline = dlt.pipeline(
        "exact_online", destination=dlt.destinations.duckdb(credentials), dataset_name="books",
        pipelines_dir=str(tmp_path / "pipelines"),
    )  # fmt: skip
    with duckdb_kept_open(pipeline, 0), pipeline.sql_client() as client:
        settings = "SELECT current_setting('memory_limit'), current_setting('threads')"
        assert client.execute_sql(settings) == [taken]


@pytest.mark.parametrize(("given", "files"), [({}, 2), ({"recommended_file_size": 1 << 20}, 1)])
def test_rows_go_into_postgres_in_files_of_a_size_that_the_user_may_set(
    world: World,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    files: int,
) -> None:
    monkeypatch.setitem(memory.CAPABILITIES["postgres"], "recommended_file_size", 1)
    monkeypatch.setattr(batches, "BATCH_ROWS", 24)
    monkeypatch.setenv("DATA_WRITER__BUFFER_MAX_ITEMS", "1")
    destination = dlt.destinations.postgres(postgres, **given)
    world.pipeline = world.new_pipeline(destination=destination)
    assert world.sync(ENTITY).exit_code == 0

    trace = world.pipeline.last_trace
    assert trace is not None
    assert trace.last_load_info is not None
    (package,) = trace.last_load_info.load_packages
    jobs = Counter(job.job_file_info.table_name for job in package.jobs["completed_jobs"])
    assert jobs[ENTITY] == files
    world.assert_equal(ENTITY)


def test_few_files_go_into_postgres_at_once(world: World, postgres: str) -> None:
    world.pipeline = world.new_pipeline(destination=dlt.destinations.postgres(postgres))
    world.sync("accounts")

    capabilities = world.pipeline.destination.capabilities()
    assert capabilities.max_parallel_load_jobs == 4
    assert capabilities.recommended_file_size == 8 << 20


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "UNCOMPRESSED"), ({"parquet_format": ParquetFormatConfiguration()}, "SNAPPY")],
)
def test_what_duckdb_reads_at_once_is_not_compressed_unless_the_user_says_so(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    found: str,
) -> None:
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "false")
    destination = dlt.destinations.duckdb(str(tmp_path / "exact.duckdb"), **given)
    world.pipeline = world.new_pipeline(destination=destination)
    assert world.sync(ENTITY).exit_code == 0

    files = list(Path(world.pipeline.working_dir).rglob(f"{ENTITY}.*.parquet"))
    assert files
    kinds = {pq.ParquetFile(file).metadata.row_group(0).column(0).compression for file in files}
    assert kinds == {found}


@pytest.fixture
def no_garbage_is_collected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_is_collected")
def test_no_row_of_a_round_is_in_memory_in_the_next_one(world: World) -> None:
    before, held = pa.total_allocated_bytes(), list[int]()
    sync(
        world.pipeline,
        world.make_run(max_pages=1),
        [ENTITY],
        on_round=lambda _number: held.append(pa.total_allocated_bytes() - before),
    )

    assert len(held) > 3
    assert len(set(held[1:])) == 1, held


def test_a_sync_leaves_the_thresholds_of_the_process_alone(world: World) -> None:
    before, during = gc.get_threshold(), set[tuple[int, int, int]]()
    run = world.make_run()
    sync(world.pipeline, run, [ENTITY], on_round=lambda _number: during.add(gc.get_threshold()))
    assert during == {before}


def test_a_command_sets_the_thresholds_and_puts_them_back() -> None:
    before = gc.get_threshold()
    with infrequent_gc():
        assert gc.get_threshold() == INFREQUENT
    assert gc.get_threshold() == before
