"""Counts and rows of one company's books from Exact Online; ``loaded_books`` has the loaded ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..catalogue import Entity, load_catalogue
from ..catalogue.feeds import plan_feeds
from ..client.adaptations import Adaptations
from ..client.call import Call
from ..client.client import ExactClient
from ..client.lists import read_all
from ..errors import ContractError, StreamError
from ..odata.envelope import parse_envelope
from ..odata.page import PageSchema
from ..odata.query import build_filter, build_url


class ExactBooks:
    """Reads the lists of one company and counts the calls.

    Args:
        client: The open client.
        division: Code of the company.
        adaptations: Differences of the site from the assumptions, according to ``verify``.
        on_refusal: Called with an entity and the reason if Exact refuses its list.

    Attributes:
        calls: Number of calls that were sent.
    """

    def __init__(
        self,
        client: ExactClient,
        division: int,
        adaptations: Adaptations,
        *,
        on_refusal: Callable[[str, str], None],
    ) -> None:
        self.calls = 0
        self._client = client
        self._division = division
        self._adaptations = adaptations
        self._on_refusal = on_refusal

    async def rows(
        self, entity: str, kind: str, fields: Sequence[str], where: str
    ) -> list[dict[str, Any]] | None:
        """All rows of a feed that pass the filter ``where``; ``None`` if Exact refuses."""
        known = load_catalogue().entities[entity]
        feed = known.feeds[kind]  # type: ignore[index]
        call = Call(self._division, feed.path, entity)
        schema = PageSchema(known, feed, fields)
        try:
            table = await read_all(self._client, call, schema, {"$filter": where})
        except StreamError as error:
            self._on_refusal(entity, f"Exact Online does not give them ({error.code})")
            return None
        finally:
            self.calls += call.calls
        return list(table.to_pylist())

    async def count(self, entity: Entity, where: str | None = None) -> int | None:
        """Exact's row count of an entity; ``None`` if Exact refuses."""
        full = plan_feeds(entity).full
        feed = entity.feeds.get("regular", full)
        select = next((f for f in (*entity.key, *feed.columns) if f in feed.columns), "")
        query = {"$select": select, "$top": "1", "$inlinecount": "allpages"}
        text = (
            build_filter("Timestamp", 1)
            if feed.kind == "sync"
            else self._adaptations.filter_for(feed)
        )
        if where or text:
            query["$filter"] = where or text or ""
        call = Call(self._division, feed.path, entity.name)
        url = build_url(feed.path, self._division, query)
        try:
            return await self._client.get(call, url, partial(_parse_count, where=call.where))
        except StreamError as error:
            self._on_refusal(entity.name, f"Exact Online does not count them ({error.code})")
            return None
        finally:
            self.calls += call.calls


def _parse_count(body: bytes, where: str) -> int:
    count = parse_envelope(body, (), where).count
    if count is None:
        raise ContractError(f"{where}: the reply to $inlinecount contains no count")
    return count
