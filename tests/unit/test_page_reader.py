"""Which pages are passed on together, and what becomes of those after a page that cannot be used."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.client.call import Call
from exact_source.engine import page_reader
from exact_source.engine.cursors import Cursor, Scan
from exact_source.engine.dedupe import Total
from exact_source.engine.page_reader import PageReader
from exact_source.engine.scanner import FeedUrls, Scanner
from exact_source.engine.shape import Shape
from exact_source.errors import ContractError
from exact_source.odata.query import build_path
from exact_source.source import make_options

DIVISION, SITE = 7, "https://start.exactonline.nl"
ENTITY = load_catalogue().entities["transaction_lines"]
SHAPE = Shape.of(ENTITY, plan_feeds(ENTITY))
FEED = SHAPE.plan.full


def url(number: int) -> str:
    return f"{build_path(FEED.path, DIVISION)}?{number}"


def body(number: int, *, is_last: bool = False, division: int = DIVISION) -> bytes:
    link = {} if is_last else {"__next": SITE + url(number + 1)}
    row = {"ID": str(number), "Division": division}
    return json.dumps({"d": {"results": [row], **link}}, separators=(",", ":")).encode()


CALL = Call(DIVISION, FEED.path, ENTITY.name)


def make_run(bodies: list[bytes]) -> tuple[Any, list[int]]:
    """A run that gets these pages, and the numbers of those that were requested."""
    asked: list[int] = []

    async def get(_call: Call, link: str, parse: Any) -> Any:
        asked.append(int(link.rpartition("?")[2]))
        return parse(bodies[asked[-1]])

    run: Any = SimpleNamespace(
        connection=SimpleNamespace(client=SimpleNamespace(get=get, base_url=SITE)),
        rounds=SimpleNamespace(count_page=lambda: None, must_stop=lambda: False, by_page=set()),
        options=make_options(),
        unread_bytes=Total(),
        now=lambda: 5.0,
    )
    return run, asked


def make_reader(bodies: list[bytes]) -> tuple[PageReader, list[int]]:
    """A reader of these pages, and the numbers of those that it has requested."""
    run, asked = make_run(bodies)
    return PageReader(run, CALL, DIVISION, lambda: None), asked


def read(reader: PageReader, number: int = 0) -> list[str]:
    """Keys of the rows that are passed on at once."""
    found = asyncio.run(reader.read(url(number), FEED, SHAPE.full))
    return [key for one in found for key in one.page.table.column("id").to_pylist()]


def test_pages_are_requested_before_the_first_is_passed_on() -> None:
    reader, asked = make_reader([body(0), body(1), body(2, is_last=True)])

    assert read(reader) == ["0", "1", "2"]
    assert asked == [0, 1, 2]


class OneByOne(FeedUrls):
    """Links of a function, which depend on the page before."""

    reads_ahead = False


def first_requested(*, failures: int = 0, by_page: bool = False, urls: Any = FeedUrls) -> list[int]:
    """Numbers of the pages that a scan requests before it returns the first."""
    run, asked = make_run([body(0), body(1), body(2, is_last=True)])
    run.rounds.by_page = {ENTITY.name} if by_page else set()
    scanner = Scanner(
        run, SHAPE, CALL, urls(SHAPE, DIVISION),
        on_call=lambda: None, known_version=lambda: None, deleted=(),
    )  # fmt: skip
    scan = Scan(since=None, started_at=0.0, next=url(0), failures=failures)

    async def read_first() -> list[str]:
        pages = scanner.pages(Cursor(column=SHAPE.plan.column, scan=scan))
        first = await anext(pages)
        await pages.aclose()
        return [str(key) for key in first.read.column("id").to_pylist()]

    assert asyncio.run(read_first()) == ["0"]
    return asked


def test_pages_are_requested_one_at_a_time_where_they_must_be() -> None:
    assert first_requested() == [0, 1, 2]
    assert first_requested(by_page=True) == [0]
    assert first_requested(failures=1) == [0]
    assert first_requested(urls=OneByOne) == [0]


LINK_OUTSIDE = body(1, is_last=True)[:-1] + b',"other":{"rows":[{}],"__next":"%s"}}' % (
    (SITE + url(2)).encode()
)


@pytest.mark.parametrize(
    ("unusable", "passed_on", "error"),
    [
        (body(1).replace(b"}]", b",}]"), ["0"], None),
        (body(1, division=8), ["0"], ContractError),
        (LINK_OUTSIDE, ["0", "1"], None),
    ],
    ids=["broken", "of another division", "with a link outside of it"],
)
def test_no_page_after_one_that_cannot_be_used_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
    unusable: bytes,
    passed_on: list[str],
    error: type[Exception] | None,
) -> None:
    monkeypatch.setattr(page_reader, "TOGETHER_PAGES", 1)
    reader, asked = make_reader([body(0), unusable, body(2), body(3, is_last=True)])

    assert read(reader) == passed_on
    assert asked == [0, 1, 2, 3]
    assert not reader.together
    assert (reader.error and type(reader.error)) is error
    if error is not None:
        with pytest.raises(error):
            read(reader, 1)
