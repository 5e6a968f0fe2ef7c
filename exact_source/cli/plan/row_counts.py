"""Counts the rows of a first load, with one cheap call per stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ...catalogue import Entity, Feed
from ...catalogue.feeds import Plan
from ...client.adaptations import Adaptations
from ...client.call import Call
from ...client.client import ExactClient
from ...engine.start_versions import ask_start_version
from ...errors import ContractError, LimitError, StreamError
from ...odata.envelope import parse_envelope
from ...odata.query import build_filter, build_url
from ..side_by_side import for_each

AS_ASSUMED = Adaptations()


@dataclass(frozen=True)
class Question:
    """One stream whose rows are to be counted.

    Attributes:
        division: Code.
        entity: Entity of the rows.
        plan: Feeds that will be read.
        since: Only rows with this ``Modified`` or later, in wall-clock milliseconds; ``None`` for all.
        asks_version: Whether the first read will call ``SyncTimestamp`` for ``since``.
        version: Start of a read, according to ``SyncTimestamp``.
    """

    division: int
    entity: Entity
    plan: Plan
    since: int | None = None
    asks_version: bool = False
    version: int | None = None


@dataclass
class Counts:
    """The results of the counts.

    Attributes:
        rows: (division, entity) -> number of rows.
        versions: (division, entity) -> row version at which the stream begins; ``None`` for the beginning.
        refused: (division, entity) -> reason why the stream cannot be counted.
        unasked: Streams that were not counted because the daily calls were used up.
        calls: Calls that were sent.
        limit: Error that stopped the counts; ``None`` if there was none.
    """

    rows: dict[tuple[int, str], int] = field(default_factory=dict)
    versions: dict[tuple[int, str], int | None] = field(default_factory=dict)
    refused: dict[tuple[int, str], str] = field(default_factory=dict)
    unasked: set[tuple[int, str]] = field(default_factory=set)
    calls: int = 0
    limit: LimitError | None = None


async def count_rows(
    client: ExactClient,
    questions: Sequence[Question],
    adaptations: Adaptations = AS_ASSUMED,
    on_answer: Callable[[], None] = lambda: None,
) -> Counts:
    """Count all streams: divisions concurrently, with one call at a time in each.

    Raises:
        AuthenticationError: If a person must log in again.
    """
    counts = Counts()
    by_division: dict[int, list[Question]] = {}
    for question in questions:
        by_division.setdefault(question.division, []).append(question)

    async def ask(mine: Sequence[Question]) -> None:
        for question in mine:
            await _ask(client, question, counts, adaptations)
            on_answer()

    await for_each(by_division.values(), ask)
    return counts


async def _ask(
    client: ExactClient, question: Question, counts: Counts, adaptations: Adaptations
) -> None:
    key = question.division, question.entity.name
    call = Call(question.division, "", question.entity.name)
    try:
        if question.asks_version:
            question = await _with_version(client, call, question)
            counts.versions[key] = question.version
        feed = count_feed(question)
        call.aim_at(feed.path)
        url = build_url(feed.path, question.division, count_query(question, feed, adaptations))
        counts.rows[key] = await client.get(call, url, partial(parse_count, where=call.where))
    except LimitError as error:
        counts.limit = error
        counts.unasked.add(key)
    except StreamError as error:
        counts.refused[key] = str(error)
    finally:
        counts.calls += call.calls if key not in counts.unasked else 0


async def _with_version(client: ExactClient, call: Call, question: Question) -> Question:
    """The question with the version at which its read begins, if Exact returns one."""
    feed = question.plan.full
    try:
        version = await ask_start_version(client, call, feed, question.since or 0)
    except StreamError:
        return question  # the read falls back to all rows, too
    return replace(question, version=version)


def count_feed(question: Question) -> Feed:
    """The feed for the count: the regular one, where ``$inlinecount`` is certain to work.

    Sync feeds ignore ``$top`` (API 3.2) and would return a page of 1,000 rows, but only they can count the
    rows above a version.
    """
    full = question.plan.full
    return full if question.version is not None else question.entity.feeds.get("regular", full)


def count_query(
    question: Question, feed: Feed, adaptations: Adaptations = AS_ASSUMED
) -> Mapping[str, str]:
    """A query for one row and the number of all rows."""
    select = next((f for f in (*question.entity.key, *feed.columns) if f in feed.columns), "")
    query = {"$select": select, "$top": "1", "$inlinecount": "allpages"}
    if question.since is not None and question.plan.column == "Modified" == feed.cursor:
        query["$filter"] = build_filter("Modified", question.since)
    elif feed.kind == "sync":
        query["$filter"] = build_filter("Timestamp", question.version or 1)
    elif text := adaptations.filter_for(feed):
        query["$filter"] = text
    return query


def parse_count(body: bytes, where: str) -> int:
    """``__count`` of an answer.

    Raises:
        ContractError: If it has none.
    """
    count = parse_envelope(body, (), where).count
    if count is None:
        raise ContractError(f"{where}: the reply to $inlinecount contains no count")
    return count


__all__ = ["Counts", "Question", "count_rows"]
