"""Makes ``catalogue.json``, the data that ships with the package, from the full API catalogue.

    python -m exact_source.entities.build PATH/TO/catalog.json

The full catalogue (462 endpoints, 11,975 properties) says what Exact documents; this script decides
how each endpoint is read: which of them are feeds of one entity, its table name, key and money columns.
Every decision that the names do not force stands in a table at the top of this file.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

Record = dict[str, Any]

# One letter a type keeps the file small. "m" is an Edm.Double that holds money (API 3.4: no Edm.Decimal exists).
TYPES = {
    "Edm.Guid": "g", "Edm.String": "s", "Edm.Double": "f", "Edm.Int32": "i", "Edm.Int16": "h", "Edm.Byte": "y",
    "Edm.Int64": "l", "Edm.DateTime": "t", "Edm.Boolean": "b", "Edm.Binary": "x",
}  # fmt: skip
MONEY = re.compile(
    r"Amount|Price|Balance|Debit|CreditLine|Turnover|Salary|Revenue|Wage|Capital|CatalogueValue|ResidualValue"
    r"|Budget$|Cost$|CostDC$|^Cost(s|Batch|Per)|BudgetedCosts?$|^Result(Current|Previous)"
)
NOT_MONEY = re.compile(r"Percentage|Factor|Rate|Ratio|Days|Hours|Quantity|Precision")

# Feeds with another grain than the endpoint of the same name: entities of their own, so that nobody's sum
# counts twice (API 4.4: headers and lines in one feed, extra lines 0 and 9999).
OTHER_GRAIN = {
    "sync/SalesInvoice/SalesInvoices": "Invoice headers (LineNumber 0), lines and the extra lines 9999 in one feed.",
    "sync/PurchaseOrder/PurchaseOrders": "Order headers (LineNumber 0) and lines in one feed.",
    "sync/Financial/TransactionLines": "Entry headers (LineNumber 0), lines and the extra lines 9999 in one feed.",
}
# Same last part, but not the same thing.
NOT_TWINS = {"sync/Payroll/BankAccounts", "read/crm/Documents"}

# A plain name where the rule (service in front when two entities share a name) would hide the obvious one.
NAMES = {
    "system/Divisions": "divisions",
    "current/Me": "me",
    "sync/Deleted": "deleted",
    "sync/Financial/TransactionLines": "sync_transaction_lines",
    "sync/SalesInvoice/SalesInvoices": "sync_sales_invoices",
    "sync/PurchaseOrder/PurchaseOrders": "sync_purchase_orders",
    "read/crm/Documents": "crm_account_documents",
    "read/sync/Sync/SyncTimestamp": "sync_timestamp",
    "openingbalance/CurrentYear/AfterEntry": "opening_balance_current_year_after_entry",
    "openingbalance/CurrentYear/Processed": "opening_balance_current_year_processed",
    "openingbalance/PreviousYear/AfterEntry": "opening_balance_previous_year_after_entry",
    "openingbalance/PreviousYear/Processed": "opening_balance_previous_year_processed",
}

# Filters that are mandatory (API 2.5 and appendix C; confidence M): the fields that satisfy the rule.
MANDATORY_FILTER = {
    "crm/Accounts": ["ID", "Code", "Created", "Modified", "Status", "Name"],
    "bulk/CRM/Accounts": ["ID", "Code", "Created", "Modified", "Status", "Name"],
    "logistics/Items": ["ID", "Code", "Created", "Modified"],
    "bulk/Logistics/Items": ["ID", "Code", "Created", "Modified"],
    "salesinvoice/SalesInvoices": [
        "InvoiceID", "Created", "DeliverTo", "Description", "Document", "InvoiceDate", "InvoiceNumber",
        "InvoiceTo", "Journal", "Modified", "OrderedBy", "OrderNumber", "Status", "Type", "YourRef",
    ],
    "salesorder/SalesOrders": [
        "OrderID", "ApprovalStatus", "Created", "DeliverTo", "DeliveryDate", "DeliveryStatus", "Description",
        "InvoiceStatus", "InvoiceTo", "Modified", "OrderDate", "OrderedBy", "OrderNumber", "Status", "YourRef",
    ],
    "financialtransaction/TransactionLines": [
        "ID", "Account", "AccountCode", "Asset", "CostCenter", "CostUnit", "Date", "Description", "Document",
        "EntryID", "EntryNumber", "FinancialPeriod", "FinancialYear", "GLAccount", "GLAccountCode",
        "InvoiceNumber", "Item", "JournalCode", "Modified", "OffsetID", "OrderNumber", "Project", "ProjectCode",
        "ShopOrder", "Status", "Subscription", "Type", "VATCode", "VATType", "YourRef",
    ],
    "salesinvoice/SalesInvoiceLines": [
        "ID", "CostCenter", "CostUnit", "Description", "Employee", "GLAccount", "InvoiceID", "Item",
        "LineNumber", "Pricelist", "Project", "SalesOrder", "SalesOrderLine", "Subscription", "VATCode",
    ],
    "salesorder/SalesOrderLines": [
        "ID", "CostCenter", "CostUnit", "DeliveryDate", "Description", "Item", "ItemVersion", "LineNumber",
        "OrderID", "OrderNumber", "Pricelist", "Project", "ShopOrder", "UseDropShipment", "VATCode",
    ],
}  # fmt: skip
for _base, _bulk in (
    ("salesinvoice/SalesInvoices", "bulk/SalesInvoice/SalesInvoices"),
    ("salesorder/SalesOrders", "bulk/SalesOrder/SalesOrders"),
    ("financialtransaction/TransactionLines", "bulk/Financial/TransactionLines"),
    ("salesinvoice/SalesInvoiceLines", "bulk/SalesInvoice/SalesInvoiceLines"),
    ("salesorder/SalesOrderLines", "bulk/SalesOrder/SalesOrderLines"),
):
    MANDATORY_FILTER[_bulk] = MANDATORY_FILTER[_base]

# $select=* is refused on these (API appendix A, the starred ones).
NO_STAR = {
    "CRM/Contacts", "Financial/GLClassifications", "Inventory/ItemStorageLocations", "Inventory/ItemWarehouses",
    "Inventory/SerialBatchNumbers", "Inventory/StockPositions", "Inventory/StockSerialBatchNumbers",
    "Inventory/StorageLocationStockPositions", "Logistics/Items", "Logistics/PurchaseItemPrices",
    "Logistics/SalesItemPrices", "Logistics/SupplierItem", "Manufacturing/BillOfMaterialMaterials",
    "Manufacturing/BillOfMaterialVersions", "Manufacturing/MaterialIssues", "Manufacturing/ShopOrderMaterialPlans",
    "Manufacturing/ShopOrderPurchasePlanning", "Manufacturing/ShopOrderRoutingStepPlans",
    "Manufacturing/ShopOrderSubOrders", "Manufacturing/ShopOrders", "PurchaseOrder/PurchaseOrders",
    "Sales/SalesPriceListVolumeDiscounts",
}  # fmt: skip

# SyncTimestamp knows these (API 4.3); other sync feeds get a start date by dropping older rows.
SYNC_TIMESTAMP = {
    "QuotationHeaders", "QuotationLines", "TransactionLines", "ItemStorageLocations", "ShopOrders",
    "ShopOrderMaterialPlans", "ShopOrderRoutingStepPlans", "ShopOrderPurchasePlanning", "ShopOrderSubOrders",
    "MaterialIssues", "BillOfMaterialVersions", "BillOfMaterialMaterials", "PurchaseOrders", "Projects",
    "ProjectPlanning", "ProjectWBS", "TimeCostTransactions", "SalesInvoices", "GoodsDeliveries",
    "GoodsDeliveryLines", "SalesOrderHeaders", "SalesOrderLines", "Subscriptions", "SubscriptionLines",
}  # fmt: skip

# Tombstones (sync/Deleted) of a sync endpoint that also tell of an entity read by another feed.
TOMBSTONES_TOO = {
    "financialtransaction/TransactionLines": 1,
    "salesorder/SalesOrders": 32,
    "crm/Quotations": 34,
}

# Lists whose rows are divisions or belong to the licence: read once a run, and where they have no
# Division column the key column itself is the division.
ONCE = {"system/Divisions": "Code", "current/Me": "CurrentDivision"}

CORE = [
    "accounts", "contacts", "items", "gl_accounts", "journals", "transaction_lines", "sales_invoices",
    "sales_invoice_lines", "sales_orders", "sales_order_lines", "purchase_orders", "vat_codes",
    "payment_conditions", "projects", "warehouses", "divisions", "deleted",
]  # fmt: skip


def snake(name: str) -> str:
    """``GLAccountCode`` -> ``gl_account_code``, as dlt's snake_case naming does it."""
    from dlt.common.normalizers.naming.snake_case import NamingConvention

    return NamingConvention().normalize_identifier(name)


