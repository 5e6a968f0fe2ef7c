"""Detects full disks before a round is read, and among the causes of a failed load."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import dlt

from ..errors import LoadError, causes

# A round of some thousand rows needs a few of these for its files and for the database's log.
LEAST_FREE = 32 << 20  # bytes
FULL = {errno.ENOSPC, errno.EDQUOT}
POSTGRES_FULL = "53100"
WORDS = ("no space left on device", "disk full", "disk quota exceeded")


def refuse_full_disk(
    pipeline: dlt.Pipeline,
    free: Callable[[Path], int] = lambda place: shutil.disk_usage(place).free,
) -> None:
    """Stop before the first call if there is no space for the rows of a round.

    Args:
        pipeline: Pipeline whose working folder and, if on this machine, database are checked.
        free: Returns the free bytes of the disk of a folder.

    Raises:
        LoadError: If less than ``LEAST_FREE`` bytes are free.
    """
    for place in _places(pipeline):
        left = free(place)
        if left < LEAST_FREE:
            raise LoadError(
                f"only {left >> 20} MB are free on the disk of {place}; nothing was read: free at least "
                f"{LEAST_FREE >> 20} MB and run again"
            )


def full_disk_error(error: BaseException, dataset: str | None) -> LoadError | None:
    """The error if a load failed for lack of space, otherwise ``None``."""
    if not any(_is_full(cause) for cause in causes(error)):
        return None
    return LoadError(
        f"the disk of the destination is full, or that of the working folder (dataset {dataset}); free space "
        "and run again: pending rows in the working folder are loaded first"
    )


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    codes = {getattr(error, name, None) for name in ("pgcode", "sqlstate")}
    # After several tries, dlt keeps only the text of the error.
    text = str(error).lower()
    return POSTGRES_FULL in codes or any(word in text for word in WORDS)


def _places(pipeline: dlt.Pipeline) -> list[Path]:
    """The folders on this machine that a load writes to."""
    places = [Path(pipeline.working_dir)]
    credentials = getattr(pipeline.destination_client().config, "credentials", None)
    database = Path(str(getattr(credentials, "database", None) or ""))
    if database.is_absolute() and database.parent.is_dir():
        places.append(database.parent)
    return places
