"""From a date to the first row version of it: ``SyncTimestamp`` (API 4.3)."""

from __future__ import annotations

import pyarrow.compute as pc

from .client import ExactClient, Target
from .entities import load_catalogue
from .odata import build_url, format_datetime
from .pages import PageSchema, parse_page

SYNC_TIMESTAMP = "read/sync/Sync/SyncTimestamp"


async def first_timestamp(
    client: ExactClient, target: Target, sync_path: str, start_ms: int
) -> int | None:
    """Lowest ``Timestamp`` of the rows modified since a date; ``None`` if Exact names none.

    Both parameters are plain query parameters, not ``$filter`` (API 4.3).
    """
    entity = load_catalogue().entities["sync_timestamp"]
    schema = PageSchema(entity, entity.feeds["function"])
    query = {
        "modified": format_datetime(start_ms),
        "endPoint": f"'{sync_path.rsplit('/', 1)[-1]}'",
        "$select": ",".join(schema.columns),
    }
    division = target.division or 0
    page = await client.get(
        target,
        build_url(target.path, division, query),
        lambda body: parse_page(body, schema, division=division, where=target.where),
    )
    return pc.min(page.table.column("time_stamp_as_big_int")).as_py()  # type: ignore[no-any-return]
