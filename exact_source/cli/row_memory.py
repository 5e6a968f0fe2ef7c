"""Stores the row counts of ``exact-source plan``, from which syncs estimate the time of a first load.

The number of its calls is stored as well, because they count toward the contract.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..client.limits import DAY_S
from ..errors import ConfigurationError
from .files import replace_file

if TYPE_CHECKING:
    import dlt

    from ._output.stored_syncs import Stream


@dataclass(frozen=True)
class Counted:
    """Row counts of streams, according to Exact, and the calls that plans made.

    Attributes:
        start_ms: ``Options.start_ms`` of the count: older rows were left out; ``None``: none were.
        rows: Stream -> number of rows.
        day: Days since the epoch, UTC, for ``calls``.
        calls: Calls that plans made on that day.
    """

    start_ms: int | None = None
    rows: Mapping[Stream, int] = field(default_factory=dict)
    day: int = 0
    calls: int = 0

    def calls_on(self, day: int) -> int:
        """Calls that plans made on a day."""
        return self.calls if self.day == day else 0


def day_of(now: float) -> int:
    """Days since the epoch, UTC; Exact's days end at 00:00 UTC (API 2.1)."""
    return int(now // DAY_S)


def keep_counted(pipeline: dlt.Pipeline, counted: Counted) -> None:
    """Store the counts for later syncs, together with earlier counts from the same ``start_ms``.

    A file that cannot be written is ignored: without it, the remaining time is not shown, and the calls of
    plans do not count toward the contract.
    """
    before = recall_counted(pipeline)
    rows = dict(counted.rows)
    if before.start_ms == counted.start_ms:
        rows = {**before.rows, **rows}
    path = _path(pipeline)
    kept = [[division, entity, count] for (division, entity), count in rows.items()]
    calls = before.calls_on(counted.day) + counted.calls
    content = {"start_ms": counted.start_ms, "rows": kept, "day": counted.day, "calls": calls}
    with suppress(OSError, ConfigurationError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(content), "plan")


def recall_counted(pipeline: dlt.Pipeline) -> Counted:
    """The stored counts of a pipeline; empty if there are none."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_path(pipeline).read_text())
        rows = {
            (int(division), str(entity)): int(count) for division, entity, count in kept["rows"]
        }
        return Counted(kept["start_ms"], rows, int(kept.get("day", 0)), int(kept.get("calls", 0)))
    return Counted()


def _path(pipeline: dlt.Pipeline) -> Path:
    """The file, next to dlt's working folder and not in it, because that may be deleted."""
    return Path(pipeline.pipelines_dir) / f"{pipeline.pipeline_name}.exact-counts.json"
