"""Small pages are parsed together, and whatever becomes of one of them, the others fare as if alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from exact_source.engine import page_reader as reading
from exact_source.sandbox.server import serve
from tests.support.small_pages import ENTITY, LINES, pages_of, tokens
from tests.support.world import World


@pytest.fixture
def world(small_pages: World) -> World:
    return small_pages


@contextmanager
def altered(world: World, number: int, change: Callable[[Any], None]) -> Iterator[None]:
    """Let one answer, counted from 1, be another than the sandbox gives."""
    left = number

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal left
        left -= scope["path"].endswith(LINES)
        if left or not scope["path"].endswith(LINES):
            await world.box.app(scope, receive, send)
            return
        kept = [h for h in scope["headers"] if h[0] != b"accept-encoding"]
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        await world.box.app({**scope, "headers": kept}, receive, keep)
        start, *bodies = sent
        answer = json.loads(b"".join(part.get("body", b"") for part in bodies))
        change(answer)
        left_over = [h for h in start["headers"] if h[0].lower() != b"content-length"]
        await send({**start, "headers": left_over})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    kept_settings = world.settings
    with serve(app, 0) as address:
        world.settings = replace(kept_settings, base_url=address)
        yield
    world.settings = kept_settings


def first_row(answer: Any) -> Any:
    return answer["d"]["results"][0]


def test_a_page_that_does_not_fit_costs_no_call_and_loses_nothing(
    world: World, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AHEAD_PAGES", reading.TOGETHER_PAGES)
    with (
        altered(world, 4, lambda answer: first_row(answer).update(New="x")),
        world.watch() as calls,
    ):
        assert world.sync(ENTITY).exit_code == 0

    assert len(tokens(calls)) == len(set(tokens(calls))) == pages_of(world)
    assert together == [reading.TOGETHER_PAGES]  # and from then on each by itself
    found = world.table(ENTITY)
    assert [row["_extra"] for row in found if row["_extra"]] == ['{"New": "x"}']
    assert len(found) == len(world.keys(LINES))


@pytest.mark.parametrize("number", [4, 28])
def test_rows_that_break_off_in_the_middle_are_asked_for_again(world: World, number: int) -> None:
    broken = {"error": {"code": "", "message": {"value": "gave up"}}}
    with (
        altered(world, number, lambda answer: answer["d"]["results"].append(broken)),
        world.watch() as calls,
    ):
        assert world.sync(ENTITY).exit_code == 0

    *before, page = tokens(calls)[:number]
    assert tokens(calls).count(page) == 2
    assert set(before).isdisjoint(tokens(calls)[number:])
    world.assert_equal(ENTITY)


def test_a_first_page_that_breaks_off_is_asked_for_again_by_itself(world: World) -> None:
    broken = {"error": {"code": "", "message": {"value": "gave up"}}}
    with altered(world, 1, lambda answer: answer["d"]["results"].append(broken)):
        assert world.sync(ENTITY).exit_code == 0

    world.assert_equal(ENTITY)


def test_a_link_that_stands_outside_of_the_page_is_not_followed_for_good(world: World) -> None:
    further = sorted(world.keys(LINES))[40]

    def lead_astray(answer: Any) -> None:
        astray = re.sub("[0-9a-f-]{36}", further, answer["d"]["__next"])
        assert astray != answer["d"]["__next"]
        answer["x"] = {"y": [{}], "__next": astray}

    with altered(world, 4, lead_astray), world.watch() as calls:
        assert world.sync(ENTITY).exit_code == 0

    assert tokens(calls)[4] == f"guid'{further}'"
    world.assert_equal(ENTITY)


def test_a_page_that_was_none_the_last_time_is_asked_for_alone(world: World) -> None:
    for number in (4, 1):  # of this sync; the second one goes on there
        with (
            altered(world, number, lambda answer: first_row(answer).update(Division=1)),
            world.watch() as calls,
        ):
            assert world.sync(ENTITY).exit_code == 1
    assert len(tokens(calls)) == 1


@pytest.mark.parametrize("wrong", [1, 4])
def test_a_row_of_another_company_is_refused_without_another_call_for_it(
    world: World, wrong: int
) -> None:
    with (
        altered(world, wrong, lambda answer: first_row(answer).update(Division=1)),
        world.watch() as calls,
    ):
        outcome = world.sync(ENTITY)

    (result,) = outcome.results
    assert (result.status, outcome.exit_code) == ("failed", 1)
    assert "a row belongs to another division" in result.error
    assert tokens(calls).count(tokens(calls)[wrong - 1]) == 1
    assert len(world.table(ENTITY) if wrong > 1 else []) == 2 * (wrong - 1)
    with world.watch() as more:
        assert world.sync(ENTITY).exit_code == 0
    assert tokens(more)[0] == tokens(calls)[wrong - 1]
    world.assert_equal(ENTITY)
