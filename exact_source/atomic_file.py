"""Files that are replaced as a whole, are on disk when a function returns, and are private."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import TokenStoreError

# A holder is done within two token requests; a longer wait means that the holder hangs.
LOCK_WAIT_S = 300.0
POLL_S = 0.01


def replace_durably(path: Path, text: str, what: str) -> None:
    """Replace a file; after a crash it holds the old text or the new one.

    Args:
        path: The file.
        text: Its new content.
        what: What to call it in an error message.

    Raises:
        TokenStoreError: If that fails; the file is then as it was.
    """
    draft = _draft(path)
    with _errors(path, draft, what):
        _write(draft, text)
        draft.replace(path)
        _sync_folder(path.parent)


def try_writing(path: Path, what: str) -> None:
    """Write and remove a draft, to learn early that ``replace_durably`` cannot work.

    Raises:
        TokenStoreError: If it cannot.
    """
    draft = _draft(path)
    with _errors(path, draft, what):
        _write(draft, " " * 8192)  # more than a pair of tokens takes
        draft.unlink()


def remove_drafts(path: Path) -> None:
    """Remove what crashed writers left; only while holding the lock."""
    for draft in path.parent.glob(f".{path.name}.*.new"):
        with suppress(OSError):
            draft.unlink()


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock on ``.NAME.lock`` beside a file: one thread of one process of this machine.

    Raises:
        TokenStoreError: If it is not to be had.
    """
    from filelock import FileLock, Timeout

    lock_file = path.with_name(f".{path.name}.lock")
    try:
        lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A lock object of its own for each use: one that is shared would let its threads in.
        lock = FileLock(lock_file, LOCK_WAIT_S, mode=0o600, thread_local=False)
        lock.acquire(poll_interval=POLL_S)
    except Timeout:
        raise TokenStoreError(
            f"{lock_file} was not released within {LOCK_WAIT_S:.0f} s by another process"
        ) from None
    except OSError as error:
        raise TokenStoreError(f"{lock_file} cannot be locked: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")


@contextmanager
def _errors(path: Path, draft: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise TokenStoreError(f"{what} {path} cannot be written: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    """Make a file that only its owner can read from its first byte on, and get it onto the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Get the names in a folder onto the disk; Windows knows no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
