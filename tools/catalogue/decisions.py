"""Decisions about Exact's endpoints that their names do not force; data for ``build.py``."""

from __future__ import annotations

# Feeds with another grain than the endpoint of the same name: entities of their own, so that
# no sum counts twice (API 4.4: headers and lines in one feed, extra lines 0 and 9999).
OTHER_GRAIN = {
    "sync/SalesInvoice/SalesInvoices": (
        "Invoice headers (LineNumber 0), lines and the extra lines 9999 in one feed."
    ),
    "sync/PurchaseOrder/PurchaseOrders": "Order headers (LineNumber 0) and lines in one feed.",
    "sync/Financial/TransactionLines": (
        "Entry headers (LineNumber 0), lines and the extra lines 9999 in one feed."
    ),
}
# Same last part, but not the same thing.
NOT_TWINS = {"sync/Payroll/BankAccounts", "read/crm/Documents"}

# A plain name where the rule (service in front when two entities share one) hides the obvious one.
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

# Mandatory filters (API 2.5 and appendix C; confidence M): the fields that satisfy the rule.
MANDATORY_FILTER = {
    "crm/Accounts": ["ID", "Code", "Created", "Modified", "Status", "Name"],
    "bulk/CRM/Accounts": ["ID", "Code", "Created", "Modified", "Status", "Name"],
    "logistics/Items": ["ID", "Code", "Created", "Modified"],
    "bulk/Logistics/Items": ["ID", "Code", "Created", "Modified"],
    "salesinvoice/SalesInvoices": [
        "InvoiceID", "Created", "DeliverTo", "Description", "Document", "InvoiceDate",
        "InvoiceNumber", "InvoiceTo", "Journal", "Modified", "OrderedBy", "OrderNumber", "Status",
        "Type", "YourRef",
    ],
    "salesorder/SalesOrders": [
        "OrderID", "ApprovalStatus", "Created", "DeliverTo", "DeliveryDate", "DeliveryStatus",
        "Description", "InvoiceStatus", "InvoiceTo", "Modified", "OrderDate", "OrderedBy",
        "OrderNumber", "Status", "YourRef",
    ],
    "financialtransaction/TransactionLines": [
        "ID", "Account", "AccountCode", "Asset", "CostCenter", "CostUnit", "Date", "Description",
        "Document", "EntryID", "EntryNumber", "FinancialPeriod", "FinancialYear", "GLAccount",
        "GLAccountCode", "InvoiceNumber", "Item", "JournalCode", "Modified", "OffsetID",
        "OrderNumber", "Project", "ProjectCode", "ShopOrder", "Status", "Subscription", "Type",
        "VATCode", "VATType", "YourRef",
    ],
    "salesinvoice/SalesInvoiceLines": [
        "ID", "CostCenter", "CostUnit", "Description", "Employee", "GLAccount", "InvoiceID", "Item",
        "LineNumber", "Pricelist", "Project", "SalesOrder", "SalesOrderLine", "Subscription",
        "VATCode",
    ],
    "salesorder/SalesOrderLines": [
        "ID", "CostCenter", "CostUnit", "DeliveryDate", "Description", "Item", "ItemVersion",
        "LineNumber", "OrderID", "OrderNumber", "Pricelist", "Project", "ShopOrder",
        "UseDropShipment", "VATCode",
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
    "CRM/Contacts", "Financial/GLClassifications", "Inventory/ItemStorageLocations",
    "Inventory/ItemWarehouses", "Inventory/SerialBatchNumbers", "Inventory/StockPositions",
    "Inventory/StockSerialBatchNumbers", "Inventory/StorageLocationStockPositions",
    "Logistics/Items", "Logistics/PurchaseItemPrices", "Logistics/SalesItemPrices",
    "Logistics/SupplierItem", "Manufacturing/BillOfMaterialMaterials",
    "Manufacturing/BillOfMaterialVersions", "Manufacturing/MaterialIssues",
    "Manufacturing/ShopOrderMaterialPlans", "Manufacturing/ShopOrderPurchasePlanning",
    "Manufacturing/ShopOrderRoutingStepPlans", "Manufacturing/ShopOrderSubOrders",
    "Manufacturing/ShopOrders", "PurchaseOrder/PurchaseOrders",
    "Sales/SalesPriceListVolumeDiscounts",
}  # fmt: skip

# SyncTimestamp knows these (API 4.3); other sync feeds get a start date by dropping older rows.
SYNC_TIMESTAMP = {
    "QuotationHeaders", "QuotationLines", "TransactionLines", "ItemStorageLocations", "ShopOrders",
    "ShopOrderMaterialPlans", "ShopOrderRoutingStepPlans", "ShopOrderPurchasePlanning",
    "ShopOrderSubOrders", "MaterialIssues", "BillOfMaterialVersions", "BillOfMaterialMaterials",
    "PurchaseOrders", "Projects", "ProjectPlanning", "ProjectWBS", "TimeCostTransactions",
    "SalesInvoices", "GoodsDeliveries", "GoodsDeliveryLines", "SalesOrderHeaders",
    "SalesOrderLines", "Subscriptions", "SubscriptionLines",
}  # fmt: skip

# Endpoints (or their services) that only companies with a module have, as far as is documented (API 4.4, 8).
MODULES = {
    "sync/Manufacturing/": "manufacturing",
    "sync/PurchaseOrder/": "purchase orders",
    "logistics/SupplierItem": "supplier items",
}

# Tombstones (sync/Deleted) of a sync endpoint that also tell of an entity read by another feed.
TOMBSTONES_TOO = {
    "financialtransaction/TransactionLines": 1,
    "salesorder/SalesOrders": 32,
    "crm/Quotations": 34,
}

# Lists whose rows are divisions or belong to the licence: read once a run, and where they have no
# Division column the key column itself is the division.
ONCE = {"system/Divisions": "Code", "current/Me": "CurrentDivision"}

# Rows whose Division is the company that they speak of, not the company that was asked.
ANY_DIVISION = {"users/UserRolesPerDivision"}

# In the order in which they go: what is small first, so that a day that runs out leaves the most done.
CORE = [
    "divisions", "deleted", "journals", "vat_codes", "payment_conditions", "warehouses", "gl_accounts",
    "projects", "accounts", "contacts", "items", "purchase_orders", "sales_orders", "sales_invoices",
    "sales_order_lines", "sales_invoice_lines", "transaction_lines",
]  # fmt: skip
