"""The rows of a company while they are generated, and the choice of their times and guids."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from random import Random
from typing import Any

from ..catalogue import Row
from ..store import STRIDES, guid
from .chart import GLAccount

HISTORY_DAYS = 730
FIRST_HOUR, OPEN_HOURS = 8, 10
TICKS_PER_S = 300
CHANCE_OF_CHANGE = 0.25
CHANGED_WITHIN_DAYS = 20


class Books:
    """Everything of one company, by entity.

    Args:
        random: The only source of randomness.
        before: Wall-clock time before which everything happened.
        invoices: Number of sales invoices; the number of other rows is proportional.
        opened: The first day; default: two years before.
    """

    def __init__(
        self, random: Random, before: datetime, invoices: int, opened: datetime | None = None
    ) -> None:
        self.random = random
        self.before = before
        self.invoices = invoices
        self.tables: defaultdict[str, list[Row]] = defaultdict(list)
        self.gl: dict[str, tuple[str, GLAccount]] = {}  # by code: guid and account
        today = before.replace(hour=0, minute=0, second=0, microsecond=0)
        self.opened = opened or today - timedelta(days=HISTORY_DAYS)
        self._entries = 0

    def guid(self) -> str:
        """A new key."""
        return guid(self.random)

    def day(self, index: int, count: int) -> datetime:
        """The date of the ``index``-th of ``count`` events that are spread evenly."""
        return self.opened + timedelta(days=(HISTORY_DAYS - 3) * index // max(count, 1) + 1)

    def moment(self, day: datetime) -> datetime:
        """A time within office hours of a day, in SQL Server's steps."""
        ticks = int((FIRST_HOUR + OPEN_HOURS * self.random.random()) * 3600 * TICKS_PER_S)
        return day + timedelta(milliseconds=round(ticks * 1000 / TICKS_PER_S))

    def add(self, entity: str, row: Row, day: datetime) -> Row:
        """Add a row that was written on a day; some rows were changed later."""
        if "Created" not in row:
            row["Created"] = row["Modified"] = self.moment(day)
        if self.random.random() < CHANCE_OF_CHANGE:
            later = self.moment(day + timedelta(days=self.random.randint(1, CHANGED_WITHIN_DAYS)))
            row["Modified"] = max(row["Modified"], min(later, self.last_moment))
        self.tables[entity].append(row)
        return row

    @property
    def last_moment(self) -> datetime:
        """The latest time at which any row can have changed."""
        return self.before - timedelta(hours=1)

    def next_entry(self, prefix: int) -> int:
        """The number of a new journal entry."""
        self._entries += 1
        return prefix * 1_000_000 + self._entries

    def gl_columns(self, code: str) -> dict[str, Any]:
        """The columns with which a row refers to a general ledger account."""
        key, account = self.gl[code]
        return {
            "GLAccount": key,
            "GLAccountCode": code,
            "GLAccountDescription": account.description,
        }

    def stamp(self, first_version: int) -> int:
        """Give all rows their row versions in the order in which they were last written.

        Returns:
            The highest version.
        """
        rows = [row for table in self.tables.values() for row in table]
        version, chance = first_version, self.random.random
        for row in sorted(rows, key=_modified):
            version += STRIDES[int(chance() * len(STRIDES))]
            row["Timestamp"] = version
        return version


def euros(cents: int) -> float:
    """An amount in Exact's form."""
    return cents / 100


def _modified(row: Row) -> Any:
    return row["Modified"]
