"""The holder of a lock, and the note with which it names itself to others."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

# Characters of a folder in a note; Postgres shows only the first 1,024 bytes of a statement.
LONGEST_FOLDER = 160


@dataclass(frozen=True)
class Writer:
    """The holder of a lock.

    Attributes:
        pipeline: Pipeline name.
        host: Host name.
        pid: Process id on that host.
        since: Seconds since the epoch, UTC, when it took the lock.
        folder: Folder of its project, or its current folder; empty if unknown. The start of a long path is
            left out.
    """

    pipeline: str
    host: str
    pid: int
    since: float
    folder: str = ""

    @classmethod
    def of(cls, pipeline: str, now: float) -> Writer:
        """This process."""
        return cls(pipeline, socket.gethostname(), os.getpid(), now, _folder())

    def to_note(self) -> str:
        """The text that ``read_note`` parses."""
        return json.dumps(asdict(self), ensure_ascii=False)  # a byte for most characters

    @property
    def when(self) -> str:
        """``since`` for messages."""
        return f"{datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"

    @property
    def where(self) -> str:
        """``folder`` for messages; empty if unknown."""
        return f" in {self.folder}" if self.folder else ""

    def __str__(self) -> str:
        """For messages."""
        return f"pipeline {self.pipeline} (process {self.pid} on {self.host}{self.where}, since {self.when})"


def _folder() -> str:
    with suppress(OSError):  # the folder was deleted
        folder = os.fsencode(Path.cwd()).decode("utf-8", "replace")
        return folder if len(folder) <= LONGEST_FOLDER else f"...{folder[-LONGEST_FOLDER:]}"
    return ""


def read_note(note: str) -> Writer | None:
    """The writer that a note describes; ``None`` if it cannot be read."""
    try:
        return Writer(**json.loads(note))
    except (ValueError, TypeError):
        return None
