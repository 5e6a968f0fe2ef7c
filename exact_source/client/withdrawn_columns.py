"""Finds columns that Exact has withdrawn: a query that selects one is refused entirely (API 3.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import pyarrow as pa

from ..catalogue import Feed
from ..errors import RefusedError
from ..odata.drift import service_of
from ..odata.envelope import parse_envelope
from ..odata.page import PageSchema
from ..odata.query import build_url
from .call import Call
from .client import ExactClient
from .lists import read_pages
from .metadata import Services, read_services


class Asker(Protocol):
    """The part of a run's connection that is used here.

    Attributes:
        withdrawn: Path -> fields of a list that are known to be withdrawn.
    """

    withdrawn: Mapping[str, tuple[str, ...]]

    def note_withdrawn(self, path: str, fields: Iterable[str]) -> None:
        """Add to the withdrawn fields of a list."""

    @property
    def client(self) -> ExactClient:
        """The open client."""

    async def once(self, key: object, fetch: Callable[[], Awaitable[Any]]) -> Any:
        """The value of ``fetch()``, which is called once for each key."""


async def read_list(
    asker: Asker,
    call: Call,
    schema: PageSchema,
    feed: Feed,
    query: Mapping[str, str] | None = None,
    *,
    needed: Iterable[str] = (),
) -> list[pa.Table]:
    """All pages of a short list, at least one; columns that Exact has withdrawn are empty.

    Withdrawn fields are added to ``asker.withdrawn``, so that they are not selected again. The list is not
    read without its key, its division and the fields ``needed``.

    Raises:
        RefusedError: If the list cannot be read, or not with these fields.
    """
    known = asker.withdrawn.get(feed.path, ())
    try:
        pages = await read_pages(asker.client, call, _without(schema, feed, known), query)
    except RefusedError as error:
        asked = [field for field in schema.columns if field not in known]
        withdrawn = await _withdrawn_of_list(asker, call, feed, asked, error)
        if not withdrawn or {*_identifying(schema), *needed}.intersection(withdrawn):
            raise
        asker.note_withdrawn(feed.path, withdrawn)
        left = _without(schema, feed, (*known, *withdrawn))
        pages = await read_pages(asker.client, call, left, query)
    return [_completed(page, schema.arrow) for page in pages]


async def _withdrawn_of_list(
    asker: Asker, call: Call, feed: Feed, fields: Sequence[str], error: RefusedError
) -> list[str]:
    if error.status != HTTPStatus.BAD_REQUEST:
        return []
    if feed.no_division:
        served = await _fields_of_row(asker.client, call, feed, fields)
        return [field for field in fields if served and field not in served]
    return await withdrawn_fields(asker, call, feed, fields)


async def _fields_of_row(
    client: ExactClient, call: Call, feed: Feed, fields: Iterable[str]
) -> set[str]:
    """Fields of one row, for a list without metadata; ``$top=1`` is sent without ``$select`` (API 3.3)."""
    url = build_url(feed.path, 0, {"$top": "1"})
    found = await client.get(call, url, lambda body: parse_envelope(body, set(fields), call.where))
    return {field for row in found.rows for field in row}


def _identifying(schema: PageSchema) -> set[str]:
    own = {"Division"} if schema.own_division is None else {schema.own_division}
    return {*schema.key, *own}


def _without(schema: PageSchema, feed: Feed, withdrawn: Iterable[str]) -> PageSchema:
    left_out = set(withdrawn)
    fields = [field for field in schema.columns if field not in left_out]
    return schema.of_feed(feed, fields) if left_out else schema


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    names = set(table.column_names)
    if not (lacking := [field for field in schema if field.name not in names]):
        return table
    empty = [pa.nulls(table.num_rows, field.type) for field in lacking]
    return pa.Table.from_arrays(
        [*table.columns, *empty], schema=pa.schema([*table.schema, *lacking])
    )


async def withdrawn_fields(
    asker: Asker, call: Call, feed: Feed, fields: Iterable[str]
) -> list[str]:
    """Those of ``fields`` that an endpoint no longer has, according to ``$metadata`` of its service.

    ``$metadata`` is requested once per run and division, even if that fails; the call is counted on
    ``call``.

    Raises:
        LimitError: If the day's calls are used up.
    """
    service, division = service_of(feed.path), call.division or 0

    async def fetch() -> Services:
        answer = await read_services(asker.client, division, [service])
        call.count(answer.calls)
        return answer

    services: Services = await asker.once(("metadata", division, service), fetch)
    found = services.found.get(service, {}).get(feed.path.rpartition("/")[2])
    if found is None:
        return []  # unknown
    served = {*found.columns, *found.unknown_types, *found.navigation}
    return [field for field in fields if field not in served]
