"""On Postgres every table of an entity has an index on its key; other databases are left alone."""

from __future__ import annotations

import dlt
import pytest

from exact_source.loading.indexes import NAME_MAX, create_indexes, index_name
from tests.support.fixtures import MakeWorld
from tests.support.world import DATASET, World

ENTITIES = ["accounts", "stock_position", "items"]


@pytest.fixture
def loaded(make_world: MakeWorld, postgres: str) -> World:
    world: World = make_world(companies=1, destination=dlt.destinations.postgres(postgres))
    assert world.sync(*ENTITIES).exit_code == 0
    return world


def indexes(world: World) -> dict[str, str]:
    """Table -> the columns of its index, as Postgres tells them."""
    found = world.sql(
        f"SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = '{DATASET}' "
        "AND tablename NOT LIKE '\\_%'"
    )
    return {table: text.partition("(")[2].strip(")") for table, text in found}


def test_tables_of_entities_have_an_index_on_their_key(loaded: World) -> None:
    assert indexes(loaded) == {
        "accounts": "division, id", "items": "division, id", "stock_position": "division, item_id, _row",
    }  # fmt: skip


def test_an_index_is_made_once_and_again_if_it_is_missing(loaded: World) -> None:
    before = indexes(loaded)
    assert create_indexes(loaded.pipeline) == 0
    loaded.sql(f"DROP INDEX {DATASET}.{index_name('items')}")
    assert create_indexes(loaded.pipeline) == 1
    assert indexes(loaded) == before


def test_a_merge_finds_its_rows_by_the_index(loaded: World) -> None:
    key = loaded.keys("crm/Accounts")[0]
    loaded.box.update("crm/Accounts", loaded.division, key, {"Name": "later"})
    assert loaded.sync("accounts").exit_code == 0  # the first load was appended
    with loaded.pipeline.sql_client() as client:  # tables of this size are read as a whole else
        client.execute_sql("SET enable_seqscan = off")
        plan = client.execute_sql(
            f"EXPLAIN DELETE FROM {DATASET}.accounts d WHERE EXISTS (SELECT 1 FROM "
            f"{DATASET}_staging.accounts s WHERE d.division = s.division AND d.id = s.id)"
        )
    assert index_name("accounts") in str(plan)


def test_other_databases_are_left_alone(world: World) -> None:
    assert create_indexes(world.pipeline) == 0
    assert world.sync("accounts").exit_code == 0
    assert create_indexes(world.pipeline) == 0


def test_a_long_name_is_cut_where_postgres_would_cut_it_silently() -> None:
    assert len(index_name("t" * 70)) == NAME_MAX
