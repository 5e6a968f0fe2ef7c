"""``exact-source schema``."""

from __future__ import annotations

import json

import pytest
import yaml
from pydbml import PyDBML

from exact_source.catalogue import load_catalogue
from tests.support.cli_fixtures import Cli


def test_yaml_has_a_table_per_entity_with_types_and_keys(cli: Cli) -> None:
    result = cli("schema", "--entities=accounts,journals")

    assert result.code == 0
    tables = yaml.safe_load(result.out)["tables"]
    assert {t for t in tables if not t.startswith("_dlt")} == {"accounts", "journals"}
    columns = tables["accounts"]["columns"]
    assert columns["id"]["data_type"] == "text"
    assert columns["timestamp"]["data_type"] == "bigint"
    assert [n for n, c in columns.items() if c.get("primary_key")] == ["division", "id"]
    assert cli.world.box.requests == []


def test_the_tables_are_those_that_a_sync_makes(cli: Cli) -> None:
    cli.world.sync("accounts", "sales_invoice_lines")
    made = cli.world.pipeline.default_schema.tables

    shown = cli("schema", "--entities=accounts,sales_invoice_lines", "--json").json["tables"]

    for name in ("accounts", "sales_invoice_lines"):
        columns = made[name]["columns"]
        loaded = {n: c.get("data_type") for n, c in columns.items() if not n.startswith("_dlt")}
        assert {n: c["data_type"] for n, c in shown[name]["columns"].items()} == loaded


def test_the_core_set_is_the_default(cli: Cli) -> None:
    tables = json.loads(cli("schema", "--json").out)["tables"]

    assert {t for t in tables if not t.startswith("_dlt")} == set(load_catalogue().core)


def test_mermaid_draws_the_tables(cli: Cli) -> None:
    result = cli("schema", "--entities=accounts,journals", "--format=mermaid")

    assert result.code == 0
    assert result.out.startswith("erDiagram")
    assert "bigint division PK" in result.out
    assert "_dlt_loads" not in result.out


def test_dbml_is_read_by_its_own_parser(cli: Cli) -> None:
    result = cli("schema", "--entities=accounts,journals", "--format=dbml")

    tables = {table.name: table for table in PyDBML(result.out).tables}
    assert result.code == 0
    assert set(tables) == {"accounts", "journals"}
    columns = {column.name: column for column in tables["accounts"].columns}
    assert (columns["timestamp"].type, columns["name"].type) == ("bigint", "text")
    assert {name for name, column in columns.items() if column.pk} == {"division", "id"}


@pytest.mark.parametrize("option", ["--entities=nope", "--format=svg", "--deletes=sometimes"])
def test_a_wrong_option_is_refused(cli: Cli, option: str) -> None:
    result = cli("schema", option)

    assert (result.code, result.out) == (2, "")
    assert "Value error" not in result.err
