"""Collects the keys of a full pass, and the pages of a short list until it is complete.

A short list is not loaded if its rows are the same as last time, because a merge costs more than a read. The
cursor stores a hash of them.
"""

from __future__ import annotations

import pyarrow as pa

from . import rows
from .cursors import MANY, Cursor
from .dedupe import HeldPages, Total
from .deletes import DeletedRows
from .records import replace
from .run import Run
from .shape import Shape


class FullPass:
    """Collects the keys and pages of a full pass.

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

    def see(self, table: pa.Table) -> None:
        """Note the keys of a page."""
        if self.finds_deleted:
            self.seen.append(rows.copied(table.select(self._shape.keys)))

    def hold(self, table: pa.Table) -> bool:
        """Hold a page; ``False`` if the list is too long to be held."""
        return self._held is not None and self._held.hold(table)

    def release(self) -> pa.Table | None:
        """Return the held rows, which the caller loads, or ``None``; later pages are not held."""
        pages = self._take_pages()
        return rows.concat(pages) if any(page.num_rows for page in pages) else None

    def complete(self, last: pa.Table) -> tuple[pa.Table, str]:
        """The rows to load with the last page, and a hash of all rows if all pages were held."""
        if self._held is None:
            return last, ""
        pages = [*self._take_pages(), last]
        if not any(page.num_rows for page in pages):
            return last, rows.digest_of_no_rows(last)
        return rows.concat(pages), rows.digest(pages)

    def _take_pages(self) -> list[pa.Table]:
        held, self._held = self._held, None
        return [] if held is None else held.take()


def full_pass_of(
    run: Run, shape: Shape, division: int, cursor: Cursor, found: DeletedRows
) -> FullPass:
    """The collector of a scan.

    Args:
        run: Objects that all streams share.
        shape: Shape of the rows.
        division: Division code.
        cursor: Cursor of the scan.
        found: Finds deleted rows.
    """
    scan, entity = cursor.scan, shape.entity.name
    is_whole = scan is not None and (scan.since is None or cursor.value is None)
    is_whole = is_whole and not is_watermark(shape, cursor)
    finds_deleted = (
        is_whole and run.options.deletes != "ignore" and run.destination.has_rows(entity, division)
    )
    is_silent = found.are_silent or shape.plan.increment is None
    is_first = scan is not None and scan.pages == 0
    is_list = is_whole and is_silent and scan is not None and scan.since is None
    by_page = run.rounds.by_page
    # If the overlap has too many rows for a fingerprint of each, it is held and hashed as a whole.
    is_overlap = not is_whole and cursor.overlap_marks == MANY
    return FullPass(
        shape,
        finds_deleted=finds_deleted,
        may_hold=is_first and (is_list or is_overlap) and entity not in by_page,
        held_rows=run.held_rows,
    )


def is_watermark(shape: Shape, cursor: Cursor) -> bool:
    """Whether the scan begins at a row version, so that it does not return all rows."""
    scan = cursor.scan
    return shape.version == "timestamp" and scan is not None and scan.since is not None


def with_digest(after: Cursor, before: Cursor, digest: str) -> Cursor:
    """The cursor with a hash of the rows of its scan; empty if they were loaded in parts."""
    since = before.scan.since if before.scan else None
    if not digest:
        return replace(after, digest="", overlap_digest="", overlap_since=None)
    if since is None:
        return replace(after, digest=digest)
    return replace(after, overlap_digest=digest, overlap_since=since, digest="")


def is_unchanged(before: Cursor, after: Cursor) -> bool:
    """Whether the rows are the same as last time."""
    if before.scan is None or before.scan.since is None:
        return after.digest == before.digest
    return (after.overlap_digest, after.overlap_since) == (
        before.overlap_digest,
        before.overlap_since,
    )
