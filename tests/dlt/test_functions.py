"""Functions are asked for every value of their parameters, wherever a sync stops and goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from exact_source.source import exact_online
from tests.support.fixtures import MakeWorld
from tests.support.function_rows import (
    EXTRA,
    STOCK,
    asked,
    assert_extra_fields,
    assert_stock,
    items,
)
from tests.support.world import World


def test_values_of_parameters_are_columns_and_part_of_the_key(world: World) -> None:
    world.sync("accounts", "receivables_list_by_account_and_age_group", "revenue_list_by_year")

    for division in world.box.divisions:
        wanted = {
            (account["ID"], group, row["HID"])
            for account in world.box.rows("crm/Accounts", division)
            for group in (1, 2, 3, 4)
            for row in asked(
                world,
                "read/financial/ReceivablesListByAccountAndAgeGroup",
                division,
                accountId=account["ID"],
                ageGroup=group,
            )
        }
        rows = world.table("receivables_list_by_account_and_age_group", division)
        assert {(r["account_id"], r["age_group"], r["hid"]) for r in rows} == wanted
        assert len(rows) == len(wanted)
        years = {row["year"] for row in world.table("revenue_list_by_year", division)}
        assert years <= {2025, 2026}
    keys = world.pipeline.default_schema.get_table_columns("revenue_list_by_year")
    assert {n for n, c in keys.items() if c.get("primary_key")} == {"division", "year", "period"}


def test_a_second_sync_loads_nothing_new_and_removes_deleted_rows(world: World) -> None:
    world.sync("items", "stock_position")
    again = world.sync("items", "stock_position")
    assert {r.rows for r in again.results} == {0}

    gone = world.table("stock_position", world.division)[0]["item_id"]
    world.box.delete("logistics/Items", world.division, gone)
    world.sync("items", "stock_position")

    assert gone not in {row["item_id"] for row in world.table("stock_position")}
    assert_stock(world)


# -- a function that is read in one chain ------------------------------------------------------


@pytest.mark.parametrize("max_pages", [None, 1])
def test_extra_fields_of_all_items_are_read_in_one_chain(
    make_world: MakeWorld, max_pages: int | None
) -> None:
    """API 12.10: ``modified`` is sent, ``itemId`` is not, and no parent is needed."""
    world = make_world(companies=1, page_size=2)
    world.box.state.settings.paged_reads = True
    with world.watch() as calls:
        outcome = world.sync("item_extra_field", max_pages=max_pages)

    assert outcome.exit_code == 0
    queries = [call.query for call in calls.to(EXTRA)]
    assert {query["modified"] for query in queries} == {"datetime'1970-01-01T00:00:00'"}
    assert not any("itemId" in query for query in queries)
    assert len(queries) == len(world.box.rows(EXTRA, world.division)) // 2 + 1
    assert_extra_fields(world)
    keys = world.pipeline.default_schema.get_table_columns("item_extra_field")
    found = {name for name, column in keys.items() if column.get("primary_key")}
    assert found == {"division", "item_id", "number"}
    assert "modified" in keys  # of the row, not of the call


@pytest.mark.nightly
def test_on_postgres_the_values_come_from_there(world: World, postgres: str) -> None:
    world.pipeline = world.new_pipeline("postgres", dlt.destinations.postgres(postgres))
    names = ("items", "stock_position", "revenue_list_by_year_and_status")
    assert world.sync(*names).exit_code == 0
    wanted = sum(
        len(asked(world, STOCK, division, itemId=item))
        for division in world.box.divisions
        for item in items(world, division)
    )
    assert world.sql("SELECT count(*) FROM stock_position") == [(wanted,)]
    gone = items(world, world.division)[0]
    world.box.delete("logistics/Items", world.division, gone)
    assert world.sync(*names).exit_code == 0
    assert world.sql(f"SELECT count(*) FROM stock_position WHERE item_id = '{gone}'") == [(0,)]


@pytest.mark.parametrize("where", ["argument", "environment", "file"])
def test_the_source_takes_parameters_from_everywhere(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    given = {"years": [2021, 2022]}
    if where == "environment":
        monkeypatch.setenv("SOURCES__EXACT_ONLINE__PARAMETERS", json.dumps(given))
    if where == "file":
        project = Path(os.environ["DLT_PROJECT_DIR"])
        (project / ".dlt").mkdir()
        text = "[sources.exact_online.parameters]\nyears = [2021, 2022]\n"
        (project / ".dlt" / "config.toml").write_text(text)
        monkeypatch.chdir(project)
    with isolated_providers():
        source = exact_online(
            divisions=[world.division],
            entities=["revenue_list_by_year"],
            parameters=given if where == "argument" else None,
            base_url=world.base_url,
            client_id=world.settings.client_id,
            client_secret=world.settings.client_secret,
            redirect_uri=world.settings.redirect_uri,
            token_storage=world.storage,
            clock=world.clock,
        )
        with world.watch() as calls:
            world.pipeline.run(source)

    assert {c.query["year"] for c in calls.all if "year" in c.query} == {"2021", "2022"}


@contextmanager
def isolated_providers() -> Iterator[None]:
    """Read the settings again: dlt reads its files once per process."""
    context = Container()[PluggableRunContext]
    context.reload_providers()
    try:
        yield
    finally:
        context.reload_providers()


def test_a_parent_without_a_notice_is_not_waited_for(world: World) -> None:
    world.sync("items", "stock_position")
    notices = {("stock_position", world.division): "a mark"}
    outcome = world.sync("items", "stock_position", notices=notices)

    assert outcome.exit_code == 0
    assert [(r.entity, r.division) for r in outcome.results] == [("stock_position", world.division)]
