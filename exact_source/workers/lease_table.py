"""The table ``exact_leases``: the holder of each item and the expiry by the database's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..database import Database, db_message
from ..driver_errors import is_misnamed
from ..errors import ConfigurationError, LeaseStoreError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Table

TABLE = "exact_leases"
LOCK_WAIT_S = 10.0
DIALECTS = ("postgresql", "sqlite")


class LeaseTable:
    """The rows of one connection in the table of leases.

    Args:
        url_or_engine: SQLAlchemy URL or engine of a Postgres, or of a SQLite on this machine.
        name: Name of the connection to Exact; one table serves several.
        wall: This host's clock, seconds since the epoch, for messages only.
        database_now: Replaces the database's clock in tests; ``None``: the database's clock.

    Raises:
        ConfigurationError: If the database is not a Postgres or SQLite.
    """

    def __init__(
        self,
        url_or_engine: str | Engine,
        name: str,
        *,
        wall: Callable[[], float],
        database_now: Callable[[], float] | None,
    ) -> None:
        self._database = Database(
            url_or_engine, user="SqlLeases", lock_wait_s=LOCK_WAIT_S, dialects=DIALECTS
        )
        self._name = name
        self._wall = wall
        self._table = _table()
        self._now = _database_clock(self._database.dialect, database_now)
        self._is_ready = False

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction to read and change rows; ``database.commit`` ends it.

        Raises:
            ConfigurationError: If its address or credentials are wrong.
            LeaseStoreError: If the database fails.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            if not self._is_ready:
                self._database.create(self._table)
                self._is_ready = True
            with self._database.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            if not self._is_ready and is_misnamed(error):
                raise ConfigurationError(
                    f"leases cannot be stored in {self._database.where}: {db_message(error)}"
                ) from error
            raise LeaseStoreError(
                f"table {TABLE} in {self._database.where}: {db_message(error)}",
                resumes_at=self._wall(),
            ) from error

    def expired(self, connection: Connection, prefix: str) -> Sequence[str]:
        """Items with this prefix that are free now."""
        from sqlalchemy import select

        columns = self._table.c
        query = select(columns.item).where(
            columns.name == self._name,
            columns.item.startswith(prefix),
            columns.expires_at <= self._now,
        )
        return connection.execute(query).scalars().all()

    def lock_rows(self, connection: Connection, items: Sequence[str]) -> Sequence[Any]:
        """Read and lock the rows of items, in a fixed order, so that two workers cannot deadlock.

        Returns:
            Rows with ``item``, ``holder``, ``epoch`` and ``left_s``, the seconds until the lease expires.
        """
        from sqlalchemy import select

        columns = self._table.c
        left_s = (columns.expires_at - self._now).label("left_s")
        query = select(columns.item, columns.holder, columns.epoch, left_s)
        return connection.execute(
            self._rows_of(query, items).order_by(columns.item).with_for_update()
        ).all()

    def insert_missing(self, connection: Connection, items: Sequence[str]) -> None:
        """Add free rows for items that have no row."""
        from sqlalchemy.dialects import postgresql, sqlite

        insert: Any = (postgresql if self._database.dialect == "postgresql" else sqlite).insert
        rows = [
            {"name": self._name, "item": i, "holder": "", "epoch": 0, "expires_at": 0.0}
            for i in items
        ]
        connection.execute(insert(self._table).on_conflict_do_nothing(), rows)

    def give(self, connection: Connection, items: Sequence[str], holder: str, ttl_s: float) -> None:
        """Give items to a holder for ``ttl_s`` seconds, and start a new epoch."""
        epoch = self._table.c.epoch + 1
        self._set(connection, items, holder=holder, epoch=epoch, expires_at=self._now + ttl_s)

    def extend(self, connection: Connection, items: Sequence[str], ttl_s: float) -> None:
        """Set the expiry of leases to ``ttl_s`` seconds from now."""
        self._set(connection, items, expires_at=self._now + ttl_s)

    def end(self, connection: Connection, items: Sequence[str]) -> None:
        """Free items, and start a new epoch, so that a renewal under way does not extend them."""
        self._set(connection, items, epoch=self._table.c.epoch + 1, expires_at=0.0)

    def _set(self, connection: Connection, items: Sequence[str], **values: Any) -> None:
        if items:
            connection.execute(self._rows_of(self._table.update(), items).values(**values))

    def _rows_of(self, statement: Any, items: Sequence[str]) -> Any:
        columns = self._table.c
        return statement.where(columns.name == self._name, columns.item.in_(items))


def _database_clock(dialect: str, now: Callable[[], float] | None) -> ColumnElement[float]:
    """Seconds since the epoch by the database: an expression that each statement evaluates."""
    from sqlalchemy import Double, bindparam, cast, extract, func, literal_column

    if now is not None:
        return bindparam(None, callable_=now, type_=Double())
    if dialect == "postgresql":
        # Not now(), which does not change while a transaction waits for a row.
        return cast(extract("epoch", func.clock_timestamp()), Double)
    return literal_column("(julianday('now') - 2440587.5) * 86400.0", Double())


def _table() -> Table:
    from sqlalchemy import Column, Double, Integer, MetaData, String, Table

    return Table(
        TABLE,
        MetaData(),
        Column("name", String(200), primary_key=True),
        Column("item", String(200), primary_key=True),
        Column("holder", String(200), nullable=False),
        Column("epoch", Integer, nullable=False),
        Column("expires_at", Double, nullable=False),
    )
