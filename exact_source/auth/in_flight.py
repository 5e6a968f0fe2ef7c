"""Token requests whose answers are not stored yet; whoever ends the process waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Spending:
    """Counts the requests of this process that may have spent a refresh token or a code."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._is_closed = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around one request and the storing of its answer; never begins once ``close`` was called."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)  # for ever: the process ends
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def close(self, on_wait: Callable[[], None]) -> None:
        """Let no request begin any more, and wait for those under way; Ctrl-C interrupts that.

        Args:
            on_wait: Called before it waits, if it has to.
        """
        with self._changed:
            self._is_closed = True
            if self._count:
                on_wait()
            self._changed.wait_for(lambda: not self._count)


# One per process, like the end of the process.
SPENDING = Spending()
