"""Which stored rows of one entity and division are gone, and the rows that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..loading.warehouse import Stored
from ..options import Options
from . import rows
from .cursors import Cursor
from .deletions import Tombstone, Tombstones, is_applied, latest, with_applied
from .shape import Shape

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Gone:
    """Keys of stored rows that are gone.

    Attributes:
        keys: In the order of ``Shape.keys``.
        versions: The tombstones' ``Timestamp``, in the same order; empty without tombstones.
    """

    keys: Sequence[Key]
    versions: Sequence[int] = field(default=())


class Removals:
    """Finds what is gone by asking the destination what it holds.

    Args:
        shape: Of the entity's rows.
        division: Code.
        stored: The destination.
        options: What becomes of deleted rows.
    """

    def __init__(self, shape: Shape, division: int, stored: Stored, options: Options) -> None:
        self._shape = shape
        self._table = shape.entity.name
        self._division = division
        self._stored = stored
        self._options = options

    @property
    def _marked(self) -> bool:
        """Whether rows that are marked as deleted are still to go."""
        return self._options.deletes == "hard"

    @property
    def by_tombstones(self) -> bool:
        """Whether ``sync/Deleted`` tells of this entity, and the user wants to know."""
        return (
            self._shape.entity.deleted_code is not None
            and self._options.deletes != "ignore"
            and self._shape.version is not None
        )

    @property
    def are_silent(self) -> bool:
        """Whether nothing that is read for changes tells of rows that are gone."""
        return (
            self._shape.plan.increment is not None
            and self._options.deletes != "ignore"
            and not self.by_tombstones
        )

    def by_full_pass(self) -> bool:
        """Whether stored rows that a full pass does not meet are gone; see ``unmet``."""
        if self._options.deletes == "ignore":
            return False
        return self._stored.has_rows(self._table, self._division)

    def tombstoned(self, found: Tombstones, cursor: Cursor, *, comparable: bool = True) -> Gone:
        """Stored rows that are not newer than their tombstone (API 4.5).

        ``comparable``: whether the ``Timestamp`` of stored rows and of tombstones come from one
        database for sure; else only dates are compared.

        Rows that came by a feed without ``Timestamp`` are compared by ``Modified`` and
        ``DeletedDate``: digits of the same wall clock. That clock repeats an hour in October, so a
        row may come back with digits from before its end. A tombstone is therefore compared once: the
        row that is stored later was alive when the tombstone was known.
        """
        code = self._shape.entity.deleted_code
        told = latest(found.of(code)) if code is not None else {}
        newest = {key: one for key, one in told.items() if not is_applied(one.timestamp, cursor)}
        if not newest:
            return Gone(())
        gone, rest = self._by_timestamp(newest) if comparable else ({}, list(newest))
        gone |= self._by_modified(newest, rest)
        return Gone([(key,) for key in gone], list(gone.values()))

    def _by_timestamp(self, newest: Mapping[str, Tombstone]) -> tuple[dict[str, int], list[str]]:
        if not self._stored.has_column(self._table, "timestamp"):
            return {}, list(newest)
        held = self._versions(list(newest), "timestamp")
        gone = {
            k: newest[k].timestamp
            for k, at in held.items()
            if at is not None and at <= newest[k].timestamp
        }
        return gone, [k for k, at in held.items() if at is None]

    def _by_modified(self, newest: Mapping[str, Tombstone], keys: list[str]) -> dict[str, int]:
        if not keys or not self._stored.has_column(self._table, "modified"):
            return {}
        held = self._versions(keys, "modified")
        return {
            k: newest[k].timestamp
            for k, at in held.items()
            if isinstance(at, datetime) and at.replace(tzinfo=None) <= newest[k].deleted_date
        }

    def _versions(self, keys: list[str], column: str) -> dict[str, Any]:
        return self._stored.versions(
            self._table, self._division, self._shape.keys[0], keys, column, marked=self._marked
        )

    def with_tombstones(self, cursor: Cursor, found: Tombstones, *, all_read_anew: bool) -> Cursor:
        """The cursor once ``tombstoned`` rows are removed, or are left to a pass over all rows."""
        code = self._shape.entity.deleted_code or 0
        has_versions = self._shape.version == "timestamp" and not all_read_anew
        return with_applied(cursor, found, code, has_versions=has_versions)

    def unmet(
        self, met: Sequence[pa.Table], *, began_at: float, since_ms: int | None = None
    ) -> Gone:
        """Stored rows that a full pass since ``began_at`` did not meet.

        Args:
            met: Keys that it met in this round; what earlier rounds met was stored meanwhile.
            began_at: Seconds since the epoch, UTC.
            since_ms: Only rows with a ``Modified`` from here on were asked for, or loaded; of those
                before it nothing is known. ``None`` for all rows.
        """
        keys = self._shape.keys
        held = self._last_read_before(began_at, since_ms)
        if (
            held is None or not held.num_rows
        ):  # as a rule; a join with all that was met takes memory
            return Gone(())
        if met and keys:
            held = held.cast(met[0].schema).join(pa.concat_tables(met), keys, join_type="left anti")
        elif met and sum(t.num_rows for t in met):
            return Gone(())  # the division is the whole key, and its row was met
        return Gone(rows.key_tuples(held, keys))

    def _last_read_before(self, began_at: float, since_ms: int | None) -> pa.Table | None:
        keys = self._shape.keys or ["division"]
        dated = since_ms is not None and "modified" in self._shape.arrow.names
        if dated and not self._stored.has_column(self._table, "modified"):
            return None
        held = self._stored.unmet(
            self._table,
            self._division,
            [*keys, "modified"] if dated else keys,
            rows.instant(began_at),
            marked=self._marked,
        )
        if held is None or not dated:
            return held
        at = rows.versions(held, "modified")
        return held.filter(pc.fill_null(pc.greater_equal(at, since_ms), False)).select(keys)

    def marked(self) -> Gone:
        """Stored rows that are marked as deleted."""
        keys = self._shape.keys
        held = self._stored.marked(self._table, self._division, keys or ["division"])
        return Gone(() if held is None else rows.key_tuples(held, keys))

    def tables(self, gone: Gone, *, at: float) -> Iterator[pa.Table]:
        """The rows that carry the deletion to the destination."""
        if not gone.keys:
            return
        keys = self._shape.keys
        if self._options.deletes == "soft" and keys:
            values = [k[0] for k in gone.keys]
            wanted = set(gone.keys)
            for table in self._stored.rows(self._table, self._division, keys[0], values):
                mine = [k in wanted for k in rows.key_tuples(table, keys)]
                yield rows.mark_deleted(table.filter(pa.array(mine)), self._shape.arrow, at=at)
            return
        columns: dict[str, Sequence[Any]] = {"division": [self._division] * len(gone.keys)}
        columns |= {name: [k[i] for k in gone.keys] for i, name in enumerate(keys)}
        if gone.versions and "timestamp" in self._shape.arrow.names:
            columns["timestamp"] = gone.versions
        yield rows.deletions(self._shape.arrow, columns, at=at)
