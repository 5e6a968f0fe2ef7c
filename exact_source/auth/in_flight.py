"""Token requests whose replies are not stored yet; a process waits for them before it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Spending:
    """Counts the requests of this process that may have used up a refresh token or a code."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._is_closed = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wrap one request and the storing of its reply; blocks forever after ``close``."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)  # forever: the process ends
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def close(self, on_wait: Callable[[], None]) -> None:
        """Block new requests, and wait for those in progress; Ctrl-C interrupts the wait.

        Args:
            on_wait: Called before the wait, if there is one.
        """
        with self._changed:
            self._is_closed = True
            if self._count:
                on_wait()
            self._changed.wait_for(lambda: not self._count)


# One per process, because it delays the end of the process.
SPENDING = Spending()
