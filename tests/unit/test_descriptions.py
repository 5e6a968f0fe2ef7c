"""Descriptions belong to tables and columns that exist; references fit."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import pytest
from dlt.common.schema import Schema

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.descriptions import (
    OWN,
    describe_columns,
    describe_table,
    load_descriptions,
    references_of,
)
from exact_source.catalogue.feeds import plan_feeds
from exact_source.catalogue.parameters import reason_not_read
from exact_source.engine.functions import shape_of
from exact_source.loading.tables import declare_table, table_references

catalogue = load_catalogue()
known = load_descriptions()
TABLES = sorted(known["tables"])


def type_codes(name: str) -> Mapping[str, str]:
    columns = catalogue.entities[name].columns.values()
    return {column.name: column.type_code for column in columns if column.type_code != "x"}


def test_the_core_is_described() -> None:
    assert set(catalogue.core) <= set(TABLES)
    assert {"addresses", "quotations", "receivables", "payments", "bank_entries"} <= set(TABLES)
    assert all(reason_not_read(catalogue.entities[name]) is None for name in TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_descriptions_are_of_columns_that_exist(table: str) -> None:
    for pattern in known["columns"].get(table, {}):
        columns = ["division", *type_codes(table)]
        assert any(fnmatchcase(column, pattern) for column in columns), pattern


def test_no_common_description_and_no_reference_is_idle() -> None:
    columns = {column for table in TABLES for column in type_codes(table)}
    patterns = [name for name in known["common"] if not any(fnmatchcase(c, name) for c in columns)]
    assert patterns == []
    assert known["columns"].keys() <= set(TABLES)
    common = {name for name, target in known["references"].items() if isinstance(target, str)}
    assert common <= columns
    assert known["references"].keys() - common <= set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_most_columns_are_described(table: str) -> None:
    texts = describe_columns(table, type_codes(table))
    assert len(texts) >= 0.55 * len(type_codes(table))
    for text in [describe_table(table), *texts.values()]:
        assert text
        assert text.endswith(".")
        assert "\n" not in text
        assert len(text) < 140


def test_nine_columns_in_ten_are_described() -> None:
    found = sum(len(describe_columns(table, type_codes(table))) for table in TABLES)
    assert found >= 0.9 * sum(len(type_codes(table)) for table in TABLES)


@pytest.mark.parametrize("table", sorted(catalogue.entities))
def test_references_lead_from_a_guid_to_the_key_of_a_table(table: str) -> None:
    for reference in references_of(catalogue.entities[table]):
        target = catalogue.entities[reference.table]
        key = [target.columns[f].name for f in target.key if f != "Division"]
        assert type_codes(table)[reference.column] == "g"
        assert type_codes(reference.table)[reference.key] == "g"
        assert key == [reference.key]


@pytest.mark.parametrize("table", sorted({t for t in known["references"] if t in TABLES}))
def test_references_of_one_table_are_of_columns_that_exist(table: str) -> None:
    assert known["references"][table].keys() <= type_codes(table).keys()


def test_well_known_references() -> None:
    found = {
        (table, r.column): f"{r.table}.{r.key}"
        for table in catalogue.entities
        for r in references_of(catalogue.entities[table])
    }
    assert found["cash_entry_lines", "gl_account"] == "gl_accounts.id"
    assert found["stock_position", "item_id"] == "items.id"
    assert found["sync_transaction_lines", "account"] == "accounts.id"
    assert found["transaction_lines", "account"] == "accounts.id"
    assert found["transaction_lines", "gl_account"] == "gl_accounts.id"
    assert found["transaction_lines", "item"] == "items.id"
    assert found["contacts", "account"] == "accounts.id"
    assert found["sales_invoice_lines", "invoice_id"] == "sales_invoices.invoice_id"
    assert found["accounts", "parent"] == "accounts.id"
    assert found["sales_entries", "customer"] == "accounts.id"
    assert ("divisions", "customer") not in found  # a company that is a client of the accountant
    assert len(found) >= 500


def test_a_table_of_another_grain_says_so() -> None:
    for name, entity in catalogue.entities.items():
        if entity.grain:
            assert describe_table(name) == entity.grain
    assert describe_table("units") is None
    assert describe_table("no_such_table") is None


def test_what_is_said_of_columns() -> None:
    texts = describe_columns("contacts", ["account", "account_code", "title_code", "_synced_at"])
    assert texts["account"] == "Account that the person works for."
    assert texts["account_code"] == "Code of account."
    assert "title_code" not in texts
    assert texts["_synced_at"] == OWN["_synced_at"]
    items = describe_columns("items", ["free_text_field_07", "class_03", "gl_costs_description"])
    assert items["free_text_field_07"].startswith("Free text field")
    assert items["class_03"] == "Item class, one of ten kinds."
    assert "gl_costs_description" not in items
    assert describe_columns("units", ["id"]) == {}


def test_the_schema_gets_descriptions_and_a_reference_per_table_that_is_there() -> None:
    schema = Schema("exact_online")
    entity = catalogue.entities["sales_invoices"]
    shape = shape_of(entity, plan_feeds(entity))
    for _ in range(2):  # as a second run does
        declare_table(schema, shape, "hard", {"accounts", "contacts"})

    table = schema.get_table("sales_invoices")
    assert table["description"] == "Headers of sales invoices."
    assert table["columns"]["status"]["description"] == "10 draft, 20 open, 50 processed."
    assert table["references"] == table_references(shape, {"accounts", "contacts"})
    assert {
        tuple(r["columns"]): r["referenced_table"]
        for r in table_references(shape, {"accounts", "contacts"})
    } == {
        ("division", "ordered_by"): "accounts",
        ("division", "ordered_by_contact_person"): "contacts",
    }
