"""Tokens in a small table of a database that several hosts share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, TokenStoreError
from ..settings import SECTION
from .encryption import need_cipher
from .journaled import JournaledStorage, Row
from .storage import LOCK_WAIT_S

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

TABLE = "exact_oauth"
LOCK_WAIT_MS = int(LOCK_WAIT_S * 1000)
# What begins a transaction in which the row can be locked until its end.
_SETTINGS: dict[str, tuple[str, ...]] = {
    "postgresql": (
        f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}",
        f"SET LOCAL idle_in_transaction_session_timeout = {LOCK_WAIT_MS}",
        "SET LOCAL synchronous_commit = on",  # a commit that is reported is on disk
    ),
    "mysql": (f"SET SESSION innodb_lock_wait_timeout = {int(LOCK_WAIT_S)}",),
    "mariadb": (f"SET SESSION innodb_lock_wait_timeout = {int(LOCK_WAIT_S)}",),
    "sqlite": (f"PRAGMA busy_timeout = {LOCK_WAIT_MS}", "PRAGMA synchronous = FULL"),
}


class SqlTokenStorage(JournaledStorage):
    """Tokens in the table ``exact_oauth`` of a database, for any number of processes and hosts.

    One row per connection name, encrypted. A refresh holds the row (``SELECT ... FOR UPDATE``; on
    SQLite ``BEGIN IMMEDIATE``, one machine) from before the tokens are read until the new ones are
    committed. Proven on Postgres and SQLite; MySQL and MariaDB use the same statements.

    Args:
        url_or_engine: SQLAlchemy URL or engine (not an async one).
        key: Fernet key(s), newest first, separated by commas.
        name: Tells connections in one table apart.
        journal: File on this host in which a new pair waits for its commit. Without one, a process
            that is killed, or a database that goes away, between Exact's answer and the commit
            costs the pair.

    Raises:
        ConfigurationError: If there is no key, or the database is of a kind whose locks are not known.
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
        self._engine = _engine(url_or_engine)
        self._name = name
        self._table = _table()
        self._is_ready = False
        self._open = threading.local()
        where = self._engine.url.render_as_string(hide_password=True)
        place = f"table {TABLE} in {where}, connection {name!r}"
        super().__init__(cipher, Path(journal) if journal else None, place)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        with self._errors():
            self._prepare()
            context = self._begin()
            connection = context.__enter__()
        self._open.connection = connection
        try:
            with self._errors():
                self._select(connection, lock=True)
            yield
        finally:
            self._open.connection = None
            with suppress(SQLAlchemyError):  # a connection that broke has nothing to roll back
                context.__exit__(None, None, None)

    def _fetch(self) -> Row | None:
        with self._errors():
            held = self._held_connection()
            if held is not None:
                return self._select(held)
            self._prepare()
            with self._begin(to_write=False) as connection:
                return self._select(connection)

    def _put(self, row: Row) -> None:
        with self._errors():
            held, self._open.connection = self._held_connection(), None
            if held is not None:
                # Its commit ends the lock, and if it fails the next try needs another connection.
                self._update(held, row)
                return
            self._prepare()
            with self._begin() as connection:
                self._update(connection, row)

    def _remove(self) -> None:
        with self._errors():
            held = self._held_connection()
            if held is None:
                raise TokenStoreError(f"{self.place}: not locked")
            held.execute(self._table.delete().where(self._table.c.name == self._name))
            _commit(held)

    def _probe(self) -> None:
        held = self._held_connection()
        if held is not None:
            with self._errors():  # rolled back or overwritten at the end of the lock
                held.execute(self._mine(self._table.update()).values(saved_at=_now()))

    def _held_connection(self) -> Connection | None:
        return getattr(self._open, "connection", None)

    @contextmanager
    def _begin(self, *, to_write: bool = True) -> Iterator[Connection]:
        """A connection in a transaction that is rolled back unless it is committed."""
        dialect = self._engine.dialect.name
        with self._engine.connect() as connection:
            for statement in _SETTINGS[dialect]:
                connection.exec_driver_sql(statement)
            if dialect == "sqlite" and to_write:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            finally:
                _rollback(connection)

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
        _commit(connection)

    def _mine(self, statement: Any) -> Any:
        return statement.where(self._table.c.name == self._name)

    def _prepare(self) -> None:
        """Make the table and the row, whose absence nothing could lock."""
        from sqlalchemy.exc import IntegrityError, SQLAlchemyError

        if self._is_ready:
            return
        try:
            self._table.create(self._engine, checkfirst=True)
        except SQLAlchemyError:
            self._table.create(self._engine, checkfirst=True)  # another process was faster
        with self._begin(to_write=False) as connection:
            is_new = self._select(connection) is None
        if is_new:
            row = {"name": self._name, "generation": 0, "tokens": None, "saved_at": _now()}
            with suppress(IntegrityError), self._begin() as connection:  # or another was faster
                connection.execute(self._table.insert().values(row))
                _commit(connection)
        self._is_ready = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            said = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
            raise TokenStoreError(f"{self.place}: {said[:300]}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("COMMIT")
    else:
        connection.commit()


def _rollback(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        connection.rollback()
    elif connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("ROLLBACK")


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


def _engine(url_or_engine: str | Engine) -> Engine:
    try:
        from sqlalchemy import Engine, NullPool, create_engine, make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise ConfigurationError(
            "SqlTokenStorage needs SQLAlchemy: pip install 'exact-source[postgres]'"
        ) from None

    if isinstance(url_or_engine, str):
        try:
            url = make_url(url_or_engine)
            if url.drivername in {"postgresql", "postgres"}:
                url = url.set(drivername=f"postgresql+{_postgres_driver()}")
            # No pool: a refresh every ten minutes needs none, and connections outlive no fork.
            engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
        except (ArgumentError, ImportError) as error:
            raise ConfigurationError(
                f"{SECTION}.token_url is no database address that SQLAlchemy can use "
                f"({type(error).__name__})"
            ) from None
    elif isinstance(url_or_engine, Engine):
        engine = url_or_engine
    else:
        raise ConfigurationError("SqlTokenStorage takes an SQLAlchemy URL or a (plain) Engine")
    if engine.dialect.name not in _SETTINGS:
        raise ConfigurationError(
            f"SqlTokenStorage knows no lock for {engine.dialect.name}: use one of "
            f"{' '.join(_SETTINGS)}"
        )
    if engine.dialect.name == "sqlite":
        # Begin and commit are ours: the driver would begin without taking the write lock.
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    return engine


def _postgres_driver() -> str:
    return "psycopg2" if find_spec("psycopg2") else "psycopg"
