"""Descriptions reach the database as comments, once, and never stand in the way of a sync."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import dlt
import pytest

from exact_source.catalogue.descriptions import OWN
from exact_source.loading.comments import schema_version, write_comments
from exact_source.loading.indexes import index_name
from tests.support.fixtures import MakeWorld
from tests.support.tiers import variants
from tests.support.world import DATASET, World

ENTITIES = ["divisions", "accounts", "contacts", "vat_codes", "units"]


@pytest.fixture(params=variants(["duckdb", "postgres"], "postgres"))
def loaded(make_world: MakeWorld, request: pytest.FixtureRequest) -> World:
    world: World = make_world(companies=1)
    if request.param == "postgres":
        dsn = request.getfixturevalue("postgres")
        world.pipeline = world.new_pipeline("postgres", dlt.destinations.postgres(dsn))
    assert world.sync(*ENTITIES).exit_code == 0
    return world


def comments(world: World) -> dict[tuple[str, str], Any]:
    """(table, column) -> comment, as the database itself tells it."""
    if str(world.pipeline.destination.destination_type).endswith("duckdb"):
        tables = world.sql(
            f"SELECT table_name, '', comment FROM duckdb_tables() WHERE schema_name = '{DATASET}'"
        )
        columns = world.sql(
            "SELECT table_name, column_name, comment FROM duckdb_columns() "
            f"WHERE schema_name = '{DATASET}'"
        )
    else:
        tables = world.sql(
            "SELECT tablename, '', obj_description(format('%I.%I', schemaname, tablename)::regclass)"
            f" FROM pg_tables WHERE schemaname = '{DATASET}'"
        )
        columns = world.sql(
            "SELECT table_name, column_name, "
            "col_description(format('%I.%I', table_schema, table_name)::regclass, ordinal_position)"
            f" FROM information_schema.columns WHERE table_schema = '{DATASET}'"
        )
    return {(table, column): text for table, column, text in [*tables, *columns]}


def test_tables_and_columns_carry_their_descriptions(loaded: World) -> None:
    found = comments(loaded)

    assert found["accounts", ""].startswith("Relations: customers, suppliers")
    assert found["accounts", "status"] == "C customer, P prospect, S suspect, A none of these."
    assert found["vat_codes", "percentage"] == "Rate as a fraction: 0.21 is 21 %."
    assert found["accounts", "is_accountant"] == "Whether it is an accountancy firm, as a code."
    assert found["accounts", "_synced_at"] == OWN["_synced_at"]
    assert found["units", ""] is None
    assert found["units", "description"] is None


def test_comments_are_written_once(loaded: World) -> None:
    before = comments(loaded)
    assert write_comments(loaded.pipeline) == 0
    assert loaded.sync(*ENTITIES).notes == ()
    assert write_comments(loaded.pipeline) == 0
    assert comments(loaded) == before


def test_a_comment_that_was_changed_is_put_right(loaded: World) -> None:
    before = comments(loaded)
    with loaded.pipeline.sql_client() as client:
        table = client.make_qualified_table_name("accounts")
        client.execute_sql(f"COMMENT ON COLUMN {table}.status IS 'it''s mine'")
        client.execute_sql(f"COMMENT ON TABLE {table} IS NULL")
    assert write_comments(loaded.pipeline) == 2
    assert comments(loaded) == before


def test_new_tables_get_theirs(loaded: World) -> None:
    assert ("items", "") not in comments(loaded)
    assert loaded.sync("items").exit_code == 0
    assert comments(loaded)["items", ""].startswith("Goods and services")


def test_a_load_without_rows_leaves_the_schema_as_it_is(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    assert world.sync("accounts").exit_code == 0
    assert world.sync("accounts").exit_code == 0  # the first one appended, and says so no more
    version = schema_version(world.pipeline)
    assert world.sync("accounts").exit_code == 0
    assert schema_version(world.pipeline) == version


def test_before_the_first_load_there_is_nothing_to_comment(make_world: MakeWorld) -> None:
    world = make_world(companies=1)
    assert schema_version(world.pipeline) == ""
    assert write_comments(world.pipeline) == 0


def test_a_database_that_refuses_is_a_note(make_world: MakeWorld, postgres: str) -> None:
    world = make_world(companies=1)
    world.pipeline = world.new_pipeline("owner", dlt.destinations.postgres(postgres))
    assert world.sync("accounts").exit_code == 0
    role, address = f"loader_{uuid4().hex}", urlsplit(postgres)
    with world.pipeline.sql_client() as client:
        table = client.make_qualified_table_name("accounts")
        client.execute_sql(f"COMMENT ON TABLE {table} IS NULL")
        client.execute_sql(f"DROP INDEX {DATASET}.{index_name('accounts')}")
        client.execute_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'none'")
        client.execute_sql(f"GRANT ALL ON DATABASE {address.path[1:]} TO {role}")
        client.execute_sql(f"CREATE SCHEMA IF NOT EXISTS {DATASET}_staging")  # a merge would
        for schema in (DATASET, f"{DATASET}_staging"):
            client.execute_sql(f"GRANT ALL ON SCHEMA {schema} TO {role}")
            client.execute_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")
    own = address._replace(netloc=f"{role}:none@{address.hostname}:{address.port}")
    world.pipeline = world.new_pipeline("loader", dlt.destinations.postgres(urlunsplit(own)))
    try:
        outcome = world.sync("accounts", "vat_codes")
        assert outcome.exit_code == 0
        assert [note.partition(" (")[0] for note in outcome.notes] == [
            "the comments of tables and columns were not written",
            "the indexes of tables were not made",
        ]
        assert world.sql("SELECT count(*) FROM vat_codes")[0][0] > 0
    finally:
        world.pipeline = world.new_pipeline("owner", dlt.destinations.postgres(postgres))
        with world.pipeline.sql_client() as client:
            client.execute_sql(f"DROP OWNED BY {role}")
            client.execute_sql(f"DROP ROLE {role}")
