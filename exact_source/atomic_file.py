"""Replaces files atomically: a reader, even after a crash, sees either the old text or the new one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import TokenStoreError

# A holder finishes within two token requests; a longer wait means that it hangs.
LOCK_WAIT_S = 300.0
POLL_S = 0.01
PRIVATE, PUBLIC = 0o600, 0o666  # the umask reduces the second


def replace_file(path: Path, text: str, *, mode: int = PRIVATE) -> None:
    """Replace a file; its new content is on disk when this returns.

    Args:
        path: The file; its folder must exist.
        text: Its new content.
        mode: Mode of the file, from its creation on.

    Raises:
        OSError: If that fails; the file is then unchanged.
    """
    with _draft_of(path, text, mode) as draft:
        draft.replace(path)
        _sync_folder(path.parent)


def replace_durably(path: Path, text: str, what: str) -> None:
    """Replace a private file of a token store, and create its folder if necessary.

    Args:
        path: The file.
        text: Its new content.
        what: Name of the file in error messages.

    Raises:
        TokenStoreError: If that fails; the file is then unchanged.
    """
    with _errors(path, what):
        _make_folder(path)
        replace_file(path, text)


def try_writing(path: Path, what: str) -> None:
    """Write and remove a temporary file, to check that ``replace_durably`` would succeed.

    Raises:
        TokenStoreError: If it would fail.
    """
    with _errors(path, what):
        _make_folder(path)
        with _draft_of(path, " " * 8192, PRIVATE) as draft:  # more than a pair of tokens takes
            draft.unlink()


def remove_drafts(path: Path) -> None:
    """Remove temporary files of writers that crashed; call it while holding the lock."""
    for draft in path.parent.glob(f".{path.name}.*.new"):
        with suppress(OSError):
            draft.unlink()


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock on ``.NAME.lock`` next to a file; it excludes all other threads of this machine.

    Raises:
        TokenStoreError: If the lock cannot be taken.
    """
    from filelock import FileLock, Timeout

    lock_file = path.with_name(f".{path.name}.lock")
    try:
        lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Each use has its own lock object; a shared one would let other threads in.
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


@contextmanager
def _errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TokenStoreError(f"{what} {path} cannot be written: {error.strerror}") from error


def _make_folder(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _draft_of(path: Path, text: str, mode: int) -> Iterator[Path]:
    """A temporary file with the text, on disk; it is removed if something fails."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk; Windows cannot do that."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
