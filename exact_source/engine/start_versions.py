"""Finds the first row version of a start date with ``SyncTimestamp`` (API 4.3)."""

from __future__ import annotations

from http import HTTPStatus

from ..catalogue import Feed, load_catalogue
from ..client.call import Call
from ..client.client import ExactClient
from ..errors import RefusedError, StreamError
from ..odata.page import PageSchema, max_of, parse_page
from ..odata.query import build_url, format_datetime, format_literal
from .connection import Connection
from .cursors import TIMESTAMP_OVERLAP


class StartVersions:
    """Calls ``SyncTimestamp`` for all streams of a run, one stream of a division at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._refused: set[int] = set()  # divisions without an answer for any entity

    async def of(self, call: Call, feed: Feed, start_ms: int) -> tuple[int | None, str]:
        """The version, or the reason why there is none; the call is counted on ``call``."""
        code = call.division or 0
        async with self._connection.lock(("start version", code)):
            if code in self._refused:
                return None, "SyncTimestamp is refused in this division"
            try:
                since = await ask_start_version(self._connection.client, call, feed, start_ms)
            except StreamError as error:
                # Other entities would be refused too, except after a 400, which may concern only this one.
                if isinstance(error, RefusedError) and error.status != HTTPStatus.BAD_REQUEST:
                    self._refused.add(code)
                return None, str(error)
            return since, "SyncTimestamp names no row since start_date"


async def ask_start_version(
    client: ExactClient, call: Call, feed: Feed, start_ms: int
) -> int | None:
    """The ``Timestamp`` above which a read from a start date begins; one call, counted on ``call``.

    Exact returns the version of the first row changed on or after the date. Versions follow the order of
    writes, not of commits, so the overlap is subtracted as for a cursor.

    Args:
        client: The open client.
        call: Calls of the stream.
        feed: A sync feed that ``SyncTimestamp`` knows.
        start_ms: The start date in wall-clock milliseconds, like ``Modified``.

    Returns:
        ``None`` if Exact returns no row; its reply for that case is not known (API 10).

    Raises:
        StreamError: If the call is refused or not answered.
        LimitError: If the daily calls are used up.
    """
    entity = load_catalogue().entities["sync_timestamp"]
    asked = entity.feeds["function"]
    schema, where = PageSchema(entity, asked), call.where
    query = {
        "modified": format_datetime(start_ms),
        "endPoint": format_literal("s", feed.path.rpartition("/")[2]),
        "$select": ",".join(schema.columns),
    }
    division = call.division or 0
    call.aim_at(asked.path)
    page = await client.get(
        call,
        build_url(asked.path, division, query),
        lambda body: parse_page(body, schema, division=division, where=where),
    )
    version = max_of(page.table.slice(0, 1), entity.columns["TimeStampAsBigInt"].name)
    return None if version is None else max(1, version - TIMESTAMP_OVERLAP)
