"""An exclusive lock on a file that names its holder; the operating system ends it with the process.

``filelock`` truncates or removes the file, but a waiting process must be able to read the holder's name. Over
NFS the kernel passes ``flock`` on to the server, so hosts that share a folder exclude each other as well.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST_NOTE = 4096  # bytes


class LockedError(Exception):
    """Another process, or another descriptor of this one, holds the lock.

    Attributes:
        note: The holder's note; empty if it could not be read.
    """

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


@contextmanager
def locked(path: Path, note: str) -> Iterator[None]:
    """Hold the lock; the file remains, and is empty once the lock is free.

    A file that another user created may be read-only. It is locked anyway, without a note.

    Args:
        path: Lock file in an existing folder; it is created if it does not exist.
        note: Text that ``LockedError`` has in other processes.

    Raises:
        LockedError: If it is taken.
        OSError: If the file can be neither created nor opened.
    """
    descriptor, is_writable = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = os.read(descriptor, LONGEST_NOTE).decode("utf-8", "replace")
            raise LockedError(found) from None
        if is_writable:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note.encode(), 0)
        try:
            yield
        finally:
            if is_writable:
                # The next holder may be unable to replace the note, and is not this process.
                os.ftruncate(descriptor, 0)
            # Closing is not enough: a forked child may have a copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _open(path: Path) -> tuple[int, bool]:
    """Descriptor of the file, and whether it can be written to."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), True
    except PermissionError:
        with suppress(OSError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False
        raise
