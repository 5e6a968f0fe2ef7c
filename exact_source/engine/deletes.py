"""Finds stored rows to delete, for one entity and division, and creates the rows that delete them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..clock import latest_digits
from ..options import Options
from . import rows
from .cursors import Cursor
from .ports import Destination
from .records import replace
from .shape import Shape
from .tombstones import (
    Tombstone,
    Tombstones,
    is_applied,
    is_forgotten,
    latest,
    with_applied,
)

Key = tuple[Any, ...]

REPEATED = timedelta(hours=1)  # the part of the wall clock that occurs twice in October
SUNDAY, LAST_REPEATED = 6, 3  # day of the week and hour of the day at the end of summer time


@dataclass(frozen=True)
class DeletedKeys:
    """Keys of stored rows that are deleted.

    Attributes:
        keys: Key columns, in the order of ``Shape.keys``.
        versions: The tombstones' ``Timestamp``, in the same order; empty without tombstones.
        is_uncertain: Whether another row may be deleted: it is older than a tombstone that was probably
            applied, newer than one that was not by an hour at most, or it was read after its deletion.
    """

    keys: Sequence[Key]
    versions: Sequence[int] = field(default=())
    is_uncertain: bool = False


class DeletedRows:
    """Finds deleted rows by comparison with the rows of the destination.

    Args:
        shape: Shape of the entity's rows.
        division: Code.
        destination: The destination.
        options: Options, such as the treatment of deleted rows.
    """

    def __init__(
        self, shape: Shape, division: int, destination: Destination, options: Options
    ) -> None:
        self._shape = shape
        self._table = shape.entity.name
        self._division = division
        self._destination = destination
        self._options = options

    @property
    def _marked(self) -> bool:
        """Whether rows that are marked as deleted must be deleted."""
        return self._options.deletes == "hard"

    @property
    def by_tombstones(self) -> bool:
        """Whether ``sync/Deleted`` lists deletions of this entity, and the user wants them applied."""
        return (
            self._shape.entity.deleted_code is not None
            and self._options.deletes != "ignore"
            and self._shape.version is not None
        )

    @property
    def _compares_keys(self) -> bool:
        options = self._options
        return options.reconcile_s is not None or self._table in options.reconcile

    @property
    def are_silent(self) -> bool:
        """Whether the feed for changes does not show deletions."""
        return (
            self._shape.plan.increment is not None
            and self._options.deletes != "ignore"
            and not self.by_tombstones
        )

    def may_be_unlisted(self, cursor: Cursor) -> bool:
        """Whether deletions may be missed: no feed shows them, or no tombstone is returned.

        Exact answers a user without the right to ``sync/Deleted`` with an empty list (API 4.5).
        """
        is_empty = cursor.tombstones == 0 or bool(cursor.unlisted_at)
        return self.are_silent or (self.by_tombstones and is_empty)

    def has_any_until(self, found: Tombstones, at: int) -> bool:
        """Whether a row of this entity was deleted by ``at``, a wall-clock time like ``DivisionMoveDate``."""
        if not at:
            return False
        listed = latest(found.of(self._shape.entity.deleted_code or 0))
        moment = datetime.fromtimestamp(at / 1000, UTC).replace(tzinfo=None)
        return any(one.deleted_date <= moment for one in listed.values())

    def tombstoned(
        self, found: Tombstones, cursor: Cursor, *, comparable: bool = True
    ) -> DeletedKeys:
        """Stored rows that are not newer than their tombstone (API 4.5).

        ``comparable``: whether the ``Timestamp`` values of stored rows and tombstones certainly come from
        the same database; otherwise only dates are compared.

        Rows from a feed without ``Timestamp`` are compared by ``Modified`` and ``DeletedDate``, which are
        times of the same wall clock. That clock repeats an hour in October, so a row that is created again
        may have a time before its deletion. A tombstone is therefore applied only once: rows that are
        stored later existed after it.
        """
        code = self._shape.entity.deleted_code
        listed = latest(found.of(code)) if code is not None else {}
        newest = {key: one for key, one in listed.items() if not is_applied(one.timestamp, cursor)}
        forgotten = {k: one for k, one in listed.items() if is_forgotten(one.timestamp, cursor)}
        is_uncertain = any(self._by_modified(forgotten, list(forgotten)))
        if not newest:
            return DeletedKeys((), is_uncertain=is_uncertain)
        deleted, rest = self._by_timestamp(newest) if comparable else ({}, list(newest))
        older, is_close = self._by_modified(newest, rest)
        deleted |= older
        keys = [(key,) for key in deleted]
        return DeletedKeys(keys, list(deleted.values()), is_uncertain=is_uncertain or is_close)

    def _by_timestamp(self, newest: Mapping[str, Tombstone]) -> tuple[dict[str, int], list[str]]:
        if not self._destination.has_column(self._table, "timestamp"):
            return {}, list(newest)
        held = self._versions(list(newest), "timestamp")
        deleted = {
            k: newest[k].timestamp
            for k, at in held.items()
            if at is not None and at <= newest[k].timestamp
        }
        return deleted, [k for k, at in held.items() if at is None]

    def _by_modified(
        self, newest: Mapping[str, Tombstone], keys: list[str]
    ) -> tuple[dict[str, int], bool]:
        """Rows that are certainly deleted, and whether other rows may be deleted, too.

        A row is uncertain if it is newer by an hour at most: it may have been changed before its deletion,
        in the hour that is repeated in October. A row that was read after its deletion is uncertain as well:
        it was created again, or the date of the deletion is not exact.
        """
        if not keys or not self._destination.has_column(self._table, "modified"):
            return {}, False
        held = self._versions(keys, "modified")
        newer_by = {
            k: at.replace(tzinfo=None) - newest[k].deleted_date
            for k, at in held.items()
            if isinstance(at, datetime)
        }
        older = {k: newest[k].timestamp for k, by in newer_by.items() if by <= timedelta(0)}
        read_later = self._read_after_deletion(newest, list(older))
        is_close = any(
            timedelta(0) < by <= REPEATED and _may_repeat(newest[k].deleted_date)
            for k, by in newer_by.items()
        )
        deleted = {k: at for k, at in older.items() if k not in read_later}
        return deleted, is_close or bool(read_later)

    def _read_after_deletion(self, newest: Mapping[str, Tombstone], keys: list[str]) -> set[str]:
        """The keys of rows that were read after their deletion; none if keys are never compared.

        ``Modified`` may go back, so a row that was created again may have a time before its deletion.
        """
        if not keys or not self._compares_keys:
            return set()
        synced, slack_s = self._versions(keys, rows.SYNCED_AT.name), self._options.zone_slack_s
        return {
            k
            for k, at in synced.items()
            if latest_digits(_seconds(at) - slack_s) >= _seconds(newest[k].deleted_date) * 1000
        }

    def _versions(self, keys: list[str], column: str) -> dict[str, Any]:
        return self._destination.versions(
            self._table, self._division, self._shape.keys[0], keys, column, marked=self._marked
        )

    def with_tombstones(
        self, cursor: Cursor, found: Tombstones, deleted: DeletedKeys, *, all_read_anew: bool
    ) -> Cursor:
        """The cursor after the ``tombstoned`` rows are deleted, or left to a full pass."""
        code = self._shape.entity.deleted_code or 0
        has_versions = self._shape.version == "timestamp" and not all_read_anew
        cursor = with_applied(cursor, found, code, has_versions=has_versions)
        if deleted.is_uncertain:  # a comparison of keys is due
            cursor = replace(cursor, unlisted_at=found.read_at, reconciled_at=0.0)
        return cursor

    def missing(
        self, seen: Sequence[pa.Table], *, before: float | None, since_ms: int | None = None
    ) -> DeletedKeys:
        """Stored rows that a full pass did not return.

        Args:
            seen: Keys on the pages of this round, at least one; rows of earlier rounds are already stored,
                with a ``_synced_at`` of ``before`` or later.
            before: Rows with an earlier ``_synced_at`` do not belong to this pass; seconds since the epoch,
                UTC. ``None`` if ``seen`` has all keys of the pass.
            since_ms: The pass covers only rows with this ``Modified`` or later; ``None`` for all rows.
        """
        keys = self._shape.keys
        held = self._held_before(before, since_ms)
        if not held:  # the usual case; a join with all keys takes memory
            return DeletedKeys(())
        if keys:
            held = held.cast(seen[0].schema).join(
                pa.concat_tables(seen), keys, join_type="left anti"
            )
        elif any(t.num_rows for t in seen):
            return DeletedKeys(())  # the division is the whole key, and its row was returned
        return DeletedKeys(rows.key_tuples(held, keys))

    def _held_before(self, before: float | None, since_ms: int | None) -> pa.Table | None:
        keys = self._shape.keys or ["division"]
        dated = since_ms is not None and "modified" in self._shape.arrow.names
        if dated and not self._destination.has_column(self._table, "modified"):
            return None
        held = self._destination.synced_before(
            self._table,
            self._division,
            [*keys, "modified"] if dated else keys,
            None if before is None else rows.instant(before),
            marked=self._marked,
        )
        if held is None or not dated:
            return held
        at = rows.versions(held, "modified")
        return held.filter(pc.fill_null(pc.greater_equal(at, since_ms), False)).select(keys)

    def marked(self) -> DeletedKeys:
        """Stored rows that are marked as deleted."""
        keys = self._shape.keys
        held = self._destination.marked(self._table, self._division, keys or ["division"])
        return DeletedKeys(() if held is None else rows.key_tuples(held, keys))

    def tables(self, deleted: DeletedKeys, *, at: float) -> Iterator[pa.Table]:
        """Tables of rows that delete these keys in the destination."""
        if not deleted.keys:
            return
        keys = self._shape.keys
        if self._options.deletes == "soft" and keys:
            values = [k[0] for k in deleted.keys]
            wanted = set(deleted.keys)
            for table in self._destination.rows(self._table, self._division, keys[0], values):
                mine = [k in wanted for k in rows.key_tuples(table, keys)]
                yield rows.mark_deleted(table.filter(pa.array(mine)), self._shape.arrow, at=at)
            return
        columns: dict[str, Sequence[Any]] = {"division": [self._division] * len(deleted.keys)}
        columns |= {name: [k[i] for k in deleted.keys] for i, name in enumerate(keys)}
        if deleted.versions and "timestamp" in self._shape.arrow.names:
            columns["timestamp"] = deleted.versions
        yield rows.deletions(self._shape.arrow, columns, at=at)


def _seconds(at: datetime) -> float:
    """Seconds from the epoch to a time; without a zone it is UTC, or digits of Exact's wall clock."""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _may_repeat(at: datetime) -> bool:
    """Whether a wall clock may show this time twice: when summer time ends, in Europe or in America."""
    is_end = (at.month, at.day) >= (10, 25) and (at.month, at.day) <= (11, 7)
    return is_end and at.weekday() == SUNDAY and at.hour <= LAST_REPEATED
