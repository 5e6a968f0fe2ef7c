"""Leases of divisions, pipelines and loads, in a database that all workers can reach.

A lease is a row with the holder of an item and the time at which it expires. The holder renews it in the
background. If the holder stops (a kill -9, a lost network), the lease expires and another worker may take it.

The database's clock decides when a lease begins and expires, so that hosts with different clocks agree. The
holder does not compare that time with its own clock. It measures the duration with its own steady clock,
starting before its request, and therefore stops before another worker may begin, however late the reply came.
Only a forward step of the database's clock can break that.

Postgres advisory locks, which other tools use, were tried in place of the table. They need neither epochs
nor a thread, but have these disadvantages:

* A session lock does not survive PgBouncer's transaction pooling. A lock that belongs to a transaction does,
  but then all items of a worker end together, while a sync takes and returns them one by one.
* The holder must query the database to learn that it lost its lock, before each call to Exact. A lease is
  certain until its expiry without a query.
* A vanished host keeps its locks until TCP keepalive notices: two hours by default, and a proxy in between
  may hide it completely. A lease expires after ``lease_s`` seconds.
* Locks have no epoch, so a suspended worker could not tell that another one had loaded meanwhile.
* They do not show who holds an item or for how long, do not list the free divisions, and do not exist in
  SQLite, which serves several processes of one machine.

Seven of the nine tests of leases on Postgres fail with them, and none of those on SQLite can run. The lock
of a dataset, in ``loading.writer_lock``, has none of these requirements and is an advisory lock.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..database import commit
from ..errors import ConfigurationError, HeldError, LeaseStoreError
from ..settings import SECTION, Settings
from .lease_table import LeaseTable

if TYPE_CHECKING:
    from sqlalchemy import Engine

TTL_S = 60.0
RENEWALS = 4  # tries to renew a lease before it expires
LONGEST_FOLDER = 100  # characters of a folder in the name of a holder, which may have 200
POLL_S = 0.5  # seconds between two tries while another worker holds an item


def steady_now() -> float:
    """Seconds of a clock that cannot be adjusted and that continues while the computer sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class Clocks:
    """The clocks of leases; tests replace them.

    Attributes:
        steady: This process's steady clock, in seconds.
        wall: This host's clock, seconds since the epoch, for messages only.
        database: Replaces the database's clock, seconds since the epoch; ``None``: the database's clock.
        sleep: Waits, in seconds.
    """

    steady: Callable[[], float] = steady_now
    wall: Callable[[], float] = time.time
    database: Callable[[], float] | None = None
    sleep: Callable[[float], None] = time.sleep


