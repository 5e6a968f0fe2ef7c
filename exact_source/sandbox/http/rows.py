"""The rows that a call requests: a page, one row, the collection of one row, or a count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ..data.catalogue import Endpoint, Row
from ..data.reading import row_tests, table_of
from ..deviations.answers import changed_answer, hides_row
from ..deviations.queries import changed_options
from ..odata.expansion import expand, nested_tables
from ..odata.literals import parse_key, typed
from ..odata.navigation import collection_of, collections_of, references_of
from ..odata.next_link import next_query
from ..odata.paging import read_page, sort_rows, top_on_page
from ..odata.payload import Answer, row_columns
from ..odata.query import Demands, Query, parse_query, parse_where
from ..state import State
from .errors import NOT_FOUND, RefusedError

# Functions whose lists are paged (API 12.10); sources disagree about the others (API 10.16).
PAGED_FUNCTIONS = frozenset({"item_extra_field"})
# A `$top` within a page gives a bare list, but not here: `SalesInvoices?$top=60` had `results`, while
# Contacts, Items, Payments, SalesOrders and VATCodes were bare (API 12.4).
NEVER_BARE = frozenset({"salesinvoice/SalesInvoices"})


class Rows:
    """The rows of one endpoint in one division for one call.

    Args:
        options: Decoded query options.
        urls: Root of all URLs, such as ``http://host/api/v1/123456``, and the URL of the call without
            its query.
        hidden: Whether the user lacks the right and therefore gets an empty list.
    """

    def __init__(
        self,
        state: State,
        division: int,
        endpoint: Endpoint,
        options: Mapping[str, str],
        urls: tuple[str, str],
        hidden: bool,
    ) -> None:
        self.division = division
        self.endpoint = endpoint
        active = state.settings.deviations
        if active:
            options = changed_options(active, endpoint, options, state.utc_offset)
        self.options = options
        self._active = active
        self._state = state
        self._root, self._url = urls
        self._hidden = hidden

    def read(self, key: str | None, tail: str | None) -> Answer:
        """A page; with a key, one row; with a tail after the key, one of the row's collections.

        Raises:
            RefusedError: 404 if there is no such row or collection, 400 for a wrong query.
        """
        if key is None:
            return self._page()
        row = self._row(key)
        return self._by_key(row) if tail is None else self._collection(row, tail)

    def count(self) -> int:
        """The number of rows."""
        where = parse_where(self.endpoint, self.options, self._defaults, self._demands)
        rows = table_of(self._state, self.division, self.endpoint).rows.values()
        found = sum(1 for row in rows if where is None or where.matches(row))
        return 0 if self._hidden else found

    def query(self) -> Query:
        """The query options, without required ones."""
        return parse_query(self.endpoint, self.options, self._defaults)

    def single(self, row: Row, query: Query | None = None) -> Answer:
        """The reply with one row."""
        query = query or Query()
        rows = [{**self._defaults, **row}]
        answer = Answer(
            self.endpoint, rows, _columns(self.endpoint, query), self._root, single=True
        )
        return self._with_collections(answer, query)

    @property
    def _defaults(self) -> Mapping[str, Any]:
        return self._state.defaults(self.division)

    @property
    def _demands(self) -> Demands:
        settings, active = self._state.settings, self._active
        return Demands(
            "everywhere" if "select-everywhere" in active else settings.require_select,
            "everywhere" if "filter-everywhere" in active else settings.require_filter,
        )

    def _page(self) -> Answer:
        endpoint, settings, defaults = self.endpoint, self._state.settings, self._defaults
        query = parse_query(endpoint, self.options, defaults, self._demands)
        table = table_of(self._state, self.division, endpoint, query.parameters)
        whole = self._is_whole
        size = len(table.rows) + 1 if whole else settings.page(endpoint)
        query = replace(query, top=top_on_page(endpoint, query.top, size))
        order = settings.sync_order if endpoint.kind == "sync" else "key"
        if "sync-by-key" in self._active:
            order = "key"
        tests = row_tests(endpoint, query.parameters, self._state.user)
        tests = (_match_none,) if self._hidden else tests
        if test := hides_row(self._active, endpoint):
            tests = (*tests, test)
        source, overlaps = sort_rows(table, order, query, defaults), self._overlaps
        page = read_page(endpoint, query, source, size, tests, overlaps=overlaps)
        answer = Answer(
            endpoint=endpoint,
            rows=[{**defaults, **row} for row in page.rows],
            columns=_columns(endpoint, query),
            root=self._root,
            next_url=self._next_url(endpoint, query, page.skiptoken, size),
            count=page.total,
            bare=whole or _is_bare(endpoint, query, size),
        )
        answer = changed_answer(self._active, answer) if self._active else answer
        return self._with_collections(answer, query)

    @property
    def _overlaps(self) -> bool:
        return "overlapping-pages" in self._active

    @property
    def _is_whole(self) -> bool:
        """Whether a function returns all its rows at once."""
        is_paged = self._state.settings.paged_reads or "paged-reads" in self._active
        is_paged = is_paged or self.endpoint.entity in PAGED_FUNCTIONS
        return self.endpoint.kind == "function" and not is_paged

    def _by_key(self, row: Row) -> Answer:
        return self.single(row, self.query())

    def _row(self, key: str) -> Row:
        """The row with the key in parentheses; in sync feeds, the key is the row version."""
        endpoint, columns = self.endpoint, row_columns(self.endpoint)
        type_codes = [endpoint.columns[column] for column in columns]
        literals = parse_key(key, columns)
        wanted = tuple(typed(value, t) for value, t in zip(literals, type_codes, strict=True))
        table = table_of(self._state, self.division, endpoint)
        if columns == table.key:
            row = table.rows.get(wanted)
        else:
            row = next((r for r in table.rows.values() if (r["Timestamp"],) == wanted), None)
        if row is None or self._hidden:
            raise RefusedError(404, NOT_FOUND)
        return row

    def _with_collections(self, answer: Answer, query: Query) -> Answer:
        """The reply with its expanded collections, and links to the others."""
        endpoint = answer.endpoint
        others = tuple(c.name for c in collections_of(endpoint) if c.name not in query.expand)
        owners = [row.get(endpoint.key[0]) for row in answer.rows] if query.expand else []
        expanded = [
            expand(self._state, self.division, collection, query.nested.get(name, ()), owners)
            for name in query.expand
            if (collection := collection_of(endpoint, name))
        ]
        return replace(
            answer,
            expanded=tuple(expanded),
            deferred=others if query.deferred is None else query.deferred,
            references=references_of(endpoint) if query.select is None else (),
        )

    def _collection(self, row: Row, name: str) -> Answer:
        """The rows behind a ``__deferred`` link, which are paged like any others (API 12.7)."""
        collection = collection_of(self.endpoint, name)
        if collection is None:
            raise RefusedError(404, NOT_FOUND)
        endpoint = self._state.catalogue.feed(collection.entity, "regular")
        if endpoint is None:
            return Answer(self.endpoint, [], {}, self._root)
        owner, size = row[self.endpoint.key[0]], self._state.settings.page_size
        tables = nested_tables(
            self._state, self.division, endpoint, collection.foreign_key, [owner]
        )
        query = parse_query(endpoint, self.options, self._defaults)
        source = sort_rows(tables[owner], "key", query, self._defaults)
        page = read_page(endpoint, query, source, size)
        answer = Answer(
            endpoint=endpoint,
            rows=page.rows,
            columns=_columns(endpoint, query),
            root=self._root,
            next_url=self._next_url(endpoint, query, page.skiptoken, size),
            count=page.total,
            bare=_is_bare(endpoint, query, size),
        )
        return self._with_collections(answer, query)

    def _next_url(
        self, endpoint: Endpoint, query: Query, skiptoken: str | None, size: int
    ) -> str | None:
        if skiptoken is None:
            return None
        top = None if query.top is None else query.top - size
        asked = next_query(self.options, endpoint.parameters, top, skiptoken)
        return f"{quote(self._url, safe=':/$()=,' + chr(39))}?{asked}"


def _columns(endpoint: Endpoint, query: Query) -> Mapping[str, str]:
    if query.select is None:
        return endpoint.columns
    return {column: endpoint.columns[column] for column in query.select}


def _is_bare(endpoint: Endpoint, query: Query, size: int) -> bool:
    """Whether ``d`` is the list of rows itself: for a ``$top`` within a page, with OData version 1."""
    if query.top is None or query.top > size or endpoint.path in NEVER_BARE:
        return False
    return query.skiptoken is None and not query.inlinecount and not query.expand


def _match_none(_: Row) -> bool:
    return False
