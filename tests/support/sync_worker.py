"""A process that loads and may kill itself on the way. Run as a module with JSON.

Moments to die: ``{"step": 7}`` at the seventh step of a stream, ``{"round": 2}`` before a round,
``{"folder": "load/normalized/*/started_jobs/*"}`` as soon as dlt has put such a file there,
``{"committed": "accounts"}`` when rows of that table are in the destination and dlt has not recorded it.
Instead, ``{"disk": 4096}`` limits the size of files in bytes after the first round is loaded.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

from exact_source.clock import SystemClock


class AheadClock(SystemClock):
    """The computer's clock on another day."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_s = ahead_s

    def now(self) -> float:
        return super().now() + self._ahead_s


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def reach(number: int, moment: dict[str, Any]) -> None:
    """Called before each round."""
    if number == moment.get("round"):
        die()
    if number == 2 and "disk" in moment:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # lets the write fail instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (moment["disk"], moment["disk"]))


def watch(folder: Path, pattern: str) -> None:
    """Die when the file appears; polls without pause, because it exists for milliseconds only."""
    while not any(folder.glob(pattern)):
        time.sleep(0.0005)
    die()


def die_once_committed(table: str) -> None:
    """Die where a repeated load would duplicate every row."""
    from dlt.destinations.impl.duckdb.duck import DuckDbCopyJob

    load = DuckDbCopyJob.run

    def run(self: DuckDbCopyJob) -> None:
        load(self)
        if self.load_table_name == table:
            die()

    DuckDbCopyJob.run = run  # type: ignore[method-assign]


def main(order: dict[str, Any]) -> int:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt

    from exact_source.auth import FileTokenStorage
    from exact_source.settings import Settings
    from exact_source.source import make_options, make_run
    from exact_source.sync.runner import sync
    from tests.support.world import DATASET

    folder = Path(order["folder"])
    run = make_run(
        make_options(**order["options"]),
        Settings(**order["settings"]),
        FileTokenStorage(folder / "tokens.json"),
        clock=AheadClock(order.get("ahead_s", 0.0)),
    )
    pipeline = dlt.pipeline(
        "exact_online",
        destination=dlt.destinations.duckdb(str(folder / "exact.duckdb")),
        dataset_name=DATASET,
        pipelines_dir=str(folder / "pipelines"),
    )
    moment, steps = order["die"], count(1)
    if "step" in moment:
        run.log.on_progress = lambda _result: die() if next(steps) == moment["step"] else None
    if "committed" in moment:
        die_once_committed(moment["committed"])
    if "folder" in moment:
        home = folder / "pipelines" / "exact_online"
        threading.Thread(target=watch, args=(home, moment["folder"]), daemon=True).start()
    outcome = sync(
        pipeline,
        run,
        order["entities"],
        on_round=lambda number: reach(number, moment),
    )
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
