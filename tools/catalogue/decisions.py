"""Decisions about endpoints that do not follow from their names; data for ``build.py``."""

from __future__ import annotations

# Feeds with another grain than the endpoint of the same name. They are entities of their own, so that no sum
# counts an amount twice (API 4.4, 12.11: headers and lines in one feed, extra lines 9999).
OTHER_GRAIN = {
    "sync/SalesInvoice/SalesInvoices": (
        "Invoice headers (LineNumber 0), lines and the extra lines 9999 in one feed."
    ),
    "sync/PurchaseOrder/PurchaseOrders": "Order headers (LineNumber 0) and lines in one feed.",
    "sync/Financial/TransactionLines": (
        "Entry headers (LineNumber 0), lines and the extra lines 9999 in one feed."
    ),
    "sync/Financial/SalesEntries": "Sales entry headers (LineNumber 0) and lines in one feed.",
    "sync/Financial/PurchaseEntries": (
        "Purchase entry headers (LineNumber 0) and lines in one feed."
    ),
}
# Endpoints whose last parts are equal although their rows differ.
NOT_TWINS = {"sync/Payroll/BankAccounts", "read/crm/Documents"}

# Names that the rule in ``name_of`` would make longer than necessary, or not clear enough.
NAMES = {
    "system/Divisions": "divisions",
    "current/Me": "me",
    "sync/Deleted": "deleted",
    "sync/Financial/TransactionLines": "sync_transaction_lines",
    "sync/Financial/SalesEntries": "sync_sales_entries",
    "sync/Financial/PurchaseEntries": "sync_purchase_entries",
    "sync/SalesInvoice/SalesInvoices": "sync_sales_invoices",
    "sync/PurchaseOrder/PurchaseOrders": "sync_purchase_orders",
    "read/crm/Documents": "crm_account_documents",
    "read/sync/Sync/SyncTimestamp": "sync_timestamp",
    "openingbalance/CurrentYear/AfterEntry": "opening_balance_current_year_after_entry",
    "openingbalance/CurrentYear/Processed": "opening_balance_current_year_processed",
    "openingbalance/PreviousYear/AfterEntry": "opening_balance_previous_year_after_entry",
    "openingbalance/PreviousYear/Processed": "opening_balance_previous_year_processed",
}

# Fields of which ``$filter`` must name one (API 2.5 and appendix C; confidence M).
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

# Sync endpoints that refuse ``$select=*`` (API appendix A, starred).
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

# Sync endpoints that SyncTimestamp supports (API 4.3).
SYNC_TIMESTAMP = {
    "QuotationHeaders", "QuotationLines", "TransactionLines", "ItemStorageLocations", "ShopOrders",
    "ShopOrderMaterialPlans", "ShopOrderRoutingStepPlans", "ShopOrderPurchasePlanning",
    "ShopOrderSubOrders", "MaterialIssues", "BillOfMaterialVersions", "BillOfMaterialMaterials",
    "PurchaseOrders", "Projects", "ProjectPlanning", "ProjectWBS", "TimeCostTransactions",
    "SalesInvoices", "GoodsDeliveries", "GoodsDeliveryLines", "SalesOrderHeaders",
    "SalesOrderLines", "Subscriptions", "SubscriptionLines",
}  # fmt: skip

