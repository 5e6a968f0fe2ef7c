"""Columns of one entity that are left out or replaced by a keyed hash."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Guard:
    """Fields of one entity whose values must not be loaded.

    Attributes:
        excluded: Fields that are not requested.
        hashed: Text fields whose values are replaced by their HMAC-SHA-256, in hexadecimal.
        key: Key of the hashes.
        pattern: Matches fields that must not be kept even if the catalogue does not know them.
    """

    excluded: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)
    pattern: re.Pattern[str] | None = None

    @property
    def fields(self) -> frozenset[str]:
        """All excluded and hashed fields."""
        return self.excluded | self.hashed

    def keeps_out(self, name: str, value: Any) -> bool:
        """Whether a field that was not requested must not be kept in ``_extra``.

        Nested objects are not kept either, because their fields are unknown.
        """
        if not self.fields and self.pattern is None:
            return False
        if isinstance(value, (dict, list)) or name.casefold() in self._folded:
            return True
        return self.pattern is not None and self.pattern.search(name) is not None

    @property
    def _folded(self) -> frozenset[str]:
        return frozenset(name.casefold() for name in self.fields)

    def hash(self, texts: pa.Array) -> pa.Array:
        """The hashes of texts; null stays null. Each distinct text is hashed once."""
        encoded = texts.dictionary_encode()
        marks = pa.array(map(self._mark, encoded.dictionary.to_pylist()), pa.string())
        return marks.take(encoded.indices)

    def _mark(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), "sha256").hex()

    def marks(self, names: Iterable[tuple[str, str]]) -> Iterator[str]:
        """The guard as text for the state, so that rows are read again when it changes.

        Args:
            names: Field and column of all columns of the entity.
        """
        key = self._mark("")[:8] if self.hashed else ""
        for name, column in names:
            if name in self.excluded:
                yield f"{column} (left out)"
            elif name in self.hashed:
                yield f"{column} (hashed, key {key})"


NO_GUARD = Guard()
