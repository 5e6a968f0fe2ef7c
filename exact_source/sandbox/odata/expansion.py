"""The rows that hang on other rows: read along with ``$expand``, or alone behind a key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..data.catalogue import Endpoint, Row
from ..data.reading import table_of
from ..state import State
from .navigation import Collection


class Expansion(NamedTuple):
    """The rows of one collection, by the key of the row that they hang on."""

    name: str
    endpoint: Endpoint
    rows: dict[Any, list[Row]]


def expand(
    state: State, division: int, collection: Collection, owners: Iterable[Any]
) -> Expansion | None:
    """The rows that hang on ``owners``; ``None`` if they cannot be read by themselves."""
    endpoint = state.catalogue.feed(collection.entity, "regular")
    if endpoint is None:
        return None
    defaults = state.defaults(division)
    groups: dict[Any, list[Row]] = {owner: [] for owner in owners}
    for row in table_of(state, division, endpoint).rows.values():
        owner = row.get(collection.foreign_key)
        if owner in groups:
            groups[owner].append({**defaults, **row})
    return Expansion(collection.name, endpoint, groups)
