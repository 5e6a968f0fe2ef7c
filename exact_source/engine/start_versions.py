"""From which row version a date begins, as each division says it; asked once where it is refused."""

from __future__ import annotations

from http import HTTPStatus

from ..catalogue import Feed
from ..client.call import Target
from ..errors import RefusedError, StreamError
from .connection import Connection
from .sync_timestamp import ask_start_version


class StartVersions:
    """Asks for all streams of a run, one of a division at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._refused: set[int] = set()  # divisions that say it of no entity

    async def of(self, target: Target, feed: Feed, start_ms: int) -> tuple[int | None, str]:
        """The version, or why there is none; the call is counted on ``target``."""
        code = target.division or 0
        async with self._connection.lock(("start version", code)):
            if code in self._refused:
                return None, "SyncTimestamp is refused in this division"
            try:
                since = await ask_start_version(self._connection.client, target, feed, start_ms)
            except StreamError as error:
                # Of all but a 400, which may be about this entity, the others would get the same.
                if isinstance(error, RefusedError) and error.status != HTTPStatus.BAD_REQUEST:
                    self._refused.add(code)
                return None, str(error)
            return since, "SyncTimestamp names no row since start_date"
