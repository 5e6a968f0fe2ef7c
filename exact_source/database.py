"""A small table in a database that several processes and hosts share, with transactions that lock rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .addresses import check_address
from .driver_errors import remedy_of
from .errors import ConfigurationError, first_line
from .extras import install_command
from .settings import SECTION

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

# Statements that begin a transaction in which rows can be locked until its end; {0} stands for seconds.
_SETTINGS: dict[str, tuple[str, ...]] = {
    "postgresql": (
        "SET LOCAL lock_timeout = '{0}s'",
        "SET LOCAL idle_in_transaction_session_timeout = '{0}s'",
        "SET LOCAL synchronous_commit = on",  # a successful commit is on disk
    ),
    "mysql": ("SET SESSION innodb_lock_wait_timeout = {0}",),
    "mariadb": ("SET SESSION innodb_lock_wait_timeout = {0}",),
    "sqlite": ("PRAGMA busy_timeout = {0}000", "PRAGMA synchronous = FULL"),
}


class Database:
    """A database given by its address.

    Args:
        url_or_engine: SQLAlchemy URL or engine (not an async one).
        user: Name of the class that uses it, for messages.
        setting: Name of the setting with the address, for messages.
        lock_wait_s: Seconds that a statement waits for a row that another transaction holds.
        dialects: SQLAlchemy dialects that ``user`` supports.

    Raises:
        ConfigurationError: If the address is not valid, or the dialect is not supported.
    """

    def __init__(
        self,
        url_or_engine: str | Engine,
        *,
        user: str,
        lock_wait_s: float,
        setting: str = "token_url",
        dialects: tuple[str, ...] = tuple(_SETTINGS),
    ) -> None:
        self._engine = _engine(url_or_engine, user, setting)
        self.dialect = self._engine.dialect.name
        if self.dialect not in dialects:
            raise ConfigurationError(
                f"{user} cannot lock {self.dialect}; use one of {' '.join(dialects)}"
            )
        if self.dialect == "sqlite":
            # Transactions begin and end explicitly; the driver would begin one without the write lock.
            self._engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self.where = self._engine.url.render_as_string(hide_password=True)
        self._statements = [text.format(int(lock_wait_s)) for text in _SETTINGS[self.dialect]]

    def exists(self) -> bool:
        """Whether a SQLite file exists, which a connection would create; ``True`` for other databases."""
        file = self._engine.url.database
        return (
            self.dialect != "sqlite" or not file or file.startswith("file:") or Path(file).exists()
        )

    def create(self, table: Table) -> None:
        """Create a table if it does not exist."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            table.create(self._engine, checkfirst=True)
        except SQLAlchemyError:
            table.create(self._engine, checkfirst=True)  # another process was faster

    @contextmanager
    def begin(self, *, to_write: bool = True) -> Iterator[Connection]:
        """A connection in a transaction, which is rolled back unless it is committed."""
        with self._engine.connect() as connection:
            for statement in self._statements:
                connection.exec_driver_sql(statement)
            if self.dialect == "sqlite" and to_write:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            finally:
                _rollback(connection)


def commit(connection: Connection) -> None:
    """End a transaction of ``begin``."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("COMMIT")
    else:
        connection.commit()


def db_message(error: Exception) -> str:
    """The message of a database error with its remedy, without the statement that SQLAlchemy adds."""
    cause: BaseException | None = getattr(error, "orig", None)
    if cause is None:
        return type(error).__name__
    remedy = remedy_of(cause)
    return first_line(cause) + (f"; {remedy}" if remedy else "")


def _rollback(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        connection.rollback()
    elif connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("ROLLBACK")


def _engine(url_or_engine: str | Engine, user: str, setting: str) -> Engine:
    extra = "webhooks" if setting == "notices_url" else "postgres"
    try:
        from sqlalchemy import Engine, NullPool, create_engine, make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise ConfigurationError(
            f"{user} needs SQLAlchemy; install it with: {install_command(extra)}"
        ) from None

    if isinstance(url_or_engine, str):
        try:
            if not url_or_engine.startswith("sqlite"):
                check_address(url_or_engine, f"{SECTION}.{setting}")
            url = make_url(url_or_engine)
            if url.drivername in {"postgresql", "postgres"}:
                url = url.set(drivername=f"postgresql+{_postgres_driver()}")
            # No pool: a refresh every ten minutes does not need one, and connections do not survive a fork.
            return create_engine(url, poolclass=NullPool, hide_parameters=True)
        except ImportError as error:
            raise ConfigurationError(
                f"{SECTION}.{setting} needs the Python package {error.name}; install it, or name another "
                "driver of SQLAlchemy, as in mysql+pymysql://USER@HOST/DATABASE"
            ) from None
        except ArgumentError as error:
            raise ConfigurationError(
                f"{SECTION}.{setting} is not a valid SQLAlchemy URL ({type(error).__name__})"
            ) from None
    if isinstance(url_or_engine, Engine):
        return url_or_engine
    raise ConfigurationError(f"{user} takes an SQLAlchemy URL or a (plain) Engine")


def _postgres_driver() -> str:
    return "psycopg2" if find_spec("psycopg2") else "psycopg"
