"""``start_by="timestamp"``: a first read begins where Exact says that a date begins; nothing stored goes."""

from __future__ import annotations

from typing import Any

import pytest

from exact_source.engine.cursors import TIMESTAMP_OVERLAP
from tests.support.fixtures import MakeWorld
from tests.support.start_versions import (
    ASKED,
    BY_TIMESTAMP,
    ENTITY,
    PATH,
    START,
    began_at,
    is_young,
)
from tests.support.world import World, digits, feed_path

NO_ROW = "SyncTimestamp names no row since start_date: all rows are read"


def test_a_first_read_begins_at_the_version_and_takes_fewer_calls(
    aged: World, make_world: MakeWorld
) -> None:
    lines = len(aged.keys(PATH))
    with aged.watch() as calls:
        outcome = aged.sync(ENTITY, **BY_TIMESTAMP)

    assert outcome.exit_code == 0
    aged.assert_equal(ENTITY, only=is_young)
    (asked,) = calls.to(ASKED)
    assert asked.query == {
        "modified": "datetime'2026-02-01T00:00:00'",
        "endPoint": "'TransactionLines'",
        "$select": "Modified,API,TimeStampAsBigInt",
    }
    first = min(row["Timestamp"] for row in aged.box.rows(PATH, aged.division) if is_young(row))
    since = first - TIMESTAMP_OVERLAP
    assert began_at(calls.to(PATH)) == [f"Timestamp gt {since}L"]
    assert (len(calls.to(PATH)), lines // 6 + 1) == (1, 5)
    (result,) = outcome.results
    assert result.calls == 2
    assert result.notes == (f"read from Timestamp {since} on, by SyncTimestamp for start_date",)

    key, gone, *_ = aged.keys(PATH)[-5:]
    aged.box.update(PATH, aged.division, key, {"Description": "new"})
    aged.box.delete(PATH, aged.division, gone)
    with aged.watch() as calls:
        again = aged.sync(ENTITY, **BY_TIMESTAMP)
    assert again.exit_code == 0
    assert calls.to(ASKED) == []
    aged.assert_equal(ENTITY, only=is_young)


def test_without_being_asked_for_it_all_is_read_once(aged: World) -> None:
    chosen: list[dict[str, Any]] = [{}, {"start_by": "modified"}]
    for options in chosen:
        with aged.watch() as calls:
            aged.sync(ENTITY, start_date=START, full_refresh=[ENTITY], **options)
        assert calls.to(ASKED) == []
        assert began_at(calls.to(PATH)) == ["Timestamp gt 1L"]
        aged.assert_equal(ENTITY, only=is_young)


def test_older_rows_above_the_version_are_dropped(aged: World) -> None:
    aged.box.touch(PATH, aged.division, aged.keys(PATH)[:3], modified=digits("2026-01-20"))
    assert aged.sync(ENTITY, **BY_TIMESTAMP).exit_code == 0

    aged.assert_equal(ENTITY, only=is_young)
    assert len(aged.table(ENTITY)) == 5


def test_the_overlap_reaches_below_the_version(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    keys = world.keys(PATH)
    world.box.touch(PATH, world.division, keys, modified=digits("2026-01-15"))
    world.advance_versions(10 * TIMESTAMP_OVERLAP)
    # Written first and dated later: its version is below the one that Exact names.
    world.box.touch(PATH, world.division, keys[:1], modified=digits("2026-02-20"))
    world.advance_versions(TIMESTAMP_OVERLAP - 100)
    world.box.touch(PATH, world.division, keys[1:2], modified=digits("2026-02-02"))
    world.sync(ENTITY, **BY_TIMESTAMP)

    world.assert_equal(ENTITY, only=is_young)
    assert len(world.table(ENTITY)) == 2


def test_what_lies_further_below_is_missed_until_start_by_is_modified(
    make_world: MakeWorld,
) -> None:
    world: World = make_world(companies=1)
    keys = world.keys(PATH)
    world.box.touch(PATH, world.division, keys, modified=digits("2026-02-20"))
    world.advance_versions(10 * TIMESTAMP_OVERLAP)
    world.box.touch(PATH, world.division, keys[:1], modified=digits("2026-02-02"))
    world.sync(ENTITY, **BY_TIMESTAMP)
    assert [row["id"] for row in world.table(ENTITY)] == keys[:1]
    outcome = world.sync(ENTITY, start_date=START)

    assert outcome.results[0].notes == ("start_by is modified now: read again",)
    world.assert_equal(ENTITY, only=is_young)
    assert len(world.table(ENTITY)) == len(keys)
    assert world.sync(ENTITY, start_date=START).results[0].notes == ()


def test_a_date_after_all_rows_reads_all_and_says_so(aged: World) -> None:
    with aged.watch() as calls:
        outcome = aged.sync(ENTITY, start_date="2026-03-09", start_by="timestamp")

    assert outcome.exit_code == 0
    assert outcome.results[0].notes == (NO_ROW,)
    assert began_at(calls.to(PATH)) == ["Timestamp gt 1L"]
    assert aged.table(ENTITY) == []
    with aged.watch() as calls:
        again = aged.sync(ENTITY, start_date="2026-03-09", start_by="timestamp")
    assert (again.exit_code, calls.to(ASKED), again.results[0].notes) == (0, [], ())


def test_of_an_entity_without_rows_it_is_asked_once(make_world: MakeWorld) -> None:
    world: World = make_world(companies=1)
    path = feed_path("projects")
    for key in world.keys(path):
        world.box.delete(path, world.division, key)
    notes = []
    with world.watch() as calls:
        for _ in range(2):
            outcome = world.sync("projects", **BY_TIMESTAMP)
            assert outcome.exit_code == 0
            notes.append(outcome.results[0].notes)

    assert len(calls.to(ASKED)) == 1
    assert notes == [(NO_ROW,), ()]


@pytest.mark.parametrize("fault", ["400", "403", "404", "html"])
def test_a_question_that_is_refused_reads_all_and_says_so(aged: World, fault: str) -> None:
    aged.box.fault(fault, path=ASKED, times=12)
    with aged.watch() as calls:
        outcome = aged.sync(ENTITY, "projects", **BY_TIMESTAMP)

    assert outcome.exit_code == 0
    notes = [note for r in outcome.results for note in r.notes]
    assert len(notes) == 2
    assert all(note.endswith(": all rows are read") for note in notes)
    assert any(("6 tries" if fault == "html" else fault) in note for note in notes)
    # A refused call is not repeated for each entity; a 400 may concern one of them only.
    assert len(calls.to(ASKED)) == {"400": 2, "403": 1, "404": 1, "html": 12}[fault]
    for path in (PATH, feed_path("projects")):
        assert began_at(calls.to(path)) == ["Timestamp gt 1L"]
    aged.assert_equal(ENTITY, only=is_young)


@pytest.mark.parametrize("deletes", ["hard", "soft"])
def test_stored_rows_that_it_does_not_meet_stay(aged: World, deletes: Any) -> None:
    """Rows are there from before: then all is read, as a pass that began later would not meet them."""
    low = aged.keys(PATH)[0]
    aged.sync(ENTITY, deletes=deletes)
    held = {row["id"] for row in aged.table(ENTITY)}
    for options in (BY_TIMESTAMP, {**BY_TIMESTAMP, "full_refresh": [ENTITY]}):
        with aged.watch() as calls:
            outcome = aged.sync(ENTITY, deletes=deletes, **options)
        assert outcome.exit_code == 0
        assert calls.to(ASKED) == []
        assert {r.deleted for r in outcome.results} == {0}
        assert {row["id"] for row in aged.table(ENTITY)} == held
    assert low in held


def test_rounds_go_on_from_the_version_and_remove_nothing(aged: World) -> None:
    aged.box.touch(PATH, aged.division, aged.keys(PATH)[:13], modified=digits("2026-02-04"))
    low, *_ = (row for row in aged.box.rows(PATH, aged.division) if is_young(row))
    with aged.watch() as calls:
        first = aged.one_round(ENTITY, max_pages=1, **BY_TIMESTAMP)
        assert [r.status for r in first] == ["incomplete"]
        assert len(aged.table(ENTITY)) == 6
        aged.box.delete(PATH, aged.division, low["ID"])
        assert aged.sync(ENTITY, **BY_TIMESTAMP).exit_code == 0

    assert len(calls.to(ASKED)) == 1
    assert aged.sync(ENTITY, **BY_TIMESTAMP).exit_code == 0
    aged.assert_equal(ENTITY, only=is_young)


def test_the_version_is_asked_for_once_though_the_first_page_fails(aged: World) -> None:
    aged.box.fault(503, path=PATH, times=6)
    assert aged.sync(ENTITY, **BY_TIMESTAMP).exit_code != 0
    with aged.watch() as calls:
        outcome = aged.sync(ENTITY, **BY_TIMESTAMP)

    assert outcome.exit_code == 0
    assert calls.to(ASKED) == []
    assert len(calls.to(PATH)) == 1
    aged.assert_equal(ENTITY, only=is_young)


def test_a_move_that_nobody_announced_reads_all(aged: World) -> None:
    aged.sync(ENTITY, **BY_TIMESTAMP)
    aged.box.state.store.move(aged.division)
    key = aged.keys(PATH)[-1]
    aged.box.update(PATH, aged.division, key, {"Description": "new"})
    with aged.watch() as calls:
        outcome = aged.sync(ENTITY, **BY_TIMESTAMP)

    assert outcome.exit_code == 0
    assert calls.to(ASKED) == []
    assert began_at(calls.to(PATH))[1:] == ["Timestamp gt 1L"]
    assert [row["description"] for row in aged.table(ENTITY) if row["id"] == key] == ["new"]


def test_a_link_that_is_refused_begins_again_at_the_version(aged: World) -> None:
    aged.box.touch(PATH, aged.division, aged.keys(PATH)[:13], modified=digits("2026-02-04"))
    aged.one_round(ENTITY, max_pages=1, **BY_TIMESTAMP)
    aged.box.fault(400, path=PATH)
    with aged.watch() as calls:
        outcome = aged.sync(ENTITY, **BY_TIMESTAMP)

    assert outcome.exit_code == 0
    assert calls.to(ASKED) == []
    assert "Timestamp gt 1L" not in began_at(calls.to(PATH))
    aged.assert_equal(ENTITY, only=is_young)


def test_an_earlier_date_reads_all_rows_again(aged: World) -> None:
    aged.sync(ENTITY, **BY_TIMESTAMP)
    outcome = aged.sync(ENTITY, start_date="2026-01-01", start_by="timestamp")

    assert outcome.results[0].notes == ("start_date is earlier than before: read again",)
    aged.assert_equal(ENTITY)


@pytest.mark.parametrize("entity", ["accounts", "material_issues", "journals"])
def test_an_entity_that_exact_names_no_version_of_is_not_asked_about(
    make_world: MakeWorld, entity: str
) -> None:
    """One that SyncTimestamp does not know, one whose rows have no Modified, one without sync feed."""
    world: World = make_world(companies=1)
    with world.watch() as calls:
        assert world.sync(entity, **BY_TIMESTAMP).exit_code == 0
    assert calls.to(ASKED) == []


# -- what people type ------------------------------------------------------------------------------
