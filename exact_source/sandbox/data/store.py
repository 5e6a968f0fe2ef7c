"""The rows of all companies: tables, row versions, tombstones, and the effect of a write on each.

An entity has one table per division; its regular, bulk and sync feeds show the same rows. Each row
has ``Timestamp`` and ``Modified``, even if no feed of the entity serves them.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Literal, Protocol

from ..clock import SandboxClock, wall_clock
from ..odata.navigation import NAVIGATION, Collection
from .catalogue import Catalogue, Entity, Key, Row

Order = Literal["key", "Timestamp"]
STRIDES = (3, 3, 4, 7, 12, 41)  # steps between versions: other tables use versions too; at least 3
TOMBSTONE_LIFE_S = 61 * 24 * 3600  # API 4.5: kept for two months
MOVED_DATABASE_START = 2_147_483_700  # below the first row version, but above Int32


class RowVersions:
    """The row-version counter of one database: unique, and increased by every write (API 4.2)."""

    def __init__(self, start: int, random: Random) -> None:
        self.last = start
        self._random = random

    def next(self) -> int:
        """The version of the row that is being written."""
        self.last += self._random.choice(STRIDES)
        return self.last


class Table:
    """The rows of one entity in one division, by key."""

    def __init__(self, key: Sequence[str], rows: Iterable[Row] = ()) -> None:
        self.key = tuple(key) or ("__row",)
        self.rows: dict[Key, Row] = {}
        self._sorted: dict[Order, tuple[list[Key], list[Row]]] = {}
        for row in rows:
            self.put(row)

    def key_of(self, row: Row) -> Key:
        """The key of a row as a tuple, even if it is a single column."""
        return tuple(row[column] for column in self.key)

    def put(self, row: Row) -> None:
        """Add a row, or replace the one with the same key."""
        if self.key == ("__row",):
            row.setdefault("__row", len(self.rows))
        self.rows[self.key_of(row)] = row
        self._sorted.clear()

    def remove(self, key: Key) -> Row:
        """Remove a row."""
        self._sorted.clear()
        return self.rows.pop(key)

    def written(self) -> None:
        """Discard the sort order, because a ``Timestamp`` has changed."""
        self._sorted.pop("Timestamp", None)

    def ordered(self, order: Order) -> tuple[list[Key], list[Row]]:
        """Sort keys and rows, side by side, in the order in which pages show them."""
        if order not in self._sorted:
            by = self.key_of if order == "key" else _version_of
            rows = sorted(self.rows.values(), key=by)
            self._sorted[order] = ([by(row) for row in rows], rows)
        return self._sorted[order]


class Listener(Protocol):
    """Keeps feeds that are derived from the rows of other entities."""

    def first_rows(self, division: int, entity: str) -> Iterable[Row] | None:
        """The first rows of such a feed; ``None`` for other entities."""

    def forget(self, division: int) -> list[str]:
        """Drop the feeds of a division, so that they are derived again; returns their entities."""

    def prepare(self, division: int, entity: str) -> None:
        """Called before a row of ``entity`` is written."""

    def changed(self, division: int, entity: str, row: Row) -> None:
        """Called after a row was inserted, changed or deleted."""


Action = Literal["Create", "Update", "Delete"]
OnWrite = Callable[
    [int, str, Action, Key, Row], None
]  # division, entity, ...; called under the lock
Seeder = Callable[[int, str], Iterable[Row]]


class Store:
    """All tables of all divisions.

    Args:
        seeder: Returns the first rows of the table of an entity.
        first_version: First row version of writes, above those of the seeded rows.
        shared: Entities with one table for all divisions, such as the list of divisions.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        clock: SandboxClock,
        seeder: Seeder,
        *,
        first_version: int,
        random: Random,
        shared: frozenset[str] = frozenset(),
    ) -> None:
        self.lock = threading.RLock()
        self.catalogue = catalogue
        self.clock = clock
        self.shared = shared
        self.random = random
        self.listener: Listener | None = None
        self.on_write: OnWrite = lambda _division, _entity, _action, _key, _row: None
        self.versions: dict[int, RowVersions] = {}
        self._common = RowVersions(first_version, random)
        self._seeder = seeder
        self._tables: dict[tuple[int, str], Table] = {}

    def report_to(self, listener: Listener, on_write: OnWrite) -> None:
        """Set the functions that are called after each write; both may also write."""
        self.listener, self.on_write = listener, on_write

    def table(self, division: int, entity: str) -> Table:
        """The table of an entity, filled when it is first used."""
        home = 0 if entity in self.shared else division
        with self.lock:
            if (home, entity) not in self._tables:
                key = self.catalogue.entities[entity].key
                rows = self.listener.first_rows(division, entity) if self.listener else None
                if rows is None:
                    rows = self._seeder(division, entity)
                self._tables[home, entity] = Table(key, rows)
            return self._tables[home, entity]

    def tables(self, division: int) -> Iterator[tuple[str, Table]]:
        """The tables of a division that are filled so far."""
        yield from ((name, t) for (home, name), t in list(self._tables.items()) if home == division)

    def next_version(self, division: int) -> int:
        """The next row version of the database that holds the division."""
        return self.versions.get(division, self._common).next()

    def insert(self, division: int, entity: str, row: Mapping[str, Any]) -> Row:
        """Add a row; key, ``Created``, ``Modified`` and ``Timestamp`` are filled in if absent.

        A given ``Timestamp`` is kept, so that a test can imitate a late commit (API 4.2).
        """
        rules = self.catalogue.entities[entity]
        _check_columns(rules, row)
        with self.lock:
            self._prepare(division, entity)
            table, now = self.table(division, entity), wall_clock(self.clock.now())
            guids = (column for column in rules.key if rules.columns[column] == "g")
            if entity == "deleted":
                row = self._tombstone(division) | dict(row)
            new: Row = {column: self.new_guid() for column in guids}
            new |= {"Created": now, "Modified": now} | {
                k: v for k, v in row.items() if v is not None
            }
            if rules.key and table.key_of(new) in table.rows:
                raise ValueError(f"{entity} has a row with key {table.key_of(new)} already")
            new.setdefault("Timestamp", self.next_version(division))
            table.put(new)
            self._changed(division, entity, new)
            self.on_write(division, entity, "Create", table.key_of(new), new)
            return new

    def update(self, division: int, entity: str, key: Key, changes: Mapping[str, Any]) -> Row:
        """Change a row; ``Modified`` becomes the current time unless given, ``Timestamp`` increases."""
        _check_columns(self.catalogue.entities[entity], changes)
        with self.lock:
            self._prepare(division, entity)
            table = self.table(division, entity)
            row = table.rows[key]
            row["Modified"] = wall_clock(self.clock.now())
            row["Timestamp"] = self.next_version(division)
            for column, value in changes.items():
                if value is None:
                    row.pop(column, None)
                else:
                    row[column] = value
            table.written()
            self._changed(division, entity, row)
            self.on_write(division, entity, "Update", key, row)
            return row

    def delete(self, division: int, entity: str, key: Key) -> None:
        """Delete a row and its lines, and add them to ``sync/Deleted``."""
        with self.lock:
            self._prepare(division, entity)
            row = self.table(division, entity).rows[key]
            for collection in NAVIGATION.get(entity, ()):
                if collection.is_owned:
                    self._delete_owned(division, collection, key[0])
            self.table(division, entity).remove(key)
            self.bury(division, entity, key)
            self._changed(division, entity, row)
            self.on_write(division, entity, "Delete", key, row)

    def _delete_owned(self, division: int, collection: Collection, owner: Any) -> None:
        table = self.table(division, collection.entity)
        for key, row in list(table.rows.items()):
            if row.get(collection.foreign_key) == owner:
                self.delete(division, collection.entity, key)

    def bury(self, division: int, entity: str, key: Key) -> None:
        """Write the tombstone of a row, if the entity has a sync feed and a code (API 4.5)."""
        rules = self.catalogue.entities[entity]
        if rules.deleted_code is None or not rules.has_sync:
            return
        self.table(division, "deleted").put(
            self._tombstone(division)
            | {
                "ID": self.new_guid(),
                "EntityKey": key[0],
                "EntityType": rules.deleted_code,
                "Timestamp": self.next_version(division),
            }
        )

    def _tombstone(self, division: int) -> Row:
        """The columns that every row of ``sync/Deleted`` has."""
        now = self.clock.now()
        return {"Division": division, "DeletedDate": wall_clock(now), "__at": now}

    def forget_old_tombstones(self, division: int) -> None:
        """Remove rows of ``sync/Deleted`` after two months."""
        table, now = self.table(division, "deleted"), self.clock.now()
        for key, row in list(table.rows.items()):
            if row["__at"] + TOMBSTONE_LIFE_S < now:
                table.remove(key)

    def move(self, division: int) -> None:
        """Restore the division into another database: all rows get new, lower versions (API 4.2)."""
        with self.lock:
            for entity in self.catalogue.entities:
                self.table(division, entity)
            for entity in self.listener.forget(division) if self.listener else ():
                del self._tables[division, entity]
            moved = self.versions.get(division)
            start = MOVED_DATABASE_START if moved is None else moved.last // 2
            self.versions[division] = RowVersions(start, self.random)
            tables = [table for _, table in self.tables(division)]
            rows = [row for table in tables for row in table.rows.values()]
            self.random.shuffle(rows)
            for row in rows:
                row["Timestamp"] = self.next_version(division)
            for table in tables:
                table.written()

    def new_guid(self) -> str:
        """A guid in the lower-case form in which Exact sends it."""
        return guid(self.random)

    def _prepare(self, division: int, entity: str) -> None:
        if self.listener is not None:
            self.listener.prepare(division, entity)

    def _changed(self, division: int, entity: str, row: Row) -> None:
        if self.listener is not None:
            self.listener.changed(division, entity, row)


def guid(random: Random) -> str:
    """A version-4 guid from a reproducible random generator."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def position_after(keys: list[Key], token: Key) -> int:
    """Start of the page after the one that ended with ``token``; the row of the token may be deleted."""
    at = bisect_left(keys, token)
    return at + 1 if at < len(keys) and keys[at] == token else at


def _version_of(row: Row) -> Key:
    return (row["Timestamp"],)


def _check_columns(rules: Entity, row: Mapping[str, Any]) -> None:
    allowed = {*rules.columns, "Created", "Modified", "Timestamp"}
    unknown = [column for column in row if column not in allowed]
    if unknown:
        raise ValueError(f"{rules.name} has no column {', '.join(unknown)}")
