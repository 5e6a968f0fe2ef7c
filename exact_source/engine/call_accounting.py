"""Which entities a run loads, and which stream counts the calls for lists that are not loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# Entities that are read once, for all others.
LISTS = ("divisions", "deleted", "me")


class Selection:
    """The entities that become tables in this run.

    Attributes:
        names: Selected entities; empty before the first round and in commands that load nothing.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._overhead: Counter[int] = Counter()

    def choose(self, names: frozenset[str]) -> None:
        """Set the selected entities."""
        self.names = names

    def loads(self, entity: str) -> bool:
        """Whether a list is wanted for itself, so that all of its columns are."""
        return not self.names or entity in self.names

    def note_overhead(self, entity: str, division: int | None, calls: int) -> None:
        """Calls for a list that is no table of this run; they belong to the first stream that ends."""
        if entity not in self.names:
            self._overhead[division or 0] += calls

    def take_overhead(self, division: int, read: Iterable[int]) -> int:
        """Calls that nobody has counted: the division's, and those of divisions that are not read."""
        others = set(read) - {division}
        mine = [code for code in self._overhead if code not in others]
        return sum(self._overhead.pop(code) for code in mine)
