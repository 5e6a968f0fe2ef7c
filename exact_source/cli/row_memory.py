"""Rows that ``exact-source plan`` counted: nothing else tells how long a first load takes."""

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
    """Rows of streams, as Exact counted them.

    Attributes:
        start_ms: Older rows were left out, as by ``Options.start_ms``; ``None``: all were counted.
        rows: Stream -> rows.
    """

    start_ms: int | None = None
    rows: Mapping[Stream, int] = field(default_factory=dict)


def keep_counted(pipeline: dlt.Pipeline, counted: Counted) -> None:
    """Keep it for the syncs that follow, with what was counted before in the same way.

    A file that cannot be written is no reason to stop: without it nobody is told the time left.
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
    """What plans of a pipeline counted; nothing if there was none."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_path(pipeline).read_text())
        rows = {
            (int(division), str(entity)): int(count) for division, entity, count in kept["rows"]
        }
        return Counted(kept["start_ms"], rows)
    return Counted()


def _path(pipeline: dlt.Pipeline) -> Path:
    """Beside dlt's working folder, which may be dropped."""
    return Path(pipeline.pipelines_dir) / f"{pipeline.pipeline_name}.exact-counts.json"
