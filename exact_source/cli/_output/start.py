"""The start of a command: an indicator on a terminal, and Ctrl-C while modules are imported."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from ...errors import ExitCode

ERASE = "\r\x1b[K"


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process immediately, before it has done anything.

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


class Sign:
    """An indicator while modules are imported, which takes seconds on a slow disk.

    It is erased before anything else is shown; without a terminal there is none.
    """

    def __init__(self) -> None:
        self._is_shown = False

    def show(self) -> None:
        """Show the indicator."""
        if sys.stderr.isatty():
            self._is_shown = True
            self._write("starting ...")

    def erase(self) -> None:
        """Erase the indicator, if it is shown."""
        if self._is_shown:
            self._is_shown = False
            self._write(ERASE)

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


SIGN = Sign()


def is_about_the_command(arguments: Sequence[str]) -> bool:
    """Whether a command line requests help, the version or a completion, which import little."""
    asks = {"--help", "-h", "--version"}.intersection(arguments)
    return not arguments or bool(asks) or "_EXACT_SOURCE_COMPLETE" in os.environ


def start() -> None:
    """Import dlt, during which Ctrl-C ends the process immediately; then erase the indicator."""
    if "dlt" not in sys.modules:
        with stopped_at_once():
            import_module("dlt")
    SIGN.erase()
