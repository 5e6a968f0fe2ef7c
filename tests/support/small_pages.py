"""A company with many small pages, and the sizes of the groups in which they are parsed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from exact_source.engine import page_reader as reading
from exact_source.odata.page import Page, PageSchema, parse_pages
from tests.support.fixtures import MakeWorld
from tests.support.world import Calls, World

LINES = "bulk/Financial/TransactionLines"
ENTITY = "transaction_lines"


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pages were parsed at once, each time."""
    sizes: list[int] = []

    def counting(
        bodies: Sequence[bytes], schema: PageSchema, *, division: int
    ) -> list[Page] | None:
        sizes.append(len(bodies))
        return parse_pages(bodies, schema, division=division)

    monkeypatch.setattr(reading, "parse_pages", counting)
    return sizes


@pytest.fixture
def small_pages(make_world: MakeWorld) -> World:
    """A company with many small pages."""
    made: World = make_world(companies=1, invoices=8, large_page_size=2)
    return made


def tokens(calls: Calls) -> list[str]:
    """The pages that were asked for, in this order; ``None`` is the first."""
    return [str(c.query.get("$skiptoken")) for c in calls.to(LINES)]


def pages_of(world: World) -> int:
    """The last of them is empty, as the one before it is full."""
    assert len(world.keys(LINES)) % 2 == 0
    return len(world.keys(LINES)) // 2 + 1