class SqlLeases:
    """Leases in the table ``exact_leases`` of a database, for any number of processes and hosts.

    Use it as a context manager: it renews the leases in the background and returns them at the end.

        with SqlLeases(url) as leases:
            pipeline.run(exact_online(leases=leases))

    Args:
        url_or_engine: SQLAlchemy URL or engine of a Postgres, or of a SQLite on this machine.
        name: Name of the connection to Exact, as in ``SqlTokenStorage``; one table serves several.
        ttl_s: Seconds after which a lease expires if it is not renewed.
        wait_s: Seconds to wait for a division that another worker holds; 0 skips it in this run.
        holder: Name that is shown to other workers; default: host, process id and current folder.
        clocks: Clocks, for tests.

    Raises:
        ConfigurationError: If the database is not a Postgres or SQLite.
    """

    def __init__(
        self,
        url_or_engine: str | Engine,
        *,
        name: str = "default",
        ttl_s: float = TTL_S,
        wait_s: float = 0.0,
        holder: str | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self.ttl_s = ttl_s
        self.wait_s = wait_s
        # Random, because process ids are reused and a restarted worker is a different holder.
        folder = str(Path.cwd()).encode("ascii", "replace").decode()[-LONGEST_FOLDER:]
        own_name = f"{socket.gethostname()}:{os.getpid()} in {folder}"
        self.holder = f"{holder or own_name}:{secrets.token_hex(4)}"
        self._clocks = clocks or Clocks()
        self._steady = self._clocks.steady
        self.sleep = self._clocks.sleep
        self._table = LeaseTable(
            url_or_engine, name, wall=self._clocks.wall, database_now=self._clocks.database
        )
        self._guard = threading.RLock()
        self._good_until: dict[str, float] = {}
        self._epochs: dict[str, int] = {}
        self._lost: set[str] = set()
        self._refused: dict[str, tuple[str, float]] = {}  # holder, expiry by our steady clock
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None

    # -- all leases ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start renewing."""
        if self._renewing is not None:
            raise RuntimeError("SqlLeases is already entered; create a new one")
        self._stop.clear()
        self._renewing = threading.Thread(target=self._renew_until_stopped, daemon=True)
        self._renewing.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop renewing, and return all leases."""
        self._stop.set()
        if self._renewing is not None:
            self._renewing.join()
            self._renewing = None
        try:
            self.release()
        except LeaseStoreError:
            return  # they expire

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(self.ttl_s / RENEWALS):
            try:
                self.renew()
            except LeaseStoreError:
                continue  # a lease that is not renewed in time counts as lost

    # -- divisions -----------------------------------------------------------------------------

    async def admit(self, division: int) -> None:
        """Allow a call to a division, and take its lease before the first one.

        Raises:
            HeldError: If another worker holds the division, or took it over.
            LeaseStoreError: If the database fails.
        """
        item = division_item(division)
        if not self.holds(item):
            if item not in self._refused:  # a refused division is skipped in the whole run
                await asyncio.to_thread(self.take_divisions, [division])
            self._check(item)

    def holds_division(self, code: int) -> bool:
        """Whether this worker holds a division, without a query."""
        return self.holds(division_item(code))

    def take_divisions(self, divisions: Iterable[int]) -> None:
        """Take the free divisions, and wait for the others for up to ``wait_s`` seconds."""
        self._take_or_wait([division_item(code) for code in divisions], self.wait_s)

    def free_divisions(self) -> list[int]:
        """Codes of the divisions that were leased before and are free now.

        Raises:
            LeaseStoreError: If the database fails.
        """
        with self._table.transaction() as connection:
            items = self._table.expired(connection, division_item(""))
        return sorted(int(item.rpartition(" ")[2]) for item in items)

    # -- single items --------------------------------------------------------------------------

    @contextmanager
    def held(self, item: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold an item for the duration of a block.

        Args:
            item: Name of the item.
            wait_s: Seconds to wait for another holder.

        Raises:
            HeldError: If another worker still holds it after ``wait_s`` seconds.
        """
        self._lost.discard(item)
        self._take_or_wait([item], wait_s)
        self._check(item)
        try:
            yield
        finally:
            self.release([item])

    def confirm(self) -> None:
        """Check in the database that no other worker has taken over an item of this one.

        Raises:
            HeldError: If so.
        """
        self.renew()
        for item in [*self._epochs, *self._lost]:
            self._check(item)

    def holds(self, item: str) -> bool:
        """Whether this worker holds an item, without a query."""
        with self._guard:
            return self._steady() < self._good_until.get(item, -inf)

    def take(self, items: Sequence[str]) -> None:
        """Take the free items, except items that another worker took over from this one."""
        wanted = sorted({i for i in items if not self.holds(i)} - self._lost)
        if not wanted:
            return
        asked_at = self._steady()
        with self._table.transaction() as connection:
            self._table.insert_missing(connection, wanted)
            found = self._table.lock_rows(connection, wanted)
            free = [row.item for row in found if self._is_free(row)]
            self._table.give(connection, free, self.holder, self.ttl_s)
            commit(connection)
        with self._guard:
            for row in found:
                if row.item in free:
                    self._good_until[row.item] = asked_at + self.ttl_s
                    self._epochs[row.item] = row.epoch + 1
                    self._refused.pop(row.item, None)
                elif row.item in self._epochs:
                    self._lose(row.item, row.holder, row.left_s)
                else:
                    self._refused[row.item] = row.holder, self._steady() + row.left_s

    def renew(self) -> None:
        """Extend all leases, and note those that another worker took over."""
        with self._guard:
            epochs = dict(self._epochs)
        if not epochs:
            return
        asked_at = self._steady()
        with self._table.transaction() as connection:
            found = self._table.lock_rows(connection, sorted(epochs))
            # Even an expired lease is kept: an unchanged epoch means that no other worker had it since.
            kept = [row.item for row in found if row.epoch == epochs[row.item]]
            self._table.extend(connection, kept, self.ttl_s)
            commit(connection)
        with self._guard:
            for row in found:
                if row.item in kept and row.item in self._epochs:
                    self._good_until[row.item] = asked_at + self.ttl_s
                elif row.item not in kept:
                    self._lose(row.item, row.holder, row.left_s)

    def release(self, items: Sequence[str] | None = None) -> None:
        """Return items; default: all."""
        with self._guard:
            epochs = {
                item: self._epochs.pop(item)
                for item in (list(self._epochs) if items is None else items)
                if item in self._epochs
            }
            for item in epochs:
                self._good_until.pop(item, None)
        if not epochs:
            return
        with self._table.transaction() as connection:
            found = self._table.lock_rows(connection, sorted(epochs))
            mine = [row.item for row in found if row.epoch == epochs[row.item]]
            self._table.end(connection, mine)
            commit(connection)

    # -- helpers -------------------------------------------------------------------------------

    def _take_or_wait(self, items: Sequence[str], wait_s: float) -> None:
        give_up_at = self._steady() + wait_s
        while True:
            self.take(items)
            missing = [i for i in items if not self.holds(i) and i not in self._lost]
            if not missing or self._steady() >= give_up_at:
                return
            self._clocks.sleep(POLL_S)

    def _check(self, item: str) -> None:
        if self.holds(item):
            return
        with self._guard:
            holder, until = self._refused.get(item, ("", self._steady()))
        left_s = max(0.0, until - self._steady())
        who = f"is held by {holder}" if holder else "could not be held any longer"
        if item in self._lost:
            who = f"was taken over by {holder}"
        raise HeldError(f"{item} {who}; run again later", resumes_at=self._clocks.wall() + left_s)

    def _is_free(self, row: Any) -> bool:
        """Whether a row may be taken. An expired lease of ours may, if no other worker had it since."""
        if row.item in self._epochs:
            return bool(row.epoch == self._epochs[row.item])
        return bool(row.left_s <= 0 or row.holder == self.holder)

    def _lose(self, item: str, holder: str, left_s: float) -> None:
        if self._epochs.pop(item, None) is not None:
            self._lost.add(item)
            self._good_until.pop(item, None)
            self._refused[item] = holder, self._steady() + left_s


def division_item(division: int | str) -> str:
    """Name of the item for a division."""
    return f"division {division}"


def leases_from_settings(settings: Settings) -> SqlLeases | None:
    """The leases that the settings ask for; ``None`` without the setting ``leases``.

    Raises:
        ConfigurationError: If a setting that leases need is missing or wrong.
    """
    if not settings.leases:
        return None
    if not settings.token_url:
        raise ConfigurationError(
            f"{SECTION}.token_url is not set; leases need the database that the workers share, for "
            "example postgresql://user:password@host/database"
        )
    return SqlLeases(settings.token_url, name=settings.token_name, ttl_s=settings.lease_s)
