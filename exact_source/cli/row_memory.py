"""Stores the row counts of ``exact-source plan``, from which syncs estimate the time of a first load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from .files import replace_file

if TYPE_CHECKING:
    import dlt

    from ._output.stored_syncs import Stream


@dataclass(frozen=True)
class Counted:
    """Row counts of streams, according to Exact.

    Attributes:
        start_ms: ``Options.start_ms`` of the count: older rows were left out; ``None``: none were.
        rows: Stream -> number of rows.
    """

    start_ms: int | None = None
    rows: Mapping[Stream, int] = field(default_factory=dict)


def keep_counted(pipeline: dlt.Pipeline, counted: Counted) -> None:
    """Store the counts for later syncs, together with earlier counts from the same ``start_ms``.

    A file that cannot be written is ignored: without it, only the remaining time is not shown.
    """
    before = recall_counted(pipeline)
    rows = dict(counted.rows)
    if before.start_ms == counted.start_ms:
        rows = {**before.rows, **rows}
    path = _path(pipeline)
    kept = [[division, entity, count] for (division, entity), count in rows.items()]
    with suppress(OSError, ConfigurationError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps({"start_ms": counted.start_ms, "rows": kept}), "plan")


def recall_counted(pipeline: dlt.Pipeline) -> Counted:
    """The stored counts of a pipeline; empty if there are none."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_path(pipeline).read_text())
        rows = {
            (int(division), str(entity)): int(count) for division, entity, count in kept["rows"]
        }
        return Counted(kept["start_ms"], rows)
    return Counted()


def _path(pipeline: dlt.Pipeline) -> Path:
    """The file, next to dlt's working folder and not in it, because that may be deleted."""
    return Path(pipeline.pipelines_dir) / f"{pipeline.pipeline_name}.exact-counts.json"
