"""Decides whether an empty answer is believed although the destination has rows of the division.

Exact answers a user without rights with an empty list (API 0.1, 6.2), so one empty answer proves
nothing. The rule, in this order:

1. The user named the entity in ``trust_empty``: believed.
2. ``users/UserHasRights`` says that the user may read the endpoint: believed; may not: rows are kept.
3. That call failed: rows are kept, and the time is noted. A second empty answer at least
   ``CONFIRM_S`` later is believed, unless ``$count`` counts rows.
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
    """Whether an empty answer is believed.

    Attributes:
        is_believed: Whether the division has no rows.
        is_refused: Whether the user may not read the endpoint.
        cursor: The cursor with the time of the first empty answer.
        why: Reason why it is not believed.
    """

    is_believed: bool
    cursor: Cursor
    is_refused: bool = False
    why: str = ""


async def judge_empty(
    connection: Connection, call: Call, feed: Feed, cursor: Cursor, *, now: float
) -> Verdict:
    """Apply points 2 and 3 of the rule.

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
    """Number of rows of an endpoint, according to ``$count``; ``None`` without an answer."""
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
