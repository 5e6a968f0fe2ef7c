"""The rows of a collection that belongs to other rows, page by page as WCF serves them (API 12.7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data.catalogue import Endpoint, Key, Row
from ..data.reading import table_of
from ..data.store import Table
from ..state import State
from .literals import format_literal
from .navigation import Collection


@dataclass(frozen=True)
class NestedPage:
    """The first page of one row's collection, and the token of the next page."""

    rows: list[Row]
    skiptoken: str | None = None


@dataclass(frozen=True)
class Expansion:
    """One expanded collection of all rows of a page.

    Attributes:
        endpoint: Endpoint that serves its rows; ``None`` if the sandbox has no rows for it.
        columns: Type code of each served column.
        select: Requested columns; empty for all.
        pages: Key of the owning row -> page.
    """

    name: str
    endpoint: Endpoint | None
    columns: Mapping[str, str]
    select: tuple[str, ...]
    pages: dict[Any, NestedPage]


def nested_tables(
    state: State, division: int, endpoint: Endpoint, foreign_key: str, owners: Iterable[Any]
) -> dict[Any, Table]:
    """The rows of each of ``owners``, with the values that stored rows omit."""
    defaults = state.defaults(division)
    tables = {owner: Table(endpoint.key) for owner in owners}
    for row in table_of(state, division, endpoint).rows.values():
        if (owner := row.get(foreign_key)) in tables:
            tables[owner].put({**defaults, **row})
    return tables


def expand(
    state: State,
    division: int,
    collection: Collection,
    select: tuple[str, ...],
    owners: Iterable[Any],
) -> Expansion:
    """The first page of a collection for each owner."""
    endpoint = state.catalogue.feed(collection.entity, "regular")
    if endpoint is None:
        empty = {owner: NestedPage([]) for owner in owners}
        return Expansion(collection.name, None, {}, select, empty)
    size = state.settings.page_size
    tables = nested_tables(state, division, endpoint, collection.foreign_key, owners)
    pages = {owner: _first_page(endpoint, table, size) for owner, table in tables.items()}
    columns = {c: t for c, t in endpoint.columns.items() if not select or c in select}
    return Expansion(collection.name, endpoint, columns, select, pages)


def _first_page(endpoint: Endpoint, table: Table, size: int) -> NestedPage:
    keys, rows = table.ordered("key")
    if len(rows) < size:
        return NestedPage(rows)
    return NestedPage(rows[:size], _token(endpoint, table.key, keys[size - 1]))


def _token(endpoint: Endpoint, columns: tuple[str, ...], key: Key) -> str:
    parts = zip(key, columns, strict=True)
    return ",".join(format_literal(v, endpoint.columns.get(c, "s")) for v, c in parts)
