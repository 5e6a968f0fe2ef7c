"""Small pages are parsed together, and whatever becomes of one of them, the others fare as if alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from exact_source.engine import page_reader as reading
from exact_source.engine.run import Run
from exact_source.odata.page import Page, PageSchema, parse_pages
from tests.support.small_pages import ENTITY, LINES, pages_of, tokens
from tests.support.world import World


@pytest.fixture
def world(small_pages: World) -> World:
    return small_pages


def test_small_pages_are_parsed_together_and_the_last_with_none(
    world: World, together: list[int]
) -> None:
    with world.watch() as calls:
        assert world.sync(ENTITY).exit_code == 0

    assert len(tokens(calls)) == len(set(tokens(calls))) == pages_of(world) > 20
    assert together[0] == reading.TOGETHER_PAGES
    assert sum(together) == pages_of(world) - 1
    world.assert_equal(ENTITY)


@pytest.mark.parametrize(
    ("limit", "value", "size"),
    [("TOGETHER_BYTES", 1, 1), ("TOGETHER_PAGES", 3, 3), ("BYTES_OF_ALL", 1, 1)],
)
def test_so_many_pages_wait_for_each_other_and_no_more(
    world: World,
    together: list[int],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
    size: int,
) -> None:
    monkeypatch.setattr(reading, limit, value)
    run = world.make_run()
    assert world.sync_with(run, ENTITY).exit_code == 0

    assert max(together) == size
    assert run.unread_bytes.count == 0
    world.assert_equal(ENTITY)


def test_a_page_of_some_size_is_parsed_by_itself(
    world: World, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ALONE_BYTES", 1)
    assert world.sync(ENTITY).exit_code == 0

    assert set(together) == {1}
    world.assert_equal(ENTITY)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The thread of each parsing; all bodies are large enough for one."""
    names: list[str] = []

    def noting(bodies: Sequence[bytes], schema: PageSchema, *, division: int) -> list[Page] | None:
        names.append(threading.current_thread().name)
        return parse_pages(bodies, schema, division=division)

    monkeypatch.setattr(reading, "parse_pages", noting)
    monkeypatch.setattr(reading, "THREAD_BYTES", 0)
    monkeypatch.setattr(reading, "TOGETHER_PAGES", 3)
    return names


def test_large_bodies_are_parsed_in_threads_and_keep_their_order(
    world: World, threads: list[str]
) -> None:
    run = world.make_run()
    with world.watch() as calls:
        assert world.sync_with(run, ENTITY).exit_code == 0

    assert len(threads) > 6
    assert all(name.startswith("exact-parse") for name in threads)
    assert len(tokens(calls)) == len(set(tokens(calls))) == pages_of(world)
    assert run.unread_bytes.count == 0
    world.assert_equal(ENTITY)


def test_no_thread_parses_while_too_many_bodies_wait(
    world: World, threads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BYTES_OF_ALL", 1)
    assert world.sync(ENTITY).exit_code == 0

    assert threads
    assert not any(name.startswith("exact-parse") for name in threads)
    world.assert_equal(ENTITY)


@pytest.mark.parametrize(
    ("limit", "value", "pages"), [("AHEAD_PAGES", 6, 6), ("AHEAD_BYTES", 1, 1)]
)
def test_so_many_pages_are_requested_before_the_first_is_passed_on(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, pages: int
) -> None:
    monkeypatch.setattr(reading, limit, value)
    with world.watch() as calls:
        world.one_round(ENTITY, round_rows=1)

    assert len(tokens(calls)) == pages


def test_each_row_was_read_when_its_own_page_came(world: World) -> None:
    with world.watch() as calls:
        world.sync(ENTITY)

    times = sorted({row["_synced_at"].timestamp() for row in world.table(ENTITY)})
    asked = [call.at for call in calls.to(LINES)]
    assert len(times) == len(asked) - 1 > 20
    for at, since, until in zip(times, asked, asked[1:], strict=False):
        assert since < at < until


@pytest.mark.parametrize("round_rows", [None, 6])
def test_a_refusal_comes_after_the_pages_before_it_and_is_asked_for_once(
    world: World, round_rows: int | None
) -> None:
    world.box.fault("403", path=LINES, after=3)
    with world.watch() as calls:
        outcome = world.sync(ENTITY, round_rows=round_rows)

    (result,) = outcome.results
    assert (result.status, result.rows) == ("refused", 6)
    assert calls.statuses(LINES) == [200, 200, 200, 403]
    assert len(world.table(ENTITY)) == 6
    world.clock.sandbox.advance(3600)
    world.login()
    with world.watch() as more:
        assert world.sync(ENTITY).exit_code == 0
    assert tokens(more)[0] == tokens(calls)[3]
    world.assert_equal(ENTITY)


def stop_after(run: Run, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    count = run.rounds.count_page
    seen: list[int] = []

    def counting() -> None:
        count()
        seen.append(1)
        if len(seen) >= number:
            run.rounds.request_stop()

    monkeypatch.setattr(run.rounds, "count_page", counting)


def test_who_wants_to_stop_is_heard_after_each_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.make_run()
    stop_after(run, 3, monkeypatch)
    with world.watch() as calls:
        assert world.sync_with(run, ENTITY).exit_code == 3

    assert len(calls.to(LINES)) == 3
    assert len(world.table(ENTITY)) == 6
    with world.watch() as more:
        assert world.sync(ENTITY).exit_code == 0
    assert set(tokens(more)) & set(tokens(calls)) == {"None"}  # of what changed since
    world.assert_equal(ENTITY)


@pytest.mark.parametrize("kind", ["foreign-next", "repeat-next"])
def test_a_link_that_leads_astray_is_not_followed(world: World, kind: str) -> None:
    world.box.fault(kind, path=LINES, after=3)
    with world.watch() as calls:
        outcome = world.sync(ENTITY)

    (result,) = outcome.results
    assert (result.status, len(calls.to(LINES))) == ("failed", 4)
    assert "next link" in result.error
    assert len(world.table(ENTITY)) == 6
    assert world.sync(ENTITY).exit_code == 0
    world.assert_equal(ENTITY)
