"""Makes Python's garbage collector run rarely during a command, because it visits all imported objects.

Only commands do this: a library should not change the thresholds of a process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Thresholds as for ``gc.set_threshold``: allocations, then collections of the younger generation.
INFREQUENT = (10_000, 10, 10)


@contextmanager
def infrequent_gc() -> Iterator[None]:
    """Run the garbage collector rarely in the whole process until the block ends."""
    before = gc.get_threshold()
    gc.set_threshold(*INFREQUENT)
    try:
        yield
    finally:
        gc.set_threshold(*before)
