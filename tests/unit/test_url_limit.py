"""No query is longer than Exact takes: 6,000 characters (API 2.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exact_source.catalogue import Column, Entity, Feed, load_catalogue
from exact_source.catalogue.feeds import Plan, harmless_filter, plan_feeds
from exact_source.catalogue.parameters import TEXT_MAX, sources_of
from exact_source.engine.shape import Shape
from exact_source.errors import ContractError
from exact_source.odata.query import MAX_URL, build_filter, build_url, fit_select, format_literal
from exact_source.settings import REGIONS

LONGEST_SITE = max(REGIONS.values(), key=len)
DIVISION = 9_999_999
SAMPLE = {
    "s": "x" * TEXT_MAX,
    "g": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
    "t": "2026-03-10T00:00:00",
    "b": "false",
}
NEXT = "&$skiptoken=guid'" + "0" * 36 + "'"

catalogue = load_catalogue()
FEEDS = [(e, f) for e in catalogue.entities.values() for f in e.feeds.values()]


def full_query(entity: Entity, feed: Feed, fields: list[str]) -> dict[str, str]:
    """The longest query that a feed is read with."""
    query = {
        name: format_literal(type_code, SAMPLE.get(type_code, 2_000_000_000))
        for name, (type_code, _) in feed.parameters.items()
    }
    query["$select"] = ",".join(fields)
    text = (
        build_filter(feed.cursor, 2**62 if feed.cursor == "Timestamp" else 1)
        if feed.cursor
        else None
    )
    if found := text or harmless_filter(feed):
        query["$filter"] = found
    return query


def test_every_query_of_every_feed_fits_with_all_columns() -> None:
    lengths = {}
    for entity, feed in FEEDS:
        shape = Shape.of(entity, Plan(feed, None, None, feed.columns))
        assert shape.too_long == []
        fields = list(shape.full.columns)
        lengths[feed.path] = len(
            LONGEST_SITE + build_url(feed.path, DIVISION, full_query(entity, feed, fields)) + NEXT
        )
    assert len(lengths) == 415
    assert max(lengths.values()) < MAX_URL * 0.6


def test_functions_are_asked_with_all_their_parameters() -> None:
    for entity, feed in FEEDS:
        if sources := sources_of(entity, feed):
            assert len(sources) == len(feed.parameters)


def wide(entity: Entity, more: int) -> Entity:
    """An entity to which Exact has added many columns."""
    names = [f"AVeryLongNameOfAColumn{number:04d}" for number in range(more)]
    columns = {**entity.columns, **{n: Column(n, n.lower(), "s") for n in names}}
    feeds = {k: replace(f, columns=(*f.columns, *names)) for k, f in entity.feeds.items()}
    return replace(entity, columns=columns, feeds=feeds)


@pytest.mark.parametrize("name", ["accounts", "journals", "transaction_lines"])
def test_a_select_that_is_too_long_loses_its_last_columns_and_keeps_key_and_cursor(
    name: str,
) -> None:
    entity = wide(catalogue.entities[name], 500)
    shape = Shape.of(entity, plan_feeds(entity))

    assert shape.too_long
    assert all(field.startswith("AVeryLong") for field in shape.too_long)
    assert {*entity.key, "Modified", "Division"} <= shape.full.columns.keys()
    feed = shape.plan.full
    url = build_url(feed.path, DIVISION, full_query(entity, feed, list(shape.full.columns)))
    assert MAX_URL - 800 < len(LONGEST_SITE + url + NEXT) < MAX_URL


def test_fields_that_must_stay_stay_wherever_they_stand() -> None:
    fields = [f"Field{number:04d}" for number in range(1000)]
    kept = fit_select(fields, {"Field0999"}, room=100)
    assert kept == [*fields[:9], "Field0999"]
    assert len(",".join(kept)) <= 100
    assert fit_select(fields[:3], set(), room=100) == fields[:3]


def test_a_query_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ContractError, match="characters long"):
        build_url("crm/Accounts", DIVISION, {"$select": "A" * MAX_URL})
