"""The first rows of each table: the company's bookkeeping, or a few generic rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from random import Random

from .catalogue import Catalogue, Row
from .company import awkward
from .company.books import Books
from .company.company import ENTITIES, new_company
from .divisions import division_rows
from .generic import RESERVED_VERSIONS, GenericRows
from .store import STRIDES

FIRST_VERSION = 11_386_558_735  # a row version of the live service (API 0.1 point 6)
REFERRED_TO = ("accounts", "contacts", "gl_accounts", "items", "projects", "warehouses")
ROWS_AT_LEAST, ROWS_PER_INVOICE = 10_000, 40  # more than a company has
NOT_SEEDED = frozenset({"deleted", "webhook_subscriptions"})


def seeded(*parts: object) -> Random:
    """A random generator whose seed depends only on ``parts``."""
    return Random(":".join(map(str, parts)))  # noqa: S311 - made-up data, not secrets


class Seeder:
    """Generates the first rows of every table; the same seed gives the same rows.

    Args:
        before: Wall-clock time of the sandbox when it started; all rows are older.
        first_version: The lowest row version that is used.
        is_awkward: Whether the divisions are the fixed companies with difficult books.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        divisions: list[int],
        invoices: int,
        seed: int,
        before: datetime,
        first_version: int = FIRST_VERSION,
        *,
        is_awkward: bool = False,
    ) -> None:
        self._is_awkward = is_awkward
        self._catalogue = catalogue
        self._divisions = divisions
        self._invoices = invoices
        self._seed = seed
        self._before = before
        self._first_version = first_version
        self._companies: dict[int, Books] = {}
        self._known: dict[int, dict[str, list[Row]]] = {}

    @property
    def next_version(self) -> int:
        """The first row version above those of all seeded rows."""
        return self._first_version + len(self._divisions) * self._span

    def __call__(self, division: int, entity: str) -> Iterable[Row]:
        """The first rows of the table of an entity."""
        if entity == "divisions":
            random = seeded(self._seed, entity)
            rows = division_rows(self._divisions, random, self._before, self._first_version)
            if self._is_awkward:
                rows = [row | awkward.division_columns(n) for n, row in enumerate(rows)]
            return rows
        if entity in NOT_SEEDED:
            return []
        if entity in (awkward.ENTITIES if self._is_awkward else ENTITIES):
            # The rows are generated once for all entities of a company; from here on the store keeps them.
            return self._company(division).tables.pop(entity, [])
        return self._generic(division, entity)

    def _company(self, division: int) -> Books:
        if division not in self._companies:
            random = seeded(self._seed, division, "company")
            first = self._first_of(division) + RESERVED_VERSIONS * len(self._catalogue.entities)
            books = self._new_company(division, random, first)
            self._known[division] = {entity: list(books.tables[entity]) for entity in REFERRED_TO}
            self._companies[division] = books
        return self._companies[division]

    def _new_company(self, division: int, random: Random, first_version: int) -> Books:
        if self._is_awkward:
            name = awkward.COMPANIES[self._divisions.index(division)]
            return awkward.new_awkward_company(name, random, self._before, first_version)
        return new_company(random, self._before, self._invoices, first_version)

    def _first_of(self, division: int) -> int:
        return self._first_version + self._divisions.index(division) * self._span

    @property
    def _span(self) -> int:
        """Number of row versions reserved for a division."""
        generic = RESERVED_VERSIONS * len(self._catalogue.entities)
        return generic + (ROWS_AT_LEAST + ROWS_PER_INVOICE * self._invoices) * max(STRIDES)

    def _generic(self, division: int, entity: str) -> list[Row]:
        index = list(self._catalogue.entities).index(entity)
        self._company(division)
        return GenericRows(
            self._catalogue.entities[entity],
            seeded(self._seed, division, entity),
            self._known[division],
            self._before,
            self._first_of(division) + index * RESERVED_VERSIONS,
            division,
        ).rows()
