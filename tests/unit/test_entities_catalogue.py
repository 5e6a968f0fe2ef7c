"""The shipped catalogue says what it should, and loads cheaply."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention

from exact_source.catalogue import load_catalogue, snake
from exact_source.catalogue.feeds import deletes_of, plan_feeds
from tools.catalogue.additions import read_additions, with_additions
from tools.catalogue.build import build
from tools.catalogue.decisions import EVIDENCE

TYPE_CODES = set("gsfmihyltbx")
FULL = Path(__file__).parents[2] / "../shared/catalog/catalog.json"

catalogue = load_catalogue()


@pytest.fixture(scope="module")
def full() -> Any:
    if not FULL.exists():
        pytest.skip("the full catalogue is not here")
    return json.loads(FULL.read_text(encoding="utf-8"))


def test_column_names_are_the_ones_dlt_gives() -> None:
    dlt_names = NamingConvention()
    fields = {f for e in catalogue.entities.values() for f in e.columns}
    assert len(fields) > 1800
    assert [f for f in fields if snake(f) != dlt_names.normalize_identifier(f)] == []
    names = list(catalogue.entities)
    assert [n for n in names if n != dlt_names.normalize_identifier(n)] == []


def test_fields_of_an_entity_keep_columns_of_their_own() -> None:
    for entity in catalogue.entities.values():
        names = Counter(column.name for column in entity.columns.values())
        ours = {"_extra", "created_utc", "modified_utc", "_deleted_at", "_dlt_id", "_dlt_load_id"}
        assert [name for name, times in names.items() if times > 1] == []
        assert names.keys() & ours == set()
        assert "division" not in names or "Division" in entity.columns


def test_entities_are_sound() -> None:
    for entity in catalogue.entities.values():
        columns = entity.columns
        assert {column.type_code for column in columns.values()} <= TYPE_CODES
        assert set(entity.key) <= columns.keys()
        assert entity.division_from is None or entity.division_from in columns
        assert not set(entity.navigation) & columns.keys()
        if "Division" in columns:
            assert columns["Division"].type_code == "i"
        assert entity.feeds
        assert list(columns) == [
            f for f in columns if any(f in x.columns for x in entity.feeds.values())
        ]


def test_feeds_are_sound() -> None:
    for entity in catalogue.entities.values():
        for kind, feed in entity.feeds.items():
            assert feed.kind == kind
            assert feed.path.startswith(f"{kind}/") == (kind in {"sync", "bulk"})
            assert feed.page_size in {60, 1000}
            assert feed.cursor in {None, "Modified", "Timestamp"}
            assert feed.cursor is None or feed.cursor in feed.columns
            assert feed.cursor == "Timestamp" or kind != "sync"
            assert set(entity.key) <= set(feed.columns)
            assert set(feed.filterable or ()) <= set(feed.columns)
            assert set(feed.mandatory_filter) <= set(feed.columns)
            assert all(type_code in TYPE_CODES for type_code, _ in feed.parameters.values())


def test_an_entity_without_key_is_a_function() -> None:
    keyless = [e for e in catalogue.entities.values() if not e.key]
    assert {kind for e in keyless for kind in e.feeds} == {"function"}


def test_every_endpoint_is_read_once_or_has_a_reason() -> None:
    paths = Counter(f.path for e in catalogue.entities.values() for f in e.feeds.values())
    assert max(paths.values()) == 1
    assert not paths.keys() & catalogue.unread.keys()
    assert len(paths) == 415
    assert all(catalogue.unread.values())


def test_core_entities_exist() -> None:
    assert len(set(catalogue.core)) == len(catalogue.core) == 17
    assert all(name in catalogue.entities for name in catalogue.core)


def test_lookups_of_unknown_names_fail() -> None:
    assert "nothing" not in catalogue.entities
    with pytest.raises(KeyError):
        catalogue.entities["nothing"]


def test_an_entity_is_made_once() -> None:
    assert catalogue.entities["accounts"] is catalogue.entities["accounts"]
    assert load_catalogue() is load_catalogue()


def test_well_known_facts() -> None:
    lines = catalogue.entities["transaction_lines"]
    assert lines.key == ("ID",)
    assert lines.deleted_code == 1
    assert set(lines.feeds) == {"regular", "bulk"}
    assert lines.feeds["bulk"].mandatory_select
    assert lines.columns["AmountDC"].type_code == "m"
    assert lines.columns["GLAccountCode"].name == "gl_account_code"
    sync = catalogue.entities["sync_transaction_lines"].feeds["sync"]
    assert (sync.cursor, sync.page_size, sync.start_date) == ("Timestamp", 1000, True)
    assert sync.filterable == ("Timestamp",)
    assert catalogue.entities["divisions"].division_from == "Code"
    assert catalogue.entities["me"].feeds["regular"].no_division
    accounts = catalogue.entities["accounts"]
    assert "BankAccounts" in accounts.navigation
    assert "Timestamp" not in accounts.feeds["regular"].columns
    assert catalogue.entities["user_roles_per_division"].any_division
    assert catalogue.entities["shop_orders"].module == "Manufacturing"
    assert (accounts.scope, accounts.module) == ("Crm accounts", None)
    assert catalogue.entities["user_has_rights"].feeds["function"].parameters == {
        "endpoint": ("s", True),
        "action": ("s", True),
    }


# -- additions of 2026 (API 12.11, 12.12) -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "plain"),
    [
        ("sync_sales_entries", 92, "sales_entries"),
        ("sync_purchase_entries", 87, "purchase_entries"),
    ],
)
def test_feeds_of_headers_and_lines_are_entities_of_their_own(
    name: str, fields: int, plain: str
) -> None:
    entity = catalogue.entities[name]
    feed = entity.feeds["sync"]
    assert set(catalogue.entities[plain].feeds) == {"regular"}
    assert (len(feed.columns), entity.key, feed.cursor) == (fields, ("ID",), "Timestamp")
    assert {"EntryID", "LineNumber", "Modified"} <= set(feed.columns)
    assert entity.grain
    # No code in sync/Deleted is known, so their keys are compared.
    assert entity.deleted_code is None
    assert deletes_of(entity, plan_feeds(entity).column) == "keys"


def test_new_endpoints_are_entities() -> None:
    cursors = {
        name: plan_feeds(catalogue.entities[name]).column
        for name in (
            "annual_statements", "bank_statement_uploads", "client_groups", "client_main_groups", "fiscals",
        )
    }  # fmt: skip
    assert cursors == {
        "annual_statements": "Modified",
        "bank_statement_uploads": "Modified",
        "client_groups": None,
        "client_main_groups": None,
        "fiscals": "Modified",
    }
    for path in ("read/salesinvoice/InvoiceSalesOrderResult", "documents/GetSharePointDocumentUrl"):
        assert path in catalogue.unread


@pytest.mark.parametrize(
    ("path", "type_codes"),
    [
        ("crm/Accounts", {"ClientGroup": "g", "ClientGroupDescription": "s"}),
        ("salesinvoice/SalesInvoices", {"InvoiceStatusInformation": "s"}),
        ("salesentry/SalesEntries", {"InvoiceStatusInformation": "s"}),
        ("salesorder/SalesOrders", {"ServicePoint": "s"}),
        ("cashflow/Payments", {"PaymentDateProposal": "t"}),
        (
            "documents/Documents",
            {
                "CostcenterCode": "s",
                "CostcenterDescription": "s",
                "CostunitCode": "s",
                "CostunitDescription": "s",
                "MarkAsPaid": "b",
                "IsMarkAsPaidEditable": "b",
            },
        ),
    ],
)
def test_new_fields_are_columns_of_the_feed_that_has_them(
    path: str, type_codes: dict[str, str]
) -> None:
    ((entity, feed),) = [
        (e, f) for e in catalogue.entities.values() for f in e.feeds.values() if f.path == path
    ]
    for field, type_code in type_codes.items():
        assert field in feed.columns
        assert entity.columns[field].type_code == type_code
        others = [f for f in entity.feeds.values() if f is not feed]
        assert not any(field in other.columns for other in others)


def test_every_addition_names_its_source() -> None:
    additions = read_additions()
    assert all(a["source"] for kind in ("endpoints", "properties") for a in additions[kind])
    assert {a["evidence"] for a in additions["functions"]} <= EVIDENCE.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("endpoints", [{"id": "crm/Accounts", "not_read": "known"}]),
        ("properties", [{"endpoint": "crm/Accounts", "add": {"ID": "Edm.Guid"}}]),
    ],
)
def test_an_addition_that_the_full_catalogue_has_is_refused(name: str, value: Any) -> None:
    record = {"id": "crm/Accounts", "properties": [{"name": "ID"}]}
    additions = {"endpoints": [], "properties": [], "functions": []} | {name: value}
    with pytest.raises(SystemExit):
        with_additions([record], additions)


# -- functions (API 8.2, 12.10) -----------------------------------------------------------------


def test_extra_fields_of_items_are_asked_for_by_date_and_not_by_item() -> None:
    entity = catalogue.entities["item_extra_field"]
    feed = entity.feeds["function"]
    assert entity.key == ("ItemID", "Number")
    assert (feed.parameters, feed.fixed) == ({}, {"modified": ("t", "1970-01-01T00:00:00")})
    assert feed.empty_refusal == "Invalid: ItemID or Modified."


def test_every_function_says_where_its_parameters_are_known_from() -> None:
    for entity in catalogue.entities.values():
        for kind, feed in entity.feeds.items():
            assert bool(feed.evidence) == (kind == "function")
            assert set(feed.evidence) <= EVIDENCE.keys()
            if feed.parameters or feed.fixed:
                assert set(feed.evidence) & {"reference", "connector", "client", "forum"}
            assert feed.unknown_parameters == (feed.evidence == ("none",))


def test_all_427_current_endpoints_are_accounted_for(full: Any) -> None:
    current = {r["id"] for r in full if r["status"] == "current"}
    read = {f.path for e in catalogue.entities.values() for f in e.feeds.values()}
    assert len(current) == 427
    assert current - read - catalogue.unread.keys() == set()
    added = {new["id"] for new in read_additions()["endpoints"]}
    assert read | catalogue.unread.keys() == {r["id"] for r in full} | added
    assert added.isdisjoint(r["id"] for r in full)
    refused = {catalogue.unread[path] for path in current - read}
    assert refused == {"cannot be read (no GET)"}


def test_every_scalar_property_of_a_read_endpoint_is_a_column_of_its_feed(full: Any) -> None:
    feeds = {f.path: f for e in catalogue.entities.values() for f in e.feeds.values()}
    for record in with_additions(full, read_additions()):
        if record["id"] in feeds:
            scalars = {p["name"] for p in record["properties"] if p["kind"] == "scalar"}
            assert scalars == set(feeds[record["id"]].columns), record["id"]


def test_the_json_is_what_the_builder_makes(full: Any) -> None:
    shipped = Path(sys.modules["exact_source.catalogue.catalogue"].__file__ or "")
    assert json.loads(shipped.with_name("catalogue.json").read_text("utf-8")) == build(full)


def test_loading_imports_neither_dlt_nor_pyarrow() -> None:
    code = (
        "import sys\n"
        "from exact_source.catalogue import load_catalogue\n"
        "list(load_catalogue().entities.values())\n"
        "sys.exit(bool({'dlt', 'pyarrow'} & sys.modules.keys()))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
