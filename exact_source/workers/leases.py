"""One worker at a time: leases of divisions, pipelines and loads in a database that workers share.

A lease is a row that says who holds an item and until when. Its holder renews it in the background;
when that stops (a kill -9, a lost network) the lease runs out and another worker may take it.

Whose clock? A lease begins and ends by the database's own, so that hosts whose clocks differ agree.
A holder does not compare that with its own clock either: it counts the seconds of its own steady
clock from before it asked, and stops that much later. It therefore stops before anybody else may
begin, however late the answer came. Only a step forward of the database's clock can break that.
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
from typing import TYPE_CHECKING, Any, Self

from ..database import commit
from ..errors import ConfigurationError, HeldError, LeaseStoreError
from ..settings import SECTION, Settings
from .lease_table import LeaseTable

if TYPE_CHECKING:
    from sqlalchemy import Engine

TTL_S = 60.0
RENEWALS = 4  # tries within the life of a lease
POLL_S = 0.5  # between two looks at what another holds


def steady_now() -> float:
    """Seconds of a clock that nobody sets and that counts while the computer sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class Clocks:
    """The times that leases live by; tests move them.

    Attributes:
        steady: This process's steady clock, in seconds.
        wall: This host's clock, seconds since the epoch, for messages only.
        database: The database's clock, seconds since the epoch; ``None``: it is asked.
        sleep: Waits, in seconds.
    """

    steady: Callable[[], float] = steady_now
    wall: Callable[[], float] = time.time
    database: Callable[[], float] | None = None
    sleep: Callable[[float], None] = time.sleep


class SqlLeases:
    """Leases in the table ``exact_leases`` of a database, for any number of processes and hosts.

    Use it as a context manager: it renews what is held meanwhile, and gives it back at the end.

        with SqlLeases(url) as leases:
            pipeline.run(exact_online(leases=leases))

    Args:
        url_or_engine: SQLAlchemy URL or engine of a Postgres, or of a SQLite on this machine.
        name: Tells connections in one table apart, as that of ``SqlTokenStorage``.
        ttl_s: Seconds for which a lease outlives its holder.
        wait_s: Seconds to wait for a division that another holds; 0 leaves it out of this run.
        holder: What others are told; default host and process.
        clocks: Times, for tests.

    Raises:
        ConfigurationError: If the database is of a kind whose locks are not known.
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
        # The end is chance: a process id comes back, and a restarted holder is another one.
        self.holder = f"{holder or f'{socket.gethostname()}:{os.getpid()}'}:{secrets.token_hex(4)}"
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
        self._refused: dict[str, tuple[str, float]] = {}  # by whom, until when by our clock
        self._stop = threading.Event()
        self._renewing: threading.Thread | None = None

    # -- as a whole ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Begin to renew."""
        if self._renewing is not None:
            raise RuntimeError("these leases are in use already; make others")
        self._stop.clear()
        self._renewing = threading.Thread(target=self._renew_until_stopped, daemon=True)
        self._renewing.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give everything back."""
        self._stop.set()
        if self._renewing is not None:
            self._renewing.join()
            self._renewing = None
        try:
            self.release()
        except LeaseStoreError:
            return  # it runs out by itself

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(self.ttl_s / RENEWALS):
            try:
                self.renew()
            except LeaseStoreError:
                continue  # what is not renewed in time is not used any more

    # -- divisions -----------------------------------------------------------------------------

    async def admit(self, division: int) -> None:
        """Let a call through that is made under a lease; asks for it once.

        Raises:
            HeldError: If another holds the division, or took it over.
            LeaseStoreError: If the database cannot be asked.
        """
        item = division_item(division)
        if not self.holds(item):
            if item not in self._refused:  # else this run leaves it out as a whole
                await asyncio.to_thread(self.take_divisions, [division])
            self._check(item)

    def take_divisions(self, divisions: Iterable[int]) -> None:
        """Take those that are free, after waiting as long as ``wait_s`` for the others."""
        self._take_or_wait([division_item(code) for code in divisions], self.wait_s)

    def free_divisions(self) -> list[int]:
        """Codes of the divisions that were leased before and that nobody holds now.

        Raises:
            LeaseStoreError: If the database cannot be asked.
        """
        with self._table.transaction() as connection:
            items = self._table.expired(connection, division_item(""))
        return sorted(int(item.rpartition(" ")[2]) for item in items)

    # -- single items --------------------------------------------------------------------------

    @contextmanager
    def held(self, item: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold an item meanwhile.

        Raises:
            HeldError: If another holds it still, after ``wait_s``.
        """
        self._lost.discard(item)
        self._take_or_wait([item], wait_s)
        self._check(item)
        try:
            yield
        finally:
            self.release([item])

    def confirm(self) -> None:
        """Make sure, by the database, that nothing that was taken is another's by now.

        Raises:
            HeldError: If something is.
        """
        self.renew()
        for item in [*self._epochs, *self._lost]:
            self._check(item)

    def holds(self, item: str) -> bool:
        """Whether an item is ours, without asking."""
        with self._guard:
            return self._steady() < self._good_until.get(item, -inf)

    def take(self, items: Sequence[str]) -> None:
        """Take those items that nobody holds; never one again that was lost to somebody."""
        wanted = sorted({i for i in items if not self.holds(i)} - self._lost)
        if not wanted:
            return
        asked_at = self._steady()
        with self._table.transaction() as connection:
            self._table.insert_missing(connection, wanted)
            found = self._table.look(connection, wanted)
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
        """Keep what is held; what another has taken over is given up."""
        with self._guard:
            epochs = dict(self._epochs)
        if not epochs:
            return
        asked_at = self._steady()
        with self._table.transaction() as connection:
            found = self._table.look(connection, sorted(epochs))
            # Also after it ran out: the epoch says that nobody had it since.
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
        """Give items back, by default all."""
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
            found = self._table.look(connection, sorted(epochs))
            mine = [row.item for row in found if row.epoch == epochs[row.item]]
            self._table.end(connection, mine)
            commit(connection)

    # -- inside --------------------------------------------------------------------------------

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
        """Whether a row may be taken; if it was ours and ran out, only if nobody had it since."""
        if row.item in self._epochs:
            return bool(row.epoch == self._epochs[row.item])
        return bool(row.left_s <= 0 or row.holder == self.holder)

    def _lose(self, item: str, holder: str, left_s: float) -> None:
        if self._epochs.pop(item, None) is not None:
            self._lost.add(item)
            self._good_until.pop(item, None)
            self._refused[item] = holder, self._steady() + left_s


def division_item(division: int | str) -> str:
    """What a division's lease is called."""
    return f"division {division}"


def leases_from_settings(settings: Settings) -> SqlLeases | None:
    """The leases that the settings ask for, ``None`` if they ask for none.

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
