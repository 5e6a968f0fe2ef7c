"""One sync of a pipeline at a time on one machine, and its working folder of one destination.

Over several machines there are leases.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import dlt
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.destinations.exceptions import DestinationConnectionError
from filelock import FileLock, Timeout

from ..errors import HeldError
from ..loading.tuning import bound_engine

DESTINATION_MARK = "exact_destination"


@contextmanager
def only_sync(pipeline: dlt.Pipeline, now: float) -> Iterator[None]:
    """Be the only process that syncs a pipeline.

    Args:
        pipeline: Its working folder serves one process.
        now: Seconds since the epoch, UTC.

    Raises:
        HeldError: If another process is at it.
    """
    with only_one(pipeline.pipeline_name, now, Path(pipeline.pipelines_dir)):
        yield


@contextmanager
def only_one(name: str, now: float, folder: Path | None = None) -> Iterator[None]:
    """Be the only process of this machine that syncs the pipeline of a name.

    The lock is the operating system's, so it ends with its process, however that ends.

    Args:
        name: Of the pipeline.
        now: Seconds since the epoch, UTC.
        folder: Where the lock is; default that of dlt's pipelines, for those whose working folder is
            another each time.

    Raises:
        HeldError: If another process is at it.
    """
    folder = folder or Path(get_dlt_pipelines_dir())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / f"{name}.lock", timeout=0).acquire()
    except Timeout:
        raise HeldError(
            f"another sync of the pipeline {name} is under way on this machine; "
            "nothing was done, run again later",
            resumes_at=now,
        ) from None
    with lock:
        yield


def of_one_destination(pipeline: dlt.Pipeline) -> None:
    """Have the working folder hold nothing of another destination than this one.

    dlt keeps a folder for each name of a pipeline, whatever the destination is. A package that was
    left over would be loaded here, with the cursor of there: rows in between would never be read.

    Call it as the only one that is at the pipeline.
    """
    mark = Path(pipeline.working_dir) / DESTINATION_MARK
    place = destination_of(pipeline)
    if mark.exists() and mark.read_text("utf-8") != place:
        pipeline.drop()
        pipeline.sync_destination()
    mark.write_text(place, "utf-8")


def destination_of(pipeline: dlt.Pipeline) -> str:
    """What tells a destination and dataset from others; a digest, since addresses may be secret."""
    config = pipeline.destination_client().config
    parts = (
        pipeline.destination.destination_type,
        config.fingerprint(),  # of BigQuery's project, of Postgres' host
        config.data_location(),
        pipeline.dataset_name,
    )
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()


@contextmanager
def held_open(pipeline: dlt.Pipeline, now: float) -> Iterator[None]:
    """Keep a DuckDB file open over the rounds; each closing writes a checkpoint.

    Raises:
        HeldError: If another process has it open; DuckDB takes one.
    """
    with ExitStack() as opened:
        if str(pipeline.destination.destination_type).endswith(".duckdb"):
            client: Any = pipeline.sql_client()
            try:
                opened.enter_context(client)
            except DestinationConnectionError as error:
                if "Could not set lock" not in str(error):
                    raise
                raise HeldError(
                    "another process has the DuckDB file open, which takes one at a time; nothing "
                    "was done, run again later",
                    resumes_at=now,
                ) from None
            bound_engine(client)
        yield
