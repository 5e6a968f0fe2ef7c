"""Reads short lists in full: divisions, tombstones, the user."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from ..errors import ContractError
from ..odata.page import PageSchema, parse_page
from ..odata.query import build_url, check_next
from .call import Call
from .client import ExactClient


async def read_all(
    client: ExactClient,
    call: Call,
    schema: PageSchema,
    query: Mapping[str, str] | None = None,
) -> pa.Table:
    """All pages of one collection as one table; see ``read_pages``."""
    return pa.concat_tables(
        await read_pages(client, call, schema, query), promote_options="default"
    )


async def read_pages(
    client: ExactClient,
    call: Call,
    schema: PageSchema,
    query: Mapping[str, str] | None = None,
) -> list[pa.Table]:
    """All pages of one collection, at least one.

    Raises:
        ContractError: If the next link was followed before or leaves the endpoint.
    """
    division = call.division or 0
    url: str | None = build_url(
        call.path, division, {"$select": ",".join(schema.columns), **(query or {})}
    )
    tables, seen = [], set[str]()
    while url is not None:
        if url in seen:
            raise ContractError(f"{call.where}: the next link was followed before")
        seen.add(url)
        page = await client.get(
            call,
            url,
            lambda body: parse_page(body, schema, division=division, where=call.where),
        )
        call.forbid_pause()
        tables.append(page.table)
        url = page.next_url and check_next(page.next_url, client.base_url, call.path, division)
    return tables
