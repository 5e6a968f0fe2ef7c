"""Every entity of the catalogue, in one sync: all rows and values, typed, by the fewest calls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from exact_source.catalogue import Entity, choose_entities, load_catalogue, snake
from exact_source.catalogue.feeds import plan_feeds
from exact_source.catalogue.parameters import (
    check_parameters,
    combinations,
    reason_not_read,
    sources_of,
)
from exact_source.sandbox.data.reading import parameter_tests, table_of
from tests.support.fixtures import MakeWorld
from tests.support.world import Calls, Row, World, expected_value, feed_path

catalogue = load_catalogue()
# What DuckDB makes of the catalogue's types.
TYPES = {
    "g": "VARCHAR", "s": "VARCHAR", "f": "DOUBLE", "m": "DECIMAL(38,9)", "i": "INTEGER",
    "h": "SMALLINT", "y": "SMALLINT", "l": "BIGINT", "t": "TIMESTAMP", "b": "BOOLEAN",
}  # fmt: skip
PARAMETERS = {"operations": [1, 2]}
TODAY = date(2026, 3, 10)
# Instead of 60 and 1000, so that few rows take several pages.
SMALL_PAGE, LARGE_PAGE = 3, 5
# The server's clock goes on.
MOVING = {"me": {"server_time", "server_utc_offset"}}


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_one_sync_loads_every_entity(make_world: MakeWorld) -> None:
    world = make_world(companies=1, invoices=2, page_size=SMALL_PAGE, large_page_size=LARGE_PAGE)
    names = choose_entities("all", catalogue)
    assert len(names) == len(catalogue.entities) - 11

    with world.watch() as calls:
        outcome = world.sync(*names, parameters=PARAMETERS)

    assert (outcome.exit_code, outcome.error, outcome.rounds) == (0, None, 2)
    assert {r.entity for r in outcome.results} == set(names)
    assert set(calls.statuses()) == {200}
    assert_types(world, names)
    tables = stored(world, names)
    assert sum(map(len, tables.values())) > 1500
    for name in names:
        wanted = list(due_rows(world, catalogue.entities[name]))
        for row in wanted:
            for column in MOVING.get(name, ()):
                del row[column]
        assert counted(tables[name], wanted) == counted(wanted, wanted), name
    assert_calls(world, calls, names)


def assert_types(world: World, names: list[str]) -> None:
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in world.sql(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
    ):
        found.setdefault(table, {})[column] = kind
    for name in names:
        columns = found[name]
        for field in plan_feeds(catalogue.entities[name]).fields:
            column = catalogue.entities[name].columns[field]
            if column.type_code == "x":
                assert column.name not in columns
            elif field != "Division":
                assert columns[column.name] == TYPES[column.type_code], (name, field)
        assert columns["division"] == "INTEGER"
        for feed in catalogue.entities[name].feeds.values():
            for parameter, (type_code, _) in feed.parameters.items():
                assert columns[snake(parameter)] == TYPES[type_code]


def stored(world: World, names: list[str]) -> dict[str, list[Row]]:
    """All rows of all tables, over one connection."""
    tables = {}
    with world.pipeline.sql_client() as client:
        for name in names:
            with client.execute_query(f"SELECT * FROM {name}") as cursor:
                columns = [column[0] for column in cursor.description or ()]
                tables[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return tables


def counted(rows: list[Row], like: list[Row]) -> Counter[Any]:
    """The rows in the columns that the sandbox knows of, each with its number."""
    columns = sorted(like[0]) if like else []
    return Counter(tuple(row.get(column, "no column") for column in columns) for row in rows)


def due_rows(world: World, entity: Entity) -> Iterator[Row]:
    """What a table should hold, from the rows of the sandbox."""
    fields = set(plan_feeds(entity).fields)
    for asked, row in sandbox_rows(world, entity):
        due = {
            entity.columns[f].name: expected_value(f, entity.columns[f].type_code, row.get(f))
            for f in fields
            if entity.columns[f].type_code != "x" and f != "Division"
        }
        for name, value in asked.items():
            if due.get(snake(name)) is None:
                due[snake(name)] = value
        yield due


def sandbox_rows(world: World, entity: Entity) -> Iterator[tuple[dict[str, Any], Row]]:
    """The rows of an entity with what they are asked with."""
    path = plan_feeds(entity).full.path
    endpoint = next(e for e in world.box.state.catalogue if e.path == path)
    if not plan_feeds(entity).full.parameters:
        yield from (({}, row) for row in world.box.rows(path, world.division))
        return
    state, defaults = world.box.state, world.box.state.defaults(world.division)
    for asked in values(world, entity):
        tests = parameter_tests(endpoint, asked)
        for row in table_of(state, world.division, endpoint, asked).rows.values():
            if all(test(row) for test in tests):
                yield asked, {**defaults, **row}


def values(world: World, entity: Entity) -> list[dict[str, Any]]:
    """What a function is asked with, from the rows of the sandbox."""
    sources = sources_of(entity, plan_feeds(entity).full)

    def rows_of(parent: str, columns: list[str]) -> list[tuple[Any, ...]]:
        fields = {c.name: f for f, c in catalogue.entities[parent].columns.items()}
        rows = world.box.rows(feed_path(parent), world.division)
        return [tuple(row[fields[column]] for column in columns) for row in rows]

    found = combinations(sources, check_parameters(PARAMETERS), rows_of, TODAY)
    return [dict(zip(sources, combination, strict=True)) for combination in found]


def assert_calls(world: World, calls: Calls, names: list[str]) -> None:
    """A call a page of the cheapest feed and at most one more; a call a value for functions."""
    pages: Counter[str] = Counter()
    for name in names:
        entity = catalogue.entities[name]
        feed = plan_feeds(entity).full
        if feed.parameters:
            assert len(calls.to(feed.path)) == len(values(world, entity)), name
            continue
        assert feed.page_size == max(one.page_size for one in entity.feeds.values()), name
        large = entity.feeds.keys() & {"sync", "bulk"}
        rows = len(world.box.rows(feed.path, world.division))
        due = math.ceil(rows / (LARGE_PAGE if large else SMALL_PAGE))
        taken = sum(len(calls.to(one.path)) for one in entity.feeds.values())
        assert taken <= due + 1, name
        if due > 1 and feed.kind != "function":
            assert taken >= due, name
            pages["large" if large else "small"] += 1
    assert min(pages["large"], pages["small"]) > 20
    others = set(calls.paths) - {plan_feeds(catalogue.entities[n]).full.path for n in names}
    assert others <= {"users/UserHasRights"}  # because of an empty list of tombstones


def test_what_is_not_read_cannot_be_chosen(make_world: MakeWorld) -> None:
    from exact_source.errors import ConfigurationError

    for name, entity in catalogue.entities.items():
        if reason := reason_not_read(entity):
            with pytest.raises(ConfigurationError, match=f"{name} is not read: {reason[:20]}"):
                choose_entities([name], catalogue)
