"""Token storages in databases: encryption, and a local journal until the commit.

Between the reply of the token endpoint and the commit of the database, new tokens would exist only in memory.
They are therefore first written, encrypted, to a file on this machine (1 ms), and then committed.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...atomic_file import remove_drafts, replace_durably, try_writing
from ...errors import TokenStoreError
from ..tokens import TokenData, TokenDataError
from .cipher import START_ANEW, Cipher
from .refusal import RefusalFile


@dataclass(frozen=True)
class Row:
    """The row of one connection in the database.

    Attributes:
        generation: Number of times that tokens were stored.
        blob: The encrypted tokens; ``None`` in a row that only serves as a lock.
    """

    generation: int
    blob: str | None = field(repr=False)


@dataclass(frozen=True)
class Entry:
    """The tokens in the journal, with a reference to the tokens that they replace.

    Attributes:
        generation: Generation of the tokens.
        follows: Fingerprint of the tokens that they replace; ``None`` for the first.
        tokens: The tokens.
    """

    generation: int
    follows: str | None
    tokens: TokenData


class Journal:
    """Encrypted tokens in a file, which is on disk before they are sent to the database."""

    def __init__(self, path: Path, cipher: Cipher) -> None:
        self.path = path.expanduser().absolute()
        self._cipher = cipher

    def write(self, entry: Entry) -> None:
        """Replace the entry.

        Raises:
            TokenStoreError: If that fails.
        """
        document = {
            "generation": entry.generation,
            "follows": entry.follows,
            "tokens": entry.tokens.to_json(),
        }
        replace_durably(self.path, self._cipher.encrypt(json.dumps(document)), "token journal")

    def check_writable(self) -> None:
        """Raise if an entry could not be written.

        Raises:
            TokenStoreError: If so.
        """
        remove_drafts(self.path)
        try_writing(self.path, "token journal")

    def read(self) -> Entry | None:
        """The entry; ``None`` if there is none.

        Raises:
            TokenStoreError: If it is damaged; it may be the only copy of the newest tokens.
        """
        place = f"token journal {self.path}"
        try:
            text = self._cipher.decrypt(self.path.read_text("utf-8"), place)
            document = json.loads(text)
            tokens = TokenData.from_json(document["tokens"])
            return Entry(document["generation"], document["follows"], tokens)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenStoreError(f"{place} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, TokenDataError):
            raise TokenStoreError(
                f"{place} is damaged; nothing was changed: restore it, or {START_ANEW}"
            ) from None

    def clear(self) -> None:
        """Remove the entry; one that remains is ignored, because it does not follow the stored tokens."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class _Held(threading.local):
    """The row that a thread has read while it holds the lock."""

    is_locked = False
    row: Row | None = None


class JournaledStorage(ABC):
    """A token storage in a database; subclasses implement the access to it.

    Attributes:
        place: Kind and place of the storage, for messages.
    """

    def __init__(self, cipher: Cipher, journal: Path | None, place: str) -> None:
        self._cipher = cipher
        self._journal = Journal(journal, cipher) if journal is not None else None
        self.place = place
        self._held = _Held()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    @property
    def refusal_file(self) -> Path | None:
        """File in which a refused refresh token is noted; ``None`` without a journal."""
        if self._journal is None:
            return None
        return self._journal.path.with_name(f"{self._journal.path.name}.refused")

    def describe(self) -> str:
        """Kind and place of the storage, for users."""
        return f"{self.place} (encrypted)"

    def get_tokens(self) -> TokenData | None:
        """The newest tokens: from the database, or left in the journal by a crash.

        Raises:
            TokenStoreError: If it cannot be read.
        """
        stored = self._decrypt(self._read())
        entry = self._successor(stored)
        return entry.tokens if entry is not None else stored

    def save_tokens(self, tokens: TokenData) -> None:
        """Commit the tokens, replacing the earlier ones.

        Raises:
            TokenStoreError: If that fails; the journal then contains the tokens.
        """
        # Use the row that was read under the lock, because the journal must be written even if the database
        # can no longer be reached.
        row = self._held.row if self._held.is_locked else self._fetch()
        generation = (row.generation if row else 0) + 1
        stored = self._decrypt(row)
        if self._journal is not None:
            follows = stored.fingerprint if stored else None
            self._journal.write(Entry(generation, follows, tokens))
        self._write_row(Row(generation, self._encrypt(tokens)))
        if self._journal is not None:
            self._journal.clear()

    def delete_tokens(self) -> None:
        """Remove the tokens and the journal.

        Raises:
            TokenStoreError: If that fails.
        """
        with self._lock():
            if self._journal is not None:
                self._journal.clear()
            if self.refusal_file is not None:
                RefusalFile(self.refusal_file).clear()
            self._remove()

    def check_writable(self) -> None:
        """Raise if tokens could not be stored; called before a refresh token is used up.

        Raises:
            TokenStoreError: If so.
        """
        if self._journal is not None:
            self._journal.check_writable()
        self._probe()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Exclude other threads, processes and hosts, as far as the database can.

        Raises:
            TokenStoreError: If the lock cannot be taken.
        """
        caught_up = False
        while not caught_up:
            with self._lock():
                caught_up = not self._catch_up()
                if caught_up:
                    self._held.is_locked = True
                    try:
                        yield
                    finally:
                        self._held.is_locked = False

    def _catch_up(self) -> bool:
        """Store tokens that a crash left in the journal; the commit ends the lock."""
        self._held.row = self._fetch()
        entry = self._successor(self._decrypt(self._held.row))
        if entry is None or self._journal is None:
            return False
        self._write_row(Row(entry.generation, self._encrypt(entry.tokens)))
        self._journal.clear()
        return True

    def _read(self) -> Row | None:
        row = self._fetch()
        if self._held.is_locked:
            self._held.row = row
        return row

    def _successor(self, stored: TokenData | None) -> Entry | None:
        """The entry of the journal, if it follows the tokens in the database."""
        entry = self._journal.read() if self._journal is not None else None
        if entry is None:
            return None
        return entry if entry.follows == (stored.fingerprint if stored else None) else None

    def _encrypt(self, tokens: TokenData) -> str:
        return self._cipher.encrypt(tokens.to_json())

    def _decrypt(self, row: Row | None) -> TokenData | None:
        if row is None or row.blob is None:
            return None
        try:
            return TokenData.from_json(self._cipher.decrypt(row.blob, self.place))
        except TokenDataError as error:
            raise TokenStoreError(f"{self.place}: {error}: {START_ANEW}") from None

    @abstractmethod
    def _lock(self) -> AbstractContextManager[None]:
        """Hold the lock."""

    @abstractmethod
    def _fetch(self) -> Row | None:
        """Read the row."""

    @abstractmethod
    def _write_row(self, row: Row) -> None:
        """Write the row and commit."""

    @abstractmethod
    def _remove(self) -> None:
        """Delete the row and commit."""

    @abstractmethod
    def _probe(self) -> None:
        """Raise if ``_write_row`` would fail; commit nothing."""
