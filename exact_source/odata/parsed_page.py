"""The content of replies as columns, before they become tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import pyarrow as pa

from ..errors import one_line

# Most field names of a page that are reported, and characters of each: a reply may contain anything.
MOST_NAMED, LONGEST_NAME = 20, 60
SurpriseKind = Literal["unknown", "misfit", "rounded", "repeated", "null key"]
Extras = dict[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Surprise:
    """A difference between a page and the catalogue; it never contains a value.

    Attributes:
        kind: ``unknown``: a field that was not selected, kept in ``_extra``; ``misfit``: the column is
            null, the value is in ``_extra``; ``rounded``: the column has a rounded value, the original
            is in ``_extra``; ``repeated``: a row had the field twice, the column has the last value;
            ``null key``: rows without this part of their key.
        column: Exact's name of the field, shortened; ``12 more fields`` for all after the first.
        rows: Number of rows.
    """

    kind: SurpriseKind
    column: str
    rows: int


@dataclass(frozen=True, slots=True)
class PageMeta:
    """Metadata of one reply.

    Attributes:
        rows: Number of its rows.
        next_url: ``__next`` as received; ``None`` on the last page.
        count: ``__count``; ``None`` unless it was requested.
    """

    rows: int
    next_url: str | None
    count: int | None


@dataclass(slots=True)
class Parsed:
    """The rows of several replies in order, as columns with Exact's names.

    Attributes:
        arrays: Field -> column, in the types of the tables.
        raw: Field of a code -> the code as received.
        answers: Metadata of each reply, in the order of the rows.
        extras: Row number -> field -> value that does not fit into a column.
        surprises: Differences from the catalogue.
    """

    arrays: dict[str, pa.Array]
    raw: dict[str, pa.Array]
    answers: list[PageMeta]
    extras: Extras
    surprises: list[Surprise]

    @property
    def rows(self) -> int:
        """Number of rows of all replies."""
        return sum(answer.rows for answer in self.answers)


def counted(found: Iterable[tuple[SurpriseKind, str, int]]) -> list[Surprise]:
    """The surprises that concern at least one row."""
    return [Surprise(kind, field, rows) for kind, field, rows in found if rows]


def named(kind: SurpriseKind, rows: Mapping[str, int]) -> list[Surprise]:
    """One surprise for each field, up to ``MOST_NAMED``, and one for all others.

    Args:
        kind: Kind of all surprises.
        rows: Field name, as received -> number of rows.
    """
    first = [Surprise(kind, one_line(f, LONGEST_NAME), rows[f]) for f in islice(rows, MOST_NAMED)]
    others = list(islice(rows.values(), MOST_NAMED, None))
    if not others:
        return first
    return [*first, Surprise(kind, f"{len(others)} more fields", max(others))]
