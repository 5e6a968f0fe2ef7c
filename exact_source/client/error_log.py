"""Stores the errors of the past hour in a file next to dlt's working folder.

Exact counts the errors of all runs, even of those that load nothing (API 2.3), so they are not stored in the
state that is committed with a load.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from ..atomic_file import replace_file
from .limits import Limits


class ErrorFile:
    """The errors of one pipeline's connection, shared by all commands that make calls for it.

    A file that cannot be read or written does not stop a run: the state of the loads has most of its content.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self, limits: Limits) -> None:
        """Count the errors of earlier runs."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            limits.recall_errors(json.loads(self._path.read_text()))

    def keep(self, limits: Limits, now: float) -> None:
        """Store the errors of the past hour for the next run; without errors, delete the file.

        Errors that other commands have stored meanwhile are added to the count.
        """
        self.recall(limits)
        errors = limits.errors(now)
        with suppress(OSError):
            if not errors:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(errors))
