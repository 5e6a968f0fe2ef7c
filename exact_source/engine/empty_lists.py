"""Decides whether an empty reply is accepted although the destination has rows of the division.

Exact returns an empty list to a user without rights (API 0.1, 6.2), so one empty reply proves nothing.
The rules, in this order:

1. The entity is in ``trust_empty``: the reply is accepted.
2. ``users/UserHasRights`` answers: the reply is accepted if the user may read the endpoint; otherwise the
   stored rows are kept.
3. That call fails: the stored rows are kept, and the time is noted. A second empty reply at least
   ``CONFIRM_S`` later is accepted, unless ``$count`` counts rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..catalogue import Feed
from ..client.call import Call
from ..errors import ContractError, StreamError
from ..odata.query import build_url
from .connection import Connection
from .cursors import Cursor
from .records import replace

CONFIRM_S = 6 * 3600.0


@dataclass(frozen=True)
class Verdict:
    """Whether an empty reply is accepted.

    Attributes:
        is_believed: Whether the reply is accepted, so that the division has no rows.
        is_refused: Whether the user may not read the endpoint.
        cursor: The cursor with the time of the first empty reply.
        why: Reason why the reply is not accepted.
    """

    is_believed: bool
    cursor: Cursor
    is_refused: bool = False
    why: str = ""


async def judge_empty(
    connection: Connection, call: Call, feed: Feed, cursor: Cursor, *, now: float
) -> Verdict:
    """Apply rules 2 and 3.

    Args:
        connection: Sends the calls.
        call: The stream's calls.
        feed: The feed that was empty.
        cursor: Cursor of the stream.
        now: Seconds since the epoch, UTC.

    Raises:
        LimitError: If no call is left.
    """
    try:
        if await connection.has_rights(call, feed.path):
            return Verdict(True, replace(cursor, empty_at=0.0))
        why = f"{call.where}: the user has no rights to {feed.path}, so its empty answer proves nothing"
        return Verdict(False, cursor, is_refused=True, why=why)
    except StreamError as error:
        unknown = error
    first = cursor.empty_at or now
    if now - first >= CONFIRM_S and await _count(connection, call, feed) in {0, None}:
        return Verdict(True, replace(cursor, empty_at=0.0))
    why = (
        f"{call.where}: the answer is empty, and whether the user may read it is unknown ({unknown}); rows "
        f"were kept. An empty answer {CONFIRM_S / 3600:.0f} hours after the first one deletes them; "
        f"--trust-empty {call.name} deletes them now"
    )
    return Verdict(False, replace(cursor, empty_at=first), why=why)


async def _count(connection: Connection, call: Call, feed: Feed) -> int | None:
    """Number of rows of an endpoint, according to ``$count``; ``None`` if the call fails."""
    text = connection.adaptations.filter_for(feed)
    query = {"$filter": text} if text else {}
    url = build_url(f"{feed.path}/$count", call.division or 0, query)
    try:
        return await connection.client.get(call, url, lambda body: _parse_count(body, call.where))
    except StreamError:
        return None


def _parse_count(body: bytes, where: str) -> int:
    text = body.decode("utf-8-sig", "replace").strip()
    if not text.isdigit():
        raise ContractError(f"{where}: $count is not a number")
    return int(text)