def column_type(prop: Record) -> str | None:
    """The type letter of a property; ``None`` for navigation properties."""
    letter = TYPES.get(prop["edm_type"])
    if letter == "f" and MONEY.search(prop["name"]) and not NOT_MONEY.search(prop["name"]):
        return "m"
    return letter


def feed_kind(record: Record) -> str:
    """Which of ``regular bulk sync function`` an endpoint is."""
    path = record["id"]
    if path.startswith(("sync/", "bulk/")):
        return path.split("/", 1)[0]
    if record["kind"] in {"function", "report"}:
        return "function"
    return "regular"


def group(records: list[Record]) -> list[list[Record]]:
    """Endpoints whose rows are the same rows: same last part, same key, same grain; the plain one first."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(
        records, key=lambda r: ("regular", "bulk", "sync", "function").index(feed_kind(r))
    ):
        path = record["id"]
        twins = [] if path in OTHER_GRAIN or path in NOT_TWINS else twin_paths(record)
        home = next(
            (t for t in twins if t in groups and record_key(groups[t][0]) == record_key(record)),
            None,
        )
        groups.setdefault(home or path, []).append(record)
    return list(groups.values())


def twin_paths(record: Record) -> list[str]:
    """Paths of the endpoints that the full catalogue calls twins and that carry the same name."""
    last = record["id"].rsplit("/", 1)[-1]
    twins = [v["uri"] for side in ("base", "bulk") for v in record["variants"][side]]
    paths = [uri.removeprefix("/api/v1/").removeprefix("{division}/") for uri in twins]
    if feed_kind(record) == "regular":
        return []
    return [p for p in paths if p.rsplit("/", 1)[-1] == last]


def record_key(record: Record) -> list[str]:
    """The columns that identify a row within its division."""
    if feed_kind(record) == "sync":
        return [record["record_id"]] if record["record_id"] else ["Timestamp"]
    return [k["name"] for k in record["keys"]] or (
        [record["record_id"]] if record["record_id"] else []
    )


def endpoint(record: Record) -> Record:
    """What the client and the sandbox must know of one endpoint; absent means the default."""
    path, kind = record["id"], feed_kind(record)
    names = {p["name"] for p in record["properties"]}
    modified = "Modified" in names and {
        "regular": True,
        "bulk": record["modified_filter_allowed"] is not False,
    }.get(kind, False)
    out: Record = {
        "path": path,
        "page": record["page_size"] or (1000 if kind in {"sync", "bulk"} else 60),
    }
    if kind == "sync":
        out["cursor"] = "Timestamp"
    elif modified:
        out["cursor"] = "Modified"
    optional = {
        "filter": record["filter_allowed"],
        "mandatory_filter": MANDATORY_FILTER.get(path),
        "mandatory_select": record["select_mandatory"] or (kind == "bulk"),
        "no_star": kind == "sync" and path.removeprefix("sync/") in NO_STAR,
        "parameters": {
            p["name"]: [TYPES[p["edm_type"]], p["required"]] for p in record["query_parameters"]
        },
        "unknown_parameters": record["query_parameters_status"] == "unknown",
        "start_date": kind == "sync" and path.rsplit("/", 1)[-1] in SYNC_TIMESTAMP,
        "beta": record["beta"],
        "no_division": not record["division_scoped"],
    }
    return out | {name: value for name, value in optional.items() if value}


def entity(records: list[Record]) -> Record:
    """One entity with its feeds; ``columns`` is the union, a feed lists in ``without`` what it lacks."""
    base = records[0]
    columns: dict[str, str] = {}
    for record in records:
        for prop in record["properties"]:
            letter = column_type(prop)
            if letter and columns.setdefault(prop["name"], letter) == "f" and letter == "m":
                columns[prop["name"]] = "m"
    feeds = {}
    for record in records:
        has = {p["name"] for p in record["properties"]}
        feed = endpoint(record)
        without = [name for name in columns if name not in has]
        feeds[feed_kind(record)] = feed | ({"without": without} if without else {})
    code = next((r["deleted_entity_type"] for r in records if r.get("deleted_entity_type")), None)
    out: Record = {
        "service": base["id"].split("/")[1]
        if base["id"].startswith(("sync/", "bulk/", "read/"))
        else base["id"].split("/")[0],
        "key": record_key(base),
        "feeds": feeds,
        "columns": columns,
    }
    optional = {
        "deleted_code": code or TOMBSTONES_TOO.get(base["id"]),
        "grain": OTHER_GRAIN.get(base["id"]),
        "scope": base["scope"] if base["scope"] not in {None, "-"} else None,
        "division_from": ONCE.get(base["id"]),
        "deprecated": base["deprecation"] if base["deprecated"] else None,
    }
    return out | {name: value for name, value in optional.items() if value}


def name_of(records: list[Record], taken: Counter[str]) -> str:
    """Table name: the endpoint's last part, the service in front where two entities share it."""
    base = records[0]["id"]
    if base in NAMES:
        return NAMES[base]
    parts = [p for p in base.split("/") if p not in {"sync", "bulk", "read", "beta"}]
    plain = snake(parts[-1])
    return plain if taken[plain] == 1 else f"{snake(parts[0])}_{plain}"


