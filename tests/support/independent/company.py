"""A company in Exact Online: its rows and their changes.

A write gets its row version and ``Modified`` at once, and becomes visible at its commit (API 4.2, late
commits). Changes of the same row wait for each other, as with row locks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.independent.clocks import ServerClock
from tests.support.independent.feeds import KEYS, TABLES, TOMBSTONES

TWO_MONTHS_MS = 61 * 86_400_000
USER = "c0ffee00-0000-4000-8000-000000000001"
Values = dict[str, Any]


@dataclass
class Database:
    """The sequence of row versions of all tables and companies in a database (API 4.2, 4.5)."""

    version: int = 11_386_558_735

    def next(self) -> int:
        self.version += 1
        return self.version


@dataclass(frozen=True)
class Row:
    """A state of a row.

    Attributes:
        values: Column -> value; dates are digits.
        version: ``Timestamp``.
        before: The previous state, for a page that shows both.
    """

    values: Values
    version: int
    before: Row | None = None


@dataclass
class Transaction:
    """Writes that become visible together at the commit."""

    company: Company
    writes: list[tuple[str, str, Row | None]] = field(default_factory=list)
    deleted: list[Values] = field(default_factory=list)
    done: bool = False

    def insert(self, table: str, **values: Any) -> str:
        """Insert a row; returns its key, which is generated if ``values`` has none."""
        key_column, now = KEYS[table], self.company.clock.digits()
        key = str(values.get(key_column) or uuid.UUID(int=self.company.next_number(), version=4))
        blank: Values = dict.fromkeys(part.partition(":")[0] for part in TABLES[table].split())
        row = {**blank, **values, key_column: key, "Division": self.company.code}
        if "Modified" in blank:
            row |= {"Created": now, "Modified": now}
        self._write(table, key, Row(row, self.company.database.next()))
        return key

    def update(self, table: str, key: str, **values: Any) -> None:
        """Change columns of an existing row."""
        self.company.wait_for(self, table, key)
        old = self._current(table, key)
        row = {**old.values, **values}
        if "Modified" in row and "Modified" not in values:
            row["Modified"] = self.company.clock.digits()
        self._write(table, key, Row(row, self.company.database.next(), replace(old, before=None)))

    def delete(self, table: str, key: str) -> None:
        """Remove a row; tables with a sync feed keep a tombstone (API 4.5)."""
        self._write(table, key, None)
        if table in TOMBSTONES:
            self.deleted.append(
                {
                    "Timestamp": self.company.database.next(), "DeletedBy": USER,
                    "DeletedDate": self.company.clock.digits(), "Division": self.company.code,
                    "EntityKey": key, "EntityType": TOMBSTONES[table],
                    "ID": str(uuid.UUID(int=self.company.next_number(), version=4)),
                }
            )  # fmt: skip

    def commit(self) -> None:
        """Make the writes visible. A second commit does nothing."""
        if not self.done:
            self.done = True
            self.company.take(self)

    def _current(self, table: str, key: str) -> Row:
        mine = [row for t, k, row in self.writes if (t, k) == (table, key)]
        found = mine[-1] if mine else self.company.tables[table].get(key)
        assert found is not None, f"{table} has no row {key}"
        return found

    def _write(self, table: str, key: str, row: Row | None) -> None:
        self.company.wait_for(self, table, key)
        self.writes.append((table, key, row))


class Company:
    """One division.

    Attributes:
        code: The division.
        tables: Table -> key -> committed row.
        deleted: Rows of ``sync/Deleted``.
        denied: Path of a feed -> ``"empty"`` or ``"403"`` (API 6.2).
        blocking_status: If not 0, calls are refused (API 5, 6.1).
    """

    def __init__(self, code: int, clock: ServerClock, database: Database) -> None:
        self.code = code
        self.clock = clock
        self.database = database
        self.tables: dict[str, dict[str, Row]] = {table: {} for table in TABLES}
        self.deleted: list[Values] = []
        self.denied: dict[str, str] = {}
        self.blocking_status = 0
        self.created = clock.digits()
        self.modified = self.created
        self.move_date: int | None = None
        self.open: list[Transaction] = []
        self._number = code << 32

    def next_number(self) -> int:
        """A number for a GUID, mixed so that new keys do not sort last."""
        self._number += 1
        return self._number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128

    # -- changes -----------------------------------------------------------------------------------

    def transaction(self) -> Transaction:
        """A transaction; its writes become visible with ``commit()``."""
        self.open.append(Transaction(self))
        return self.open[-1]

    def insert(self, table: str, **values: Any) -> str:
        writing = self.transaction()
        key = writing.insert(table, **values)
        writing.commit()
        return key

    def update(self, table: str, key: str, **values: Any) -> None:
        writing = self.transaction()
        writing.update(table, key, **values)
        writing.commit()

    def delete(self, table: str, key: str) -> None:
        writing = self.transaction()
        writing.delete(table, key)
        writing.commit()

    def recreate(self, table: str, key: str, **values: Any) -> None:
        """Delete a row and write it again with the same key, within one step of the clock."""
        found = self.tables[table][key].values
        self.delete(table, key)
        self.insert(table, **{**found, **values})

    def commit_all(self) -> None:
        for writing in list(self.open):
            writing.commit()

    def move(self, first_version: int, *, keep_deleted: bool = True) -> None:
        """Move to another database, which assigns new versions from another start (API 4.2)."""
        self.commit_all()
        self.database = Database(first_version)
        for table, rows in self.tables.items():
            for key in sorted(rows):
                self.tables[table][key] = Row(rows[key].values, self.database.next())
        self.deleted = [
            {**row, "Timestamp": self.database.next()} for row in self.deleted if keep_deleted
        ]
        self.move_date = self.modified = self.clock.digits()

    def block(self, status: int = 1) -> None:
        self.blocking_status = status
        self.modified = self.clock.digits()

    def deny(self, path: str, how: str = "empty") -> None:
        """Revoke the right to read a feed: 403, or an empty list (API 6.2)."""
        self.denied[path] = how

    def allow(self, path: str) -> None:
        self.denied.pop(path, None)

    # -- used by transactions --------------------------------------------------------------------

    def wait_for(self, writer: Transaction, table: str, key: str) -> None:
        """Row lock: commit the earlier transaction that wrote the row."""
        for other in list(self.open):
            if other is not writer and any((t, k) == (table, key) for t, k, _ in other.writes):
                other.commit()

    def take(self, writing: Transaction) -> None:
        self.open.remove(writing)
        for table, key, row in writing.writes:
            old = self.tables[table].pop(key, None)
            if row is not None:
                self.tables[table][key] = row
            self._bump(table, key, row or old)
        self.deleted += writing.deleted

    def _bump(self, table: str, key: str, row: Row | None) -> None:
        """A change of an invoice header or line gives both new versions in the sync feed (API 4.4)."""
        if row is None or table not in {"sales_invoices", "sales_invoice_lines"}:
            return
        invoice = row.values["InvoiceID"]
        for name in ("sales_invoices", "sales_invoice_lines"):
            for other, found in self.tables[name].items():
                if found.values["InvoiceID"] == invoice and (name, other) != (table, key):
                    self.tables[name][other] = replace(found, version=self.database.next())

    # -- rows in replies ---------------------------------------------------------------------------

    def rows(self, entity: str) -> Iterator[Row]:
        """Committed rows of an entity, unordered."""
        if entity == "deleted":
            yield from (Row(values, values["Timestamp"]) for values in self._tombstones())
        elif entity == "sync_sales_invoices":
            yield from map(_header, self.tables["sales_invoices"].values())
            yield from map(self._line, self.tables["sales_invoice_lines"].values())
        elif entity == "transaction_lines":  # the sync feed also has header and closing rows
            yield from (r for r in self.tables[entity].values() if r.values["LineNumber"] in _BODY)
        else:
            yield from self.tables[entity.removeprefix("sync_")].values()

    def _tombstones(self) -> list[Values]:
        """Tombstones are kept for two months (API 4.5)."""
        oldest = self.clock.digits() - TWO_MONTHS_MS
        return [row for row in self.deleted if row["DeletedDate"] > oldest]

    def _line(self, row: Row) -> Row:
        header = self.tables["sales_invoices"].get(row.values["InvoiceID"])
        shared = {} if header is None else {
            name: header.values[name] for name in ("Created", "Modified", "Status", "Type", "InvoiceNumber")
        }  # fmt: skip
        return Row({**shared, **row.values}, row.version)


_BODY = range(1, 9999)  # 0 is a header, 9999 a closing row (API 4.4)


def _header(row: Row) -> Row:
    return Row({**row.values, "ID": row.values["InvoiceID"], "LineNumber": 0}, row.version)
