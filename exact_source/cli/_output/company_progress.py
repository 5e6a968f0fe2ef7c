"""The progress of a sync, counted in companies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...catalogue import load_catalogue
from ...engine.call_accounting import LISTS

if TYPE_CHECKING:
    from ...engine.result import StreamResult
    from ...engine.run import Run


class Companies:
    """Counts the streams that have ended, in companies.

    Companies are read in parallel, so all of them end at nearly the same time. The count is therefore the
    number of ended streams divided by the streams of one company.

    Args:
        run: The sync.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ended: set[tuple[int, str]] = set()

    def note(self, result: StreamResult) -> None:
        """Count a stream that has ended; one that the next round continues does not count."""
        if result.division and result.entity not in LISTS and result.status != "incomplete":
            self._ended.add((result.division, result.entity))

    def in_words(self) -> str:
        """``company 37 of 300``; empty if there is only one, or if their number is not known yet."""
        total = sum(not division.blocked for division in self._run.divisions.chosen_so_far)
        each = self._streams_of_each()
        if total <= 1 or not each:
            return ""
        return f"company {min(total, len(self._ended) // each + 1):,} of {total:,}"

    def _streams_of_each(self) -> int:
        entities = load_catalogue().entities
        names = self._run.selection.names.difference(LISTS)
        return sum(entities[name].division_from is None for name in names)
