"""Tokens in a small table of a database that several hosts share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic_file import LOCK_WAIT_S
from ...database import Database, commit, db_message
from ...errors import TokenStoreError
from .cipher import need_cipher
from .journal import JournaledStorage, Row

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

TABLE = "exact_oauth"


class SqlTokenStorage(JournaledStorage):
    """Tokens in the table ``exact_oauth`` of a database, for any number of processes and hosts.

    There is one encrypted row per connection name. A refresh locks the row (``SELECT ... FOR UPDATE``; on
    SQLite, for one machine, ``BEGIN IMMEDIATE``) from before the tokens are read until the new ones are
    committed. Tested on Postgres and SQLite; MySQL and MariaDB use the same statements.

    Args:
        url_or_engine: SQLAlchemy URL or engine (not an async one).
        key: Fernet keys, newest first, separated by commas.
        name: Name of the connection in the table.
        journal: File on this host that keeps new tokens until they are committed. Without it, the tokens
            are lost if the process is killed, or the database becomes unreachable, between Exact's reply
            and the commit.

    Raises:
        ConfigurationError: If there is no key, or the database is not one of these.
    """

    def __init__(
        self,
        url_or_engine: str | Engine,
        *,
        key: str | None,
        name: str = "default",
        journal: str | Path | None = None,
    ) -> None:
        cipher = need_cipher(key, "SqlTokenStorage")
        self._database = Database(url_or_engine, user="SqlTokenStorage", lock_wait_s=LOCK_WAIT_S)
        self._name = name
        self._table = _table()
        self._is_ready = False
        self._open = threading.local()
        place = f"table {TABLE} in {self._database.where}, connection {name!r}"
        super().__init__(cipher, Path(journal) if journal else None, place)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        with self._errors():
            self._prepare()
            context = self._database.begin()
            connection = context.__enter__()
        self._open.connection = connection
        try:
            with self._errors():
                self._select(connection, lock=True)
            yield
        finally:
            self._open.connection = None
            with suppress(SQLAlchemyError):  # a broken connection has nothing to roll back
                context.__exit__(None, None, None)

    def _fetch(self) -> Row | None:
        with self._errors():
            held = self._held_connection()
            if held is not None:
                return self._select(held)
            self._prepare()
            with self._database.begin(to_write=False) as connection:
                return self._select(connection)

    def _write_row(self, row: Row) -> None:
        with self._errors():
            held, self._open.connection = self._held_connection(), None
            if held is not None:
                # The commit ends the lock, and if it fails the next try needs a new connection.
                self._update(held, row)
                return
            self._prepare()
            with self._database.begin() as connection:
                self._update(connection, row)

    def _remove(self) -> None:
        with self._errors():
            held = self._held_connection()
            if held is None:
                raise TokenStoreError(f"{self.place}: not locked")
            held.execute(self._table.delete().where(self._table.c.name == self._name))
            commit(held)

    def _probe(self) -> None:
        held = self._held_connection()
        if held is not None:
            with self._errors():  # rolled back or overwritten at the end of the lock
                held.execute(self._mine(self._table.update()).values(saved_at=_now()))

    def _held_connection(self) -> Connection | None:
        return getattr(self._open, "connection", None)

    def _select(self, connection: Connection, *, lock: bool = False) -> Row | None:
        from sqlalchemy import select

        query = select(self._table.c.generation, self._table.c.tokens).where(
            self._table.c.name == self._name
        )
        found = connection.execute(query.with_for_update() if lock else query).first()
        return Row(found.generation, found.tokens) if found else None

    def _update(self, connection: Connection, row: Row) -> None:
        values = {"generation": row.generation, "tokens": row.blob, "saved_at": _now()}
        if connection.execute(self._mine(self._table.update()).values(values)).rowcount == 0:
            connection.execute(self._table.insert().values(name=self._name, **values))
        commit(connection)

    def _mine(self, statement: Any) -> Any:
        return statement.where(self._table.c.name == self._name)

    def _prepare(self) -> None:
        """Create the table and the row, because a missing row cannot be locked."""
        from sqlalchemy.exc import IntegrityError

        if self._is_ready:
            return
        self._database.create(self._table)
        with self._database.begin(to_write=False) as connection:
            is_new = self._select(connection) is None
        if is_new:
            row = {"name": self._name, "generation": 0, "tokens": None, "saved_at": _now()}
            with (
                suppress(IntegrityError),
                self._database.begin() as connection,
            ):  # or another was faster
                connection.execute(self._table.insert().values(row))
                commit(connection)
        self._is_ready = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            raise TokenStoreError(f"{self.place}: {db_message(error)}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _table() -> Table:
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text

    return Table(
        TABLE,
        MetaData(),
        Column("name", String(200), primary_key=True),
        Column("generation", Integer, nullable=False),
        Column("tokens", Text),
        Column("saved_at", String(40), nullable=False),
    )
