"""The type name of the rows of an endpoint in ``__metadata`` and ``$metadata`` (API 12.8).

The names come from recorded replies and from ``$metadata`` documents of the live service that
``alfa1-group/ExactOnline`` publishes (``resources/edmx``, 2025). Types of bulk feeds and of services
without such a document follow the same rules, which is a guess.
"""

from __future__ import annotations

ROOT = "Exact.Web.Api.Models"
# Types of the first years have no namespace of their own: whole services, and single sets.
PLAIN_SERVICES = frozenset(
    {"budget", "documents", "purchaseentry", "sales", "salesentry", "salesinvoice", "subscription"}
    | {"users", "vat"}
)
PLAIN = frozenset(
    {
        "assets/Assets", "assets/CommercialBuildingValues", "assets/DepreciationMethods",
        "cashflow/DirectDebitMandates", "cashflow/PaymentConditions",
        "crm/AccountClasses", "crm/AccountClassificationNames", "crm/AccountClassifications",
        "crm/Accounts", "crm/BankAccounts", "crm/Contacts", "crm/Opportunities",
        "financial/DeductibilityPercentages", "financial/ExchangeRates", "financial/FinancialPeriods",
        "financial/GLAccountClassificationMappings", "financial/GLAccounts",
        "financial/GLClassifications", "financial/GLSchemes", "financial/Journals",
        "hrm/Costcenters", "hrm/Costunits", "hrm/Divisions", "inventory/Warehouses",
        "logistics/ItemGroups", "logistics/ItemVersions", "logistics/Items", "logistics/Units",
        "payroll/Employees", "project/CostTransactions", "project/TimeTransactions",
        "salesorder/SalesOrderLines", "salesorder/SalesOrderOrderChargeLines",
        "salesorder/SalesOrders",
    }
)  # fmt: skip
# Sets whose type is not the singular of their name.
IRREGULAR = {
    "assets/CommercialBuildingValues": "CommercialBuildingValues",
    "financial/DeductibilityPercentages": "GLAccountPercentages",
    "financial/GLAccountClassificationMappings": "GLTaxonomyMapping",
    "general/Layouts": "GeneralLayout",
    "inventory/AssemblyBillOfMaterialMaterials": "AssemblyBillOfMaterialMaterials",
    "logistics/Incoterms": "Incoterms",
    "logistics/ReasonCodes": "ReasonCodes",
    "manufacturing/ManufacturingSettings": "ManufacturingSettings",
    "manufacturing/TimeTransactions": "ManufacturingTimeTransaction",
    "project/InvoiceTerms": "ProjectTerm",
    "purchaseorder/PurchaseReturnLines": "PurchaseReturnLines",
    "subscription/SubscriptionLineTypes": "SubscriptionChargeType",
    "sync/Deleted": "DeletedEntity",
    "users/UserRolesPerDivision": "UserRolePerDivision",
}
NAMESPACES = {
    "bulk": "Bulk",
    "crm": "CRM",
    "current": "System",
    "customfield": "CustomField",
    "expensemanagement": "ExpenseManagement",
    "financialtransaction": "Financial",
    "generaljournalentry": "Financial",
    "hrm": "HRM",
    "openingbalance": "OpeningBalance",
    "purchaseorder": "PurchaseOrder",
    "salesorder": "SalesOrders",
    "sync": "Sync",
}


def type_name(path: str) -> str:
    """The full type name of the rows of an endpoint, such as ``Exact.Web.Api.Models.CRM.Address``."""
    service, _, name = path.removeprefix("beta/").rpartition("/")
    kind, _, rest = service.partition("/")
    short = IRREGULAR.get(path, name if kind == "read" else singular(name))
    if service in PLAIN_SERVICES or path in PLAIN:
        return f"{ROOT}.{short}"
    if kind == "read":  # a function; seen in read/payroll
        return f"{ROOT}.{namespace(rest)}.{short}"
    if path == "sync/Deleted":
        return f"{ROOT}.Sync.Deleted.{short}"
    return f"{ROOT}.{namespace(service)}.{short}{'Sync' if kind == 'sync' else ''}"


def namespace(service: str) -> str:
    """The namespace of a service, such as ``SalesOrders`` for ``salesorder``."""
    return ".".join(
        NAMESPACES.get(part, part[:1].upper() + part[1:]) for part in service.split("/")
    )


def singular(name: str) -> str:
    """The singular of a set's name: ``Entries`` gives ``Entry``, ``Addresses`` gives ``Address``."""
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    if name.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name
