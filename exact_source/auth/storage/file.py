"""Tokens in a private file that is replaced atomically, and is on disk when ``save_tokens`` returns."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...atomic_file import file_lock, remove_drafts, replace_durably, try_writing
from ...errors import TokenStoreError
from ...settings import SECTION
from ..tokens import TokenData, TokenDataError
from .cipher import Cipher

logger = logging.getLogger(__name__)

OTHERS = stat.S_IRWXO
GROUP = stat.S_IRWXG
REMEDY = "restore it or move it away and run `exact-source login`; nothing was changed"


class FileTokenStorage:
    """Tokens in one file on a local disk, for processes of one machine.

    After a crash the file contains the old tokens or the new ones, never a mixture. Its mode is 0600. Next
    to it are ``.NAME.lock``, after a refusal ``.NAME.refused`` and, after a crash, a temporary file that the
    next refresh removes. Several machines on a network file system are not supported, because locks and
    renames work differently there.

    Args:
        path: The file; links are followed. Mount its folder into a container, not the file alone: a
            mounted file cannot be replaced.
        key: Fernet keys, newest first, separated by commas, to encrypt the file. An unencrypted file, or
            one with an older key, can be read; the next refresh encrypts it with the newest key.

    Raises:
        ConfigurationError: If ``key`` is not a Fernet key.
    """

    def __init__(self, path: str | os.PathLike[str], *, key: str | None = None) -> None:
        self._path = Path(path).expanduser().absolute()
        self._cipher = Cipher(key) if key else None
        self._warned = False

    def __repr__(self) -> str:
        return f"FileTokenStorage({str(self._path)!r}, encrypted={self._cipher is not None})"

    @property
    def refusal_file(self) -> Path:
        """File in which a refused refresh token is noted."""
        target = self._target()
        return target.with_name(f".{target.name}.refused")

    def describe(self) -> str:
        """Kind and place of the storage, for users."""
        return f"file {self._path} ({'encrypted' if self._cipher else 'plain text, mode 0600'})"

    def get_tokens(self) -> TokenData | None:
        """The stored tokens; ``None`` if there is no file.

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
            TokenStoreError: If that fails; the file is then unchanged.
        """
        text = tokens.to_json()
        if self._cipher is not None:
            text = json.dumps({"fernet": self._cipher.encrypt(text)})
        replace_durably(self._target(), text, "token file")

    def delete_tokens(self) -> None:
        """Remove the file and its temporary files, while holding the lock.

        Raises:
            TokenStoreError: If that fails.
        """
        with self.lock():
            try:
                self._target().unlink(missing_ok=True)
                self.refusal_file.unlink(missing_ok=True)
                remove_drafts(self._target())
            except OSError as error:
                raise TokenStoreError(
                    f"{self._path} cannot be removed: {error.strerror}"
                ) from error

    def check_writable(self) -> None:
        """Write the current content again, as ``save_tokens`` does.

        Raises:
            TokenStoreError: If ``save_tokens`` would fail: full disk, read-only folder.
        """
        target = self._target()
        remove_drafts(target)
        text = self._read()
        if text is None:
            try_writing(target, "token file")
        else:
            replace_durably(target, text, "token file")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Exclude other threads and processes of this machine.

        Raises:
            TokenStoreError: If the lock cannot be taken.
        """
        with file_lock(self._target()):
            yield

    def _target(self) -> Path:
        return self._path.resolve()

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
                f"token file {self._path} can be read by every user of this machine (mode {mode:o}): "
                f"run chmod 600 {self._path}"
            )
        if mode & GROUP and not self._warned:
            self._warned = True
            logger.warning("token file %s can be read by its group (mode %o)", self._path, mode)
