"""Locks a dataset whose database has no locks: rows claim it, with an expiry.

Warehouses have no unique keys, so two claims can be inserted at once. A writer therefore inserts its claim
first and then looks for others: of two concurrent writers at least one sees the other. A writer that sees
another claim withdraws its own. If the other claim is also young, both may have withdrawn, so each tries
again after a random pause.

A holder extends its claim in the background. After a kill -9 the claim expires by the database's clock; until
then the next sync ends with exit code 3 and names the holder. The holder measures the expiry with its own
steady clock, starting before its request, so it stops before another writer may begin.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema.typing import TColumnSchema
from dlt.destinations.exceptions import (
    DatabaseException,
    DatabaseUndefinedRelation,
    DestinationConnectionError,
)

from ..errors import HeldError
from .writer import Writer, read_note
from .writer_lock import Lock, TakenError

TABLE = "_exact_writers"
TTL_S = 300.0
RENEWALS = 5  # in the life of a claim
YOUNG_S = 60.0  # a claim younger than this may be withdrawn
TRIES = 4
UNREACHABLE = (DatabaseException, DestinationConnectionError)
# Tables of Synapse are columnstores, which allow only texts of bounded length.
COLUMNS: tuple[TColumnSchema, ...] = (
    {"name": "claim", "data_type": "text", "precision": 32, "nullable": False},
    {"name": "writer", "data_type": "text", "precision": 1000, "nullable": False},
    {"name": "made_at", "data_type": "double", "nullable": False},
    {"name": "expires_at", "data_type": "double", "nullable": False},
)


class Claims:
    """The table of claims in the dataset of a pipeline; each call opens its own connection."""

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        self._pipeline = pipeline

    def create(self) -> None:
        """Create the dataset and the table if they do not exist."""
        with self._client() as client:
            if not client.has_dataset():
                with suppress(DatabaseException):  # another process was faster
                    client.create_dataset()
            name = client.make_qualified_table_name(TABLE)
            try:
                client.execute_sql(f"SELECT COUNT(*) FROM {name}")
            except (DatabaseUndefinedRelation, DestinationUndefinedEntity):
                with suppress(DatabaseException):
                    client.execute_sql(f"CREATE TABLE {name} ({self._columns(client)})")

    def insert(self, claim: str, note: str, ttl_s: float) -> None:
        """Add a claim that lives for ``ttl_s`` seconds."""
        with self._client() as client:
            now = _now(client)
            self._run(
                client, "INSERT INTO {0} (claim, writer, made_at, expires_at) VALUES (%s, %s, %s, %s)",
                claim, note, now, now + ttl_s,
            )  # fmt: skip

    def others(self, claim: str) -> Sequence[tuple[str, float]]:
        """Note and age in seconds of every other claim that has not expired, the oldest first."""
        with self._client() as client:
            now = _now(client)
            found = self._run(
                client,
                "SELECT writer, made_at FROM {0} WHERE claim <> %s AND expires_at > %s "
                "ORDER BY made_at",
                claim,
                now,
            )
            return [(str(note), now - float(made_at)) for note, made_at in found or ()]

    def extend(self, claim: str, ttl_s: float) -> bool:
        """Extend a claim by ``ttl_s`` seconds from now; returns whether it was still valid."""
        with self._client() as client:
            now = _now(client)
            # An expired claim is not revived: another writer may have checked meanwhile.
            alive = "WHERE claim = %s AND expires_at > %s"
            self._run(client, f"UPDATE {{0}} SET expires_at = %s {alive}", now + ttl_s, claim, now)
            return bool(self._run(client, f"SELECT 1 FROM {{0}} {alive}", claim, now))

    def remove(self, claim: str) -> None:
        """Remove a claim, and those that have expired."""
        with self._client() as client:
            self._run(
                client, "DELETE FROM {0} WHERE claim = %s OR expires_at < %s", claim, _now(client)
            )

    def _client(self) -> Any:
        return self._pipeline.sql_client()

    def _columns(self, client: Any) -> str:
        mapper = client.capabilities.get_type_mapper()
        table: Any = {"name": TABLE, "columns": {}}
        return ", ".join(f"{c['name']} {mapper.to_destination_type(c, table)}" for c in COLUMNS)

    def _run(self, client: Any, statement: str, *values: Any) -> Any:
        return client.execute_sql(
            statement.format(client.make_qualified_table_name(TABLE)), *values
        )


def _now(client: Any) -> float:
    """Seconds since the epoch by the database's clock."""
    found: Any = client.execute_sql("SELECT CURRENT_TIMESTAMP")
    at: datetime = found[0][0]
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


class ClaimLock:
    """A claim that is held and extended in the background.

    Args:
        claims: Table of claims.
        dataset: Name of the dataset, for messages.
        writer: This process.
        ttl_s: Seconds that a claim outlives its holder.
        steady: Steady clock of this process, in seconds.
        sleep: Waits, in seconds.
    """

    def __init__(
        self,
        claims: Claims,
        dataset: str,
        writer: Writer,
        *,
        ttl_s: float = TTL_S,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._claims = claims
        self._dataset = dataset
        self._writer = writer
        self._ttl_s = ttl_s
        self._steady = steady
        self._sleep = sleep
        self._claim = secrets.token_hex(8)
        self._good_until = 0.0

    def take(self) -> None:
        """Insert the claim.

        Raises:
            TakenError: If another writer has one.
        """
        for left in reversed(range(TRIES)):
            asked_at = self._steady()
            self._claims.insert(self._claim, self._writer.to_note(), self._ttl_s)
            found = self._claims.others(self._claim)
            if not found:
                self._good_until = asked_at + self._ttl_s
                return
            self._claims.remove(self._claim)
            note, age_s = found[0]
            if not left or age_s > YOUNG_S:
                raise TakenError(read_note(note))
            self._sleep(random.uniform(0.5, 3.0) * (TRIES - left))  # noqa: S311 (no secret)

    def renew(self) -> None:
        """Extend the claim by the database's clock."""
        asked_at = self._steady()
        if self._claims.extend(self._claim, self._ttl_s):
            self._good_until = asked_at + self._ttl_s

    def confirm(self) -> None:
        """See ``Lock``."""
        if self._steady() < self._good_until:
            return
        raise HeldError(
            f"the claim on dataset {self._dataset} expired, and another sync may have begun; what was read "
            "is not loaded, run again",
            resumes_at=self._writer.since,
        )

    def release(self) -> None:
        """Remove the claim; if that fails it expires."""
        with suppress(*UNREACHABLE):
            self._claims.remove(self._claim)

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Extend the claim from a thread until the block ends."""
        stop = threading.Event()

        def renew_until_stopped() -> None:
            while not stop.wait(self._ttl_s / RENEWALS):
                with suppress(*UNREACHABLE):  # the next try may succeed in time
                    self.renew()

        thread = threading.Thread(target=renew_until_stopped, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.release()


@contextmanager
def claim(pipeline: dlt.Pipeline, writer: Writer) -> Iterator[Lock]:
    """Hold a claim on the dataset of a pipeline.

    Raises:
        TakenError: If another writer holds one.
    """
    claims = Claims(pipeline)
    claims.create()
    lock = ClaimLock(claims, str(pipeline.dataset_name), writer)
    lock.take()
    with lock.renewed():
        yield lock
