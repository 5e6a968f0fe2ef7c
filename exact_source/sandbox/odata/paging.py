"""Server-side paging: the rows of a page, and the ``$skiptoken`` of the next one (API 3.2).

As in the live service, a token contains only the key after which to continue. A row that changes between
two pages may therefore be missed or appear twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import total_ordering
from typing import Any, NamedTuple

from ..data.catalogue import Endpoint, Key, Row
from ..data.store import Order, Table, position_after
from ..http.errors import bad_request
from .literals import format_literal, parse_literals, typed
from .query import Query


class Page(NamedTuple):
    """The rows of a reply, the token of the next page, and the total number of rows."""

    rows: list[Row]
    skiptoken: str | None
    total: int | None


class Sorted(NamedTuple):
    """Rows in the order of the pages, with the sort key of each and the columns of that key."""

    keys: list[Key]
    rows: list[Row]
    columns: tuple[str, ...]
    key_of: Callable[[Row], Key]


def read_page(
    endpoint: Endpoint,
    query: Query,
    source: Sorted,
    size: int,
    tests: tuple[Callable[[Row], bool], ...] = (),
    *,
    overlaps: bool = False,
) -> Page:
    """One page of at most ``size`` rows; if pages overlap, with the preceding row too.

    A full page is followed by another one, possibly empty, unless ``$top`` ends within the page.
    """
    if query.filter is not None:
        tests = (*tests, query.filter.matches)
    start = 0 if query.skiptoken is None else _position(endpoint, query.skiptoken, source)
    start = max(0, start - overlaps)
    limit = size if query.top is None else min(size, query.top)
    rows = _matching_rows(
        source.rows, start, query.skip if query.skiptoken is None else 0, limit, tests
    )
    token = None
    if rows and len(rows) == size and (query.top is None or query.top > size):
        token = ",".join(
            format_literal(_plain(value), type_code)
            for value, type_code in zip(
                source.key_of(rows[-1]), _type_codes(endpoint, source), strict=True
            )
        )
    total = None
    if query.inlinecount:
        total = sum(1 for row in source.rows if all(test(row) for test in tests))
    return Page(rows, token, total)


def top_on_page(endpoint: Endpoint, top: int | None, size: int) -> int | None:
    """The effective ``$top``: a sync feed obeys it up to the page size, and ignores a larger one.

    ``$top=2000`` returned everything there (picqer#587), ``$top=0`` returned nothing (API 12.4).
    """
    return None if endpoint.kind == "sync" and top is not None and top > size else top


def sort_rows(table: Table, order: Order, query: Query, defaults: Mapping[str, Any]) -> Sorted:
    """The rows of a table in the order of the query or the endpoint."""
    if not query.orderby:
        keys, rows = table.ordered(order)
        if order == "key":
            return Sorted(keys, rows, table.key, table.key_of)
        return Sorted(keys, rows, ("Timestamp",), lambda row: (row["Timestamp"],))

    def key_of(row: Row) -> Key:
        values = [(row.get(name, defaults.get(name)), down) for name, down in query.orderby]
        return (*(Sortable(value, down) for value, down in values), *table.key_of(row))

    rows = sorted(table.rows.values(), key=key_of)
    columns = (*(name for name, _ in query.orderby), *table.key)
    return Sorted([key_of(row) for row in rows], rows, columns, key_of)


@total_ordering
class Sortable:
    """A value of ``$orderby``: nulls come first, or last in descending order."""

    def __init__(self, value: Any, downward: bool) -> None:
        self.value = value
        self._rank = (value is not None, value)
        self._downward = downward

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sortable) and self._rank == other._rank

    def __hash__(self) -> int:
        return hash(self._rank)

    def __lt__(self, other: Sortable) -> bool:
        low, high = (other, self) if self._downward else (self, other)
        if None in {low.value, high.value}:
            return low._rank[0] < high._rank[0]
        return bool(low._rank < high._rank)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Sortable) else value


def _type_codes(endpoint: Endpoint, source: Sorted) -> Iterator[str]:
    type_codes: Mapping[str, str] = {"Timestamp": "l", "__row": "l", **endpoint.columns}
    yield from (type_codes[column] for column in source.columns)


def _position(endpoint: Endpoint, token: str, source: Sorted) -> int:
    literals = parse_literals(token)
    type_codes = list(_type_codes(endpoint, source))
    if len(literals) != len(type_codes):
        raise bad_request()
    values = [
        typed(literal, type_code) for literal, type_code in zip(literals, type_codes, strict=True)
    ]
    if source.keys and len(values) == len(source.keys[0]):
        sample = source.keys[0]
        values = [
            Sortable(value, part._downward) if isinstance(part, Sortable) else value  # noqa: SLF001
            for value, part in zip(values, sample, strict=True)
        ]
    return position_after(source.keys, tuple(values))


def _matching_rows(
    rows: list[Row], start: int, skip: int, limit: int, tests: tuple[Callable[[Row], bool], ...]
) -> list[Row]:
    found: list[Row] = []
    for index in range(start, len(rows)):
        if len(found) == limit:
            break
        row = rows[index]
        if all(test(row) for test in tests):
            if skip:
                skip -= 1
            else:
                found.append(row)
    return found
