"""The entities that a run loads, and how calls for lists that are not loaded are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

# Entities that are read once, for all others.
LISTS = ("divisions", "deleted", "me")


class Selection:
    """The entities that become tables in this run.

    Attributes:
        names: Selected entities; empty before the first round and in commands that load nothing.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._of_lists: Counter[int] = Counter()
        self._of_divisions: Counter[int] = Counter()

    def choose(self, names: frozenset[str]) -> None:
        """Set the selected entities."""
        self.names = names

    def loads(self, entity: str) -> bool:
        """Whether a list becomes a table, with all of its columns."""
        return not self.names or entity in self.names

    def note_overhead(self, entity: str, division: int | None, calls: int) -> None:
        """Note calls for a list that is not a table of this run; the first stream that asks counts them."""
        if entity in self.names:
            return
        # Tombstones are read per division, the other lists once.
        counted = self._of_divisions if entity == "deleted" else self._of_lists
        counted[division or 0] += calls

    def take_overhead(self, division: int, read: Collection[int]) -> int:
        """Return and clear the uncounted calls of this division and of divisions that are not read."""
        mine = [code for code in self._of_lists if code == division or code not in read]
        of_lists = sum(self._of_lists.pop(code) for code in mine)
        return of_lists + self._of_divisions.pop(division, 0)
