"""Tokens in dlt's destination, next to its state; for machines without a persistent disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...atomic_file import LOCK_WAIT_S, file_lock
from ...errors import ConfigurationError, TokenStoreError, first_line
from ...settings import SECTION
from .cipher import need_cipher
from .journal import JournaledStorage, Row

if TYPE_CHECKING:
    import dlt
    from dlt.common.destination import TDestinationReferenceArg
    from dlt.destinations.sql_client import SqlClientBase

TABLE = "_exact_oauth"
_POSTGRES_LOCK = (
    f"SET LOCAL lock_timeout = {int(LOCK_WAIT_S * 1000)}",
    f"SET LOCAL idle_in_transaction_session_timeout = {int(LOCK_WAIT_S * 1000)}",
    "SET LOCAL synchronous_commit = on",  # a successful commit is on disk
)
# Last part of dlt's destination type -> type for text of any length.
_TEXT = {"duckdb": "TEXT", "motherduck": "TEXT", "postgres": "TEXT", "bigquery": "STRING"}


class DltStateTokenStorage(JournaledStorage):
    """Tokens in the table ``_exact_oauth`` of a pipeline's dataset, committed immediately.

    The tokens are not part of the pipeline's state, because dlt drops the state of a failed run and keeps
    all earlier states readable (dlt notes 1.4, 1.5). A separate commit through ``pipeline.sql_client()``
    survives an exception, a kill and the loss of the machine, also during an extraction. Only the newest
    tokens are kept, encrypted.

    Which processes may share the tokens depends on the destination:

    * Postgres: any number of processes and hosts; the row is locked during a refresh.
    * DuckDB: one process, like DuckDB itself; a second one gets the error that the database is in use.
    * MotherDuck and BigQuery (one ``MERGE`` statement): processes of one machine that share
      ``pipelines_dir``. For several machines use ``SqlTokenStorage``, or the connection breaks.
      BigQuery keeps earlier, encrypted rows for its time travel (up to 7 days).

    Not for ``dev_mode`` pipelines, which get a new dataset in each run.

    Args:
        pipeline_or_destination: The pipeline that loads, or a destination (then with
            ``dataset_name``).
        key: Fernet key(s), newest first, separated by commas.
        name: Name of the connection in the dataset.
        dataset_name: Dataset for the table if a destination is given.
        journal: File on this host that keeps new tokens until they are committed; default: one in
            ``pipelines_dir``. It matters only if the process is killed in those milliseconds.

    Raises:
        ConfigurationError: If there is no key, or the destination is not in this list.
    """

    def __init__(
        self,
        pipeline_or_destination: dlt.Pipeline | TDestinationReferenceArg,
        *,
        key: str | None,
        name: str = "default",
        dataset_name: str | None = None,
        journal: str | Path | None = None,
    ) -> None:
        cipher = need_cipher(key, "DltStateTokenStorage")
        self.pipeline = _pipeline(pipeline_or_destination, dataset_name)
        self._kind = _kind(self.pipeline)
        self._name = name
        self._is_ready = False
        self._open = threading.local()
        self._lock_file = Path(self.pipeline.pipelines_dir) / _file_name(self.pipeline, name)
        place = (
            f"table {self.pipeline.dataset_name}.{TABLE} in "
            f"{self.pipeline.destination.destination_name}, connection {name!r}"
        )
        super().__init__(cipher, Path(journal) if journal else self._lock_file, place)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        if self._kind != "postgres":
            with file_lock(self._lock_file):
                yield
            return
        with self._errors():
            client = self._client()
            client.open_connection()
        try:
            with self._errors():
                self._prepare(client)
                client.native_connection.autocommit = False
                for statement in _POSTGRES_LOCK:
                    client.execute_sql(statement)
                self._select(client, "FOR UPDATE")
            self._open.client = client
            yield
        finally:
            self._open.client = None
            with suppress(Exception):  # closing rolls back; a broken connection is closed already
                client.close_connection()

    def _fetch(self) -> Row | None:
        with self._errors():
            if self._held_client is not None:
                return self._select(self._held_client)
            with self._client() as client:
                return self._select(client)

    def _write_row(self, row: Row) -> None:
        with self._errors():
            held, self._open.client = self._held_client, None
            if held is not None:
                # The commit ends the lock, and if it fails the next try needs a new connection.
                self._replace(held, row)
                held.native_connection.commit()
                return
            with self._client() as client:
                self._prepare(client)
                if self._kind == "bigquery":
                    self._merge(client, row)
                else:
                    with client.begin_transaction():
                        self._replace(client, row)

    def _remove(self) -> None:
        with self._errors():
            held = self._held_client
            if held is not None:
                self._delete(held)
                held.native_connection.commit()
                return
            with self._client() as client:
                self._prepare(client)
                self._delete(client)

    def _probe(self) -> None:
        with self._errors():
            held = self._held_client
            if held is not None:
                self._touch(held)  # rolled back or overwritten at the end of the lock
                return
            with self._client() as client:
                self._prepare(client)
                self._touch(client)

    def _touch(self, client: SqlClientBase[Any]) -> None:
        client.execute_sql(
            f"UPDATE {self._qualified(client)} SET saved_at = %s WHERE connection = %s",
            _now(),
            self._name,
        )

    @property
    def _held_client(self) -> SqlClientBase[Any] | None:
        client: SqlClientBase[Any] | None = getattr(self._open, "client", None)
        return client

    def _client(self) -> SqlClientBase[Any]:
        return self.pipeline.sql_client()  # with no schema name: works before the first run too

    def _qualified(self, client: SqlClientBase[Any]) -> str:
        if self._kind != "duckdb":
            return client.make_qualified_table_name(TABLE)
        # A file books.duckdb with a dataset "books": without the catalog the name is ambiguous.
        ((catalog,),) = client.execute_sql("SELECT current_database()") or ()
        return ".".join(client.make_qualified_table_name_path(TABLE, catalog=catalog))

    def _select(self, client: SqlClientBase[Any], suffix: str = "") -> Row | None:
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        query = f"SELECT generation, tokens FROM {self._qualified(client)} WHERE connection = %s"
        try:
            rows = client.execute_sql(f"{query} {suffix}", self._name)
        except DatabaseUndefinedRelation:
            return None
        return Row(int(rows[0][0]), rows[0][1]) if rows else None

    def _replace(self, client: SqlClientBase[Any], row: Row) -> None:
        table = self._qualified(client)
        values = (self._name, row.generation, row.blob, _now())
        insert = f"INSERT INTO {table} (connection, generation, tokens, saved_at) VALUES (%s, %s, %s, %s)"
        if self._kind == "postgres":
            # Updated in place: a process that waits for the lock of a deleted row would get no row.
            client.execute_sql(
                f"{insert} ON CONFLICT (connection) DO UPDATE SET generation = excluded.generation, "
                "tokens = excluded.tokens, saved_at = excluded.saved_at",
                *values,
            )
        else:
            self._delete(client)
            client.execute_sql(insert, *values)

    def _merge(self, client: SqlClientBase[Any], row: Row) -> None:
        client.execute_sql(
            f"MERGE INTO {self._qualified(client)} AS old USING (SELECT %s AS connection, "
            "%s AS generation, %s AS tokens, %s AS saved_at) AS new "
            "ON old.connection = new.connection "
            "WHEN MATCHED THEN UPDATE SET generation = new.generation, tokens = new.tokens, "
            "saved_at = new.saved_at "
            "WHEN NOT MATCHED THEN INSERT (connection, generation, tokens, saved_at) "
            "VALUES (new.connection, new.generation, new.tokens, new.saved_at)",
            self._name,
            row.generation,
            row.blob,
            _now(),
        )

    def _delete(self, client: SqlClientBase[Any]) -> None:
        client.execute_sql(
            f"DELETE FROM {self._qualified(client)} WHERE connection = %s", self._name
        )

    def _prepare(self, client: SqlClientBase[Any]) -> None:
        """Create dataset and table, and on Postgres the row, because a missing row cannot be locked."""
        if self._is_ready:
            return
        from dlt.common.exceptions import DltException

        try:
            self._create(client)
        except DltException:
            self._create(client)  # another process was faster
        self._is_ready = True

    def _create(self, client: SqlClientBase[Any]) -> None:
        if not client.has_dataset():
            client.create_dataset()
        text = _TEXT[self._kind]
        table = self._qualified(client)
        key = " PRIMARY KEY" if self._kind == "postgres" else ""
        client.execute_sql(
            f"CREATE TABLE IF NOT EXISTS {table} (connection {text}{key}, generation BIGINT, "
            f"tokens {text}, saved_at {text})"
        )
        if self._kind == "postgres":
            client.execute_sql(
                f"INSERT INTO {table} (connection, generation, saved_at) VALUES (%s, 0, %s) "
                "ON CONFLICT DO NOTHING",
                self._name,
                _now(),
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TokenStoreError:
            raise
        except Exception as error:  # each driver has its own classes
            raise TokenStoreError(f"{self.place}: {first_line(error)}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _file_name(pipeline: dlt.Pipeline, name: str) -> str:
    parts = ("exact_oauth", pipeline.destination.destination_name, pipeline.dataset_name, name)
    return quote("-".join(str(part) for part in parts), safe="")


def _kind(pipeline: dlt.Pipeline) -> str:
    kind = str(pipeline.destination.destination_type).rpartition(".")[2]
    if kind not in _TEXT:
        raise ConfigurationError(
            f"DltStateTokenStorage does not work with the destination {kind}, only with "
            f"{', '.join(_TEXT)}: use FileTokenStorage or SqlTokenStorage"
        )
    return kind


def _pipeline(
    pipeline_or_destination: dlt.Pipeline | TDestinationReferenceArg, dataset_name: str | None
) -> dlt.Pipeline:
    import dlt
    from dlt.common.destination.exceptions import UnknownDestinationModule

    if isinstance(pipeline_or_destination, dlt.Pipeline):
        pipeline = pipeline_or_destination
    elif dataset_name is None:
        raise ConfigurationError("DltStateTokenStorage needs a dataset_name beside a destination")
    else:
        # In a separate thread, because a new pipeline becomes the active one of its thread.
        with ThreadPoolExecutor(1) as thread:
            making = thread.submit(
                lambda: dlt.pipeline(
                    "exact_oauth", destination=pipeline_or_destination, dataset_name=dataset_name
                )
            )
        try:
            pipeline = making.result()
        except UnknownDestinationModule:
            # It may be a mistyped URL with a password, so only the part before the colon is shown.
            word = str(pipeline_or_destination).split(":", 1)[0][:40]
            raise ConfigurationError(
                f"{SECTION}.token_destination {word!r} is unknown; use duckdb, duckdb:PATH, "
                "postgres, postgresql://USER@HOST/DATABASE or bigquery"
            ) from None
    parts: tuple[object, object] = (pipeline.destination, pipeline.dataset_name)
    if None in parts:
        raise ConfigurationError(
            "DltStateTokenStorage needs a pipeline with a destination and a dataset_name"
        )
    if pipeline.dev_mode:
        raise ConfigurationError(
            "DltStateTokenStorage cannot be used with dev_mode: each run would start in an "
            "empty dataset, without tokens"
        )
    return pipeline
