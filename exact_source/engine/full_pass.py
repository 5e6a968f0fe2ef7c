"""A pass over all rows of a stream: collects its keys, and holds the pages of a short list."""

from __future__ import annotations

import pyarrow as pa

from . import rows
from .dedupe import HeldPages, Total
from .shape import Shape


class FullPass:
    """Collects the keys and pages of a pass over all rows.

    Args:
        shape: Shape of the rows.
        finds_deleted: Whether stored rows that the pass does not return are deleted.
        may_hold: Whether the pages of a short list are held until it is complete.
        held_rows: Rows held by all lists together.
    """

    def __init__(
        self, shape: Shape, *, finds_deleted: bool, may_hold: bool, held_rows: Total
    ) -> None:
        self.finds_deleted = finds_deleted
        self.seen: list[pa.Table] = []
        self._shape = shape
        self._held = HeldPages(held_rows) if may_hold else None

    @property
    def is_empty(self) -> bool:
        """Whether the pass returned no row in this round."""
        return not any(table.num_rows for table in self.seen)

    @property
    def is_held(self) -> bool:
        """Whether all pages so far are held."""
        return self._held is not None

    @property
    def holds_nothing(self) -> bool:
        """Whether pages are held, and there is none so far."""
        return self._held is not None and not self._held.count

    def see(self, table: pa.Table) -> None:
        """Note the keys of a page."""
        if self.finds_deleted:
            self.seen.append(rows.copied(table.select(self._shape.keys)))

    def hold(self, table: pa.Table) -> bool:
        """Hold a page; ``False`` if the list is too long to be held."""
        return self._held is not None and self._held.hold(table)

    def release(self) -> list[pa.Table]:
        """The held pages, which the caller loads; no page is held from here on."""
        held, self._held = self._held, None
        return [] if held is None else held.take()
