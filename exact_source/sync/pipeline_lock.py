"""One sync of a pipeline at a time on one machine, and one destination per working folder.

``loading.writer_lock`` keeps other pipelines and other machines out of the dataset.
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

from ..driver_errors import holder_of
from ..errors import HeldError
from ..file_lock import LockedError, locked
from ..loading.tuning import bound_engine
from ..loading.writer import Writer, read_note

DESTINATION_MARK = "exact_destination"


@contextmanager
def pipeline_lock(pipeline: dlt.Pipeline, now: float) -> Iterator[None]:
    """Hold the lock of a pipeline, because a working folder serves only one process.

    Args:
        pipeline: The pipeline.
        now: Seconds since the epoch, UTC.

    Raises:
        HeldError: If another process syncs it.
    """
    with named_lock(pipeline.pipeline_name, now, Path(pipeline.pipelines_dir)):
        yield


@contextmanager
def named_lock(name: str, now: float, folder: Path | None = None) -> Iterator[None]:
    """Hold the lock of a pipeline name on this machine.

    The operating system releases the lock when the process ends, even after a kill.

    Args:
        name: Pipeline name.
        now: Seconds since the epoch, UTC.
        folder: Folder of the lock file; default: dlt's pipelines folder, for a pipeline that has another
            working folder each time.

    Raises:
        HeldError: If another process syncs it.
    """
    folder = folder or Path(get_dlt_pipelines_dir())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / f"{name}.lock", Writer.of(name, now).to_note()):
            yield
    except LockedError as error:
        writer = read_note(error.note)
        who = (
            "" if writer is None else f" (process {writer.pid}{writer.where}, since {writer.when})"
        )
        raise HeldError(
            f"another sync of the pipeline {name} is under way on this machine{who}; nothing was done, "
            "run again later",
            resumes_at=now,
        ) from None


def drop_if_destination_changed(pipeline: dlt.Pipeline) -> None:
    """Empty the working folder if it belongs to another destination or dataset.

    dlt keeps one folder per pipeline name, whatever the destination. A package left over for the other
    destination would be loaded into this one, with a cursor that skips rows.

    Call it while the pipeline is locked.
    """
    mark = Path(pipeline.working_dir) / DESTINATION_MARK
    place = destination_digest(pipeline)
    if mark.exists() and mark.read_text("utf-8") != place:
        pipeline.drop()
    mark.write_text(place, "utf-8")


def destination_digest(pipeline: dlt.Pipeline) -> str:
    """Hash of destination and dataset; their addresses may be secret, so they are not stored as text."""
    config = pipeline.destination_client().config
    parts = (
        pipeline.destination.destination_type,
        config.fingerprint(),  # BigQuery's project, Postgres' host
        config.data_location(),
        pipeline.dataset_name,
    )
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()


@contextmanager
def duckdb_kept_open(pipeline: dlt.Pipeline, now: float) -> Iterator[None]:
    """Keep a DuckDB file open over all rounds, because closing it writes a checkpoint.

    Raises:
        HeldError: If another process has it open; DuckDB allows one.
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
                    f"destination {pipeline.destination.destination_name}: {holder_of(error)} has the DuckDB "
                    "file open, which takes one at a time; nothing was done, run again later",
                    resumes_at=now,
                ) from None
            bound_engine(client)
        yield