def reason_not_read(record: Record) -> str | None:
    """Why an endpoint of the full catalogue is no resource; ``None`` if it is one."""
    if not record["readable"]:
        return "cannot be read (no GET)"
    if record["status"] == "undocumented_live_metadata":
        return "not documented by Exact; seen in live $metadata only"
    if record["status"] != "current":
        return f"no longer documented ({record.get('replaced_by') or 'no replacement named'})"
    return None


def build(records: list[Record]) -> Record:
    """The whole shipped catalogue."""
    readable = [r for r in records if reason_not_read(r) is None]
    groups = group(readable)
    taken = Counter(snake(g[0]["id"].rsplit("/", 1)[-1]) for g in groups if g[0]["id"] not in NAMES)
    taken.update({name: 1 for name in NAMES.values()})
    entities = {name_of(g, taken): entity(g) for g in groups}
    if len(entities) != len(groups):
        clash = defaultdict(list)
        for g in groups:
            clash[name_of(g, taken)].append(g[0]["id"])
        raise SystemExit(f"two entities share a name: {[v for v in clash.values() if len(v) > 1]}")
    unread = {r["id"]: reason for r in records if (reason := reason_not_read(r)) is not None}
    return {
        "core": CORE,
        "entities": dict(sorted(entities.items())),
        "unread": dict(sorted(unread.items())),
    }


def main() -> None:
    """Read the full catalogue named on the command line, write ``catalogue.json`` beside this file."""
    catalogue = build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    target = Path(__file__).with_name("catalogue.json")
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(entity_, separators=(',', ':'))}"
        for name, entity_ in catalogue["entities"].items()
    )
    target.write_text(
        f'{{"core": {json.dumps(catalogue["core"])},\n"unread": {json.dumps(catalogue["unread"])},\n"entities": {{\n{lines}\n}}}}\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
