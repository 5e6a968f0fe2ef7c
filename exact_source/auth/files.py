"""Tokens in a file: replaced as a whole, on disk before ``save_tokens`` returns, private."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import TokenStoreError
from ..settings import SECTION
from .encryption import Cipher
from .storage import LOCK_WAIT_S, POLL_S
from .tokens import TokenData, TokenDataError

logger = logging.getLogger(__name__)

OTHERS = stat.S_IRWXO
GROUP = stat.S_IRWXG
REMEDY = "restore it or move it away and run `exact-source login`; nothing was changed"


class FileTokenStorage:
    """Tokens in one file on a local disk, for processes of one machine.

    After a crash the file holds the old pair or the new one, never a part. It is created with mode
    0600; beside it stand ``.NAME.lock`` and, after a crash, a draft that the next refresh removes.
    Not covered: several machines on a network file system, whose locks and renames differ.

    Args:
        path: The file; a link is followed. Mount its folder into a container, not the file alone:
            a mounted file cannot be replaced.
        key: Fernet key(s), newest first, separated by commas; the file is then encrypted. A plain
            file, or one with an older key, is read and becomes encrypted with the newest key at the
            next refresh.

    Raises:
        ConfigurationError: If ``key`` is no Fernet key.
    """

    def __init__(self, path: str | os.PathLike[str], *, key: str | None = None) -> None:
        self._path = Path(path).expanduser().absolute()
        self._cipher = Cipher(key) if key else None
        self._warned = False

    def __repr__(self) -> str:
        return f"FileTokenStorage({str(self._path)!r}, encrypted={self._cipher is not None})"

    def describe(self) -> str:
        """Kind and place, for people."""
        return f"file {self._path} ({'encrypted' if self._cipher else 'plain text, mode 0600'})"

    def get_tokens(self) -> TokenData | None:
        """The stored pair, ``None`` if there is no file.

        Raises:
            TokenStoreError: If the file cannot be read, is damaged, or is open to other users.
        """
        text = self._read()
        if text is None:
            return None
        try:
            document = json.loads(text)
        except ValueError:
            what = "is empty" if not text.strip() else "is damaged or cut off"
            raise TokenStoreError(f"token file {self._path} {what}: {REMEDY}") from None
        encrypted = document.get("fernet") if isinstance(document, dict) else None
        if encrypted is None:
            self._check_mode()
        elif self._cipher is None:
            raise TokenStoreError(
                f"token file {self._path} is encrypted, but {SECTION}.token_key is not set"
            )
        else:
            text = self._cipher.decrypt(str(encrypted), f"token file {self._path}")
        try:
            return TokenData.from_json(text)
        except TokenDataError as error:
            raise TokenStoreError(f"token file {self._path}: {error}: {REMEDY}") from None

    def save_tokens(self, tokens: TokenData) -> None:
        """Replace the file.

        Raises:
            TokenStoreError: If that fails; the file is then as it was.
        """
        text = tokens.to_json()
        if self._cipher is not None:
            text = json.dumps({"fernet": self._cipher.encrypt(text)})
        self._guarded_replace(text)

    def delete_tokens(self) -> None:
        """Remove the file and drafts of it."""
        try:
            self._target().unlink(missing_ok=True)
            self._remove_drafts()
        except OSError as error:
            raise TokenStoreError(f"{self._path} cannot be removed: {error.strerror}") from error

    def rehearse(self) -> None:
        """Write what is there once more, the way ``save_tokens`` does it.

        Raises:
            TokenStoreError: If a ``save_tokens`` would fail as well: full disk, read-only folder.
        """
        self._remove_drafts()
        text = self._read()
        if text is None:
            # The place is shown to work without leaving a file that would look like damage.
            draft = self._draft()
            self._guarded(draft, lambda: write_durably(draft, "{}"))
            draft.unlink(missing_ok=True)
        else:
            self._guarded_replace(text)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other threads and processes of this machine out.

        Raises:
            TokenStoreError: If the lock is not to be had.
        """
        from filelock import FileLock, Timeout

        lock_file = self._target().with_name(f".{self._target().name}.lock")
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

    def _target(self) -> Path:
        return self._path.resolve()

    def _draft(self) -> Path:
        target = self._target()
        return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.new")

    def _remove_drafts(self) -> None:
        target = self._target()
        for draft in target.parent.glob(f".{target.name}.*.new"):
            with suppress(OSError):
                draft.unlink()

    def _read(self) -> str | None:
        try:
            return self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise TokenStoreError(f"token file {self._path} is damaged: {REMEDY}") from None
        except OSError as error:
            raise TokenStoreError(
                f"token file {self._path} cannot be read: {error.strerror}"
            ) from error

    def _check_mode(self) -> None:
        if os.name == "nt":
            return
        mode = stat.S_IMODE(self._path.stat().st_mode)
        if mode & OTHERS:
            raise TokenStoreError(
                f"token file {self._path} is open to every user of this machine (mode {mode:o}): "
                f"run chmod 600 {self._path}, or set {SECTION}.token_key to encrypt it"
            )
        if mode & GROUP and not self._warned:
            self._warned = True
            logger.warning("token file %s is open to its group (mode %o)", self._path, mode)

    def _guarded_replace(self, text: str) -> None:
        draft, target = self._draft(), self._target()

        def replace() -> None:
            write_durably(draft, text)
            draft.replace(target)
            sync_folder(target.parent)

        self._guarded(draft, replace)

    def _guarded(self, draft: Path, write: object) -> None:
        assert callable(write)  # noqa: S101
        try:
            write()
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise TokenStoreError(
                f"token file {self._path} cannot be written: {error.strerror}"
            ) from error


def write_durably(path: Path, text: str) -> None:
    """Make a new file, readable by its owner only from the start, and get it onto the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Get the names in a folder onto the disk; Windows knows no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
