"""Whether a request for a full refresh is noted, so that the next run makes it if this one must stop."""

from __future__ import annotations

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.feeds import plan_feeds
from exact_source.engine.cursors import Cursor, Scan
from exact_source.engine.divisions import Division
from exact_source.engine.shape import Shape
from exact_source.engine.starts import Start
from exact_source.source import make_options

AT = 1_773_144_000.0
ENTITY = load_catalogue().entities["accounts"]
READ = Cursor(column="Timestamp", feed="sync", value=5)
CURSORS = [
    (READ, True),
    (Cursor(column=None, feed="regular"), True),  # a list that is always read whole
    (Cursor(column="Timestamp"), False),  # nothing is stored yet
    (Cursor(column="Timestamp", feed="sync", scan=Scan(since=None, started_at=1.0)), False),
    (Cursor(column="Timestamp", feed="sync", value=5, scan=Scan(since=4, started_at=1.0)), True),
    (Cursor(column="Timestamp", feed="sync", value=5, refresh_wanted=AT), False),
    (Cursor(column="Timestamp", feed="sync", value=5, refreshed_for=AT), False),
]


def start(full_refresh: list[str] | bool) -> Start:
    return Start(
        shape=Shape.of(ENTITY, plan_feeds(ENTITY)),
        division=Division(7),
        options=make_options(full_refresh=full_refresh),
        now=AT,
        refresh_asked_at=AT,
        rows_counted=1,
        rows_stored=1,
        stored_until=0.0,
        stored_from=0.0,
    )


@pytest.mark.parametrize(("cursor", "is_noted"), CURSORS)
def test_a_request_is_noted_once_for_a_stream_that_was_read(cursor: Cursor, is_noted: bool) -> None:
    noted = start(["accounts"]).with_request(cursor)

    assert (noted is not None) == is_noted
    assert noted is None or noted.refresh_wanted == AT


def test_without_a_request_nothing_is_noted() -> None:
    assert start(False).with_request(READ) is None
