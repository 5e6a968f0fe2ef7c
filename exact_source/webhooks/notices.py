"""The table of notices: for each entity of each division, the mark of its latest webhook.

Receivers write the table, and syncs only read it. A webhook sets a new random mark for its entities. A sync
reads the marks before its first call, and stores the mark that its rows cover with these rows (see
``Cursor.webhook_mark``). A stream must be read while the two marks differ. Marks are never cleared, so they
cannot be cleared too early: neither by a failed load, nor for a webhook that arrives during a read, nor by
another pipeline that reads the same table. A lost table starts empty.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..database import Database, commit, db_message
from ..errors import ConfigurationError, ExactError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

TABLE = "exact_notices"
SETTING = "notices_url"
# Another receiver may insert the same row first; the second try then finds it.
TRIES = 2
LOCK_WAIT_S = 30.0


class NoticesError(ExactError):
    """The notices could not be read or written."""

    code = "notices"
    remedy = "Make the file or database of `notices_url` usable again, or sync without `--changed`."


class Notices:
    """The marks in the table ``exact_notices`` of a database, for any number of receivers and syncs.

    Args:
        url: SQLAlchemy URL; a SQLite file serves one machine.

    Raises:
        ConfigurationError: If it is not a valid SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url, user=SETTING, setting=SETTING, lock_wait_s=LOCK_WAIT_S)
        self._table = _table()
        self.place = f"table {TABLE} in {self._database.where}"

    def prepare(self) -> None:
        """Create the table.

        Raises:
            NoticesError: If the database refuses.
        """
        with self._errors():
            self._database.create(self._table)

    def record(self, division: int, entities: Iterable[str]) -> None:
        """Set a new mark for entities of a division; durable once this returns.

        Raises:
            NoticesError: If they could not be written.
        """
        from sqlalchemy.exc import IntegrityError

        values = {
            "mark": uuid.uuid4().hex,
            "noticed_at": datetime.now(UTC).isoformat("T", "seconds"),
        }
        names = sorted(set(entities))  # a fixed order, so that two receivers cannot deadlock
        with self._errors():
            for left in reversed(range(TRIES)):
                try:
                    with self._database.begin() as connection:
                        for name in names:
                            self._write_mark(connection, division, name, values)
                        commit(connection)
                except IntegrityError:
                    if not left:
                        raise
                else:
                    return

    def latest(self) -> dict[tuple[str, int], str]:
        """``(entity, division)`` -> mark of its latest notice.

        Raises:
            ConfigurationError: If no receiver has ever written to the table; then a missing notice does not
                mean that nothing changed.
            NoticesError: If they could not be read.
        """
        from sqlalchemy import inspect, select

        table = self._table.c
        if not self._database.exists():
            raise self._missing()
        with self._errors(), self._database.begin(to_write=False) as connection:
            if not inspect(connection).has_table(TABLE):
                raise self._missing()
            found = connection.execute(select(table.entity, table.division, table.mark))
            return {(entity, division): mark for entity, division, mark in found}

    def _missing(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self.place} does not exist, so no receiver writes to it: set {SETTING} to the place "
            "where `exact-source webhooks serve` stores notices, or sync without --changed"
        )

    def _write_mark(
        self, connection: Connection, division: int, entity: str, values: dict[str, str]
    ) -> None:
        table = self._table
        mine = (table.c.division == division) & (table.c.entity == entity)
        if connection.execute(table.update().where(mine).values(values)).rowcount == 0:
            row = {"division": division, "entity": entity, **values}
            connection.execute(table.insert().values(row))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            raise NoticesError(f"{self.place}: {db_message(error)}") from error


def _table() -> Table:
    from sqlalchemy import Column, Integer, MetaData, String, Table

    return Table(
        TABLE,
        MetaData(),
        Column("division", Integer, primary_key=True, autoincrement=False),
        Column("entity", String(100), primary_key=True),
        Column("mark", String(32), nullable=False),
        Column("noticed_at", String(40), nullable=False),
    )
