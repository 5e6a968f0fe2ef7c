"""The start of a command: a sign of life on a terminal, and Ctrl-C while modules are imported."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from ...errors import ExitCode

ERASE = "\r\x1b[K"


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process at once, before it has done anything.

    An exception during an import would leave modules incomplete, and a traceback on the screen.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.signal(n, _leave) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    erase = ERASE if sys.stderr.isatty() else ""
    os.write(2, f"{erase}stopped; nothing was done\n".encode())
    os._exit(ExitCode.INTERRUPTED)


def start() -> None:
    """Import dlt, which takes seconds on a slow disk, and show that the command works."""
    if "dlt" in sys.modules:
        return
    is_seen = sys.stderr.isatty()
    if is_seen:
        sys.stderr.write("starting ...")
        sys.stderr.flush()
    try:
        with stopped_at_once():
            import_module("dlt")
    finally:
        if is_seen:
            sys.stderr.write(ERASE)
            sys.stderr.flush()
