"""Runs Python's garbage collector rarely during a command, because it visits all imported objects.

Only the owner of a process may set its thresholds, so the library leaves them alone.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Allocations before the youngest generation is searched, such searches before the next one is, and so on.
INFREQUENT = (10_000, 10, 10)


@contextmanager
def infrequent_gc() -> Iterator[None]:
    """Collect garbage rarely in the whole process until the block ends."""
    before = gc.get_threshold()
    gc.set_threshold(*INFREQUENT)
    try:
        yield
    finally:
        gc.set_threshold(*before)