_SERVICES_PLUS = "Professional Services (Plus, Professional, Premium)"
_PAYROLL = f"Payroll or {_SERVICES_PLUS}"
_STAFF = "Payroll or Professional Services"
_NOT_ACCOUNTING = "a package beyond Accounting (refused without one in Belgium, 2026)"
# Beginning of a path -> the packages of Exact Online that have the endpoint. Sources: the reference (copies
# of July 2025 and April 2026; API 4.4, 5), and for the last four a company that was refused (API 12.16).
MODULES = {
    "accountancy/": "a practice management company",
    "sync/Manufacturing/": "Manufacturing",
    "sync/PurchaseOrder/": f"Manufacturing, Wholesale & Distribution or {_SERVICES_PLUS}",
    "sync/Inventory/ItemWarehouses": (
        "Manufacturing or Wholesale & Distribution (Plus, Professional, Premium)"
    ),
    "hrm/AbsenceRegistration": _PAYROLL,
    "hrm/Leave": _PAYROLL,
    "hrm/Departments": _STAFF,
    "hrm/JobGroups": _STAFF,
    "hrm/JobTitles": _STAFF,
    "hrm/Schedules": _STAFF,
    "payroll/ActiveEmployments": _PAYROLL,
    "payroll/Employees": f"Payroll, Time & Billing or {_SERVICES_PLUS}",
    "payroll/EmploymentContract": _PAYROLL,
    "payroll/EmploymentEndReasons": _PAYROLL,
    "payroll/EmploymentOrganizations": _PAYROLL,
    "payroll/EmploymentSalaries": _PAYROLL,
    "payroll/EmploymentTaxAuthoritiesGeneral": "Payroll",
    "payroll/Employments": _PAYROLL,
    "payroll/TaxEmploymentEndFlexCodes": _PAYROLL,
    "payroll/VariableMutations": "Payroll",
    "read/payroll/": _PAYROLL,
    "beta/payroll/PayrollComponents": _PAYROLL,
    "logistics/SupplierItem": "supplier items",
    "logistics/CustomerItems": _NOT_ACCOUNTING,
    "purchase/": _NOT_ACCOUNTING,
    "purchaseorder/": _NOT_ACCOUNTING,
    "salesorder/": _NOT_ACCOUNTING,
}

# Where the parameters of a function are known from.
EVIDENCE = {
    "reference": (
        "Exact's reference: the function URI on the page of the endpoint, as picqer/exact-php-client "
        "copied it until January 2022, or a later copy of the page"
    ),
    "list": "Exact's reference lists the endpoint without a function URI, so it takes no parameters",
    "connector": "Microsoft's Power Platform connector for Time & Billing (2023)",
    "client": (
        "other clients that call it: riccardo92/exactpy, hotgluexyz/tap-exact, the data model of Invantive"
    ),
    "forum": (
        "forums.invantive.com/t/3028 and /t/1027, and production code of two clients: `modified` must be "
        "sent, `itemId` may be"
    ),
    "siblings": "no source; the functions of the same family show theirs, and this one shows none",
    "none": "no source",
}
# The source named in the full catalogue -> evidence.
PARAMETER_SOURCES = {
    "picqer_history": "reference",
    "paddynatte": "reference",
    "ms_connector": "connector",
    "exactpy": "client",
    "hotglue": "client",
    "report": "list",
    "none": "connector",
    "none (inferred)": "siblings",
    "unknown": "none",
}
# Functions whose parameters a second source confirms -> that evidence.
CONFIRMED = {
    "read/logistics/StockPosition": "reference",
    "read/logistics/AccountItems": "client",
    "read/sync/Sync/SyncTimestamp": "client",
    **dict.fromkeys(
        (
            "read/project/HourEntryActivitiesByProject",
            "read/project/HourEntryRecentAccountsByProject",
            "read/project/HourEntryRecentHourTypesByProject",
            "read/project/HoursByDate",
            "read/project/HoursById",
            "read/project/HourTypesByDate",
            "read/project/RecentCostsByNumberOfWeeks",
            "read/project/TimeAndBillingAccountDetailsByID",
            "read/project/TimeAndBillingEntryAccountsByDate",
            "read/project/TimeAndBillingEntryProjectsByDate",
            "read/project/TimeAndBillingItemDetailsByID",
            "read/project/TimeAndBillingProjectDetailsByID",
        ),
        "connector",
    ),
}

# Entities whose rows a tombstone of another sync endpoint names: plain endpoint -> code in sync/Deleted.
TOMBSTONES_TOO = {
    "financialtransaction/TransactionLines": 1,
    "salesorder/SalesOrders": 32,
    "crm/Quotations": 34,
}

# Lists about divisions or the user, read once a run: endpoint -> field that holds the row's division.
ONCE = {"system/Divisions": "Code", "current/Me": "CurrentDivision"}

# Lists whose rows may name another division than the one that was asked.
ANY_DIVISION = {"users/UserRolesPerDivision"}

# The default entities, in the order of reading. Small ones come first: if the calls of a day run out, most
# entities are complete.
CORE = [
    "divisions", "deleted", "journals", "vat_codes", "payment_conditions", "warehouses", "gl_accounts",
    "projects", "accounts", "contacts", "items", "purchase_orders", "sales_orders", "sales_invoices",
    "sales_order_lines", "sales_invoice_lines", "transaction_lines",
]  # fmt: skip
