"""When Python looks for garbage: seldom while a sync runs, and between its rounds; and that its memory stays.

The search goes through everything that was imported, and took an eighth of the time of a short sync. What
it finds are small things, but for one: dlt asks for many settings that nobody has set, and the errors that
say so hold the frames that they passed, with rows in them.

The memory that a page of 1,000 rows was received in went back to the system each time, and came back as
some 600 page faults, 3 % of the time of a sync.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# New objects before the youngest are searched, such searches before the next generation is, and so on.
SELDOM = (10_000, 10, 10)
# Of one block. The C library keeps twice the largest that it has freed so far (mallopt(3), "dynamic mmap
# threshold"; others than glibc have ways of their own); this one is never written to, so it takes none.
FREED_BYTES = 8 << 20


@contextmanager
def sought_seldom() -> Iterator[None]:
    """Have the whole process search seldom, until this ends."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def collect() -> None:
    """Let go of what nobody can reach: rows of an earlier round, that is."""
    gc.collect()


def keep_what_is_freed() -> None:
    """Have memory that pages were in be there for the next ones."""
    bytes(FREED_BYTES)
