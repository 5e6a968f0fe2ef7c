"""Collections of a row, such as its lines or bank accounts (``$expand``, ``__deferred``, API 3.1).

The names are those of the reference. The sandbox has no rows for some collections: they are deferred like
the others, and empty.
"""

from __future__ import annotations

from typing import NamedTuple

from ..data.catalogue import Endpoint


class Collection(NamedTuple):
    """A navigation property.

    Attributes:
        entity: Entity of its rows; empty if the sandbox has no rows for it.
        foreign_key: Column of that entity that names the owner.
    """

    name: str
    entity: str = ""
    foreign_key: str = ""

    @property
    def is_owned(self) -> bool:
        """Whether its rows are deleted with their owner, as lines of a document are."""
        return self.name.endswith("Lines") and self.foreign_key not in {"", "ShopOrder"}


SERIALS_AND_BATCHES = (Collection("BatchNumbers"), Collection("SerialNumbers"))
ATTACHMENTS = (Collection("Attachments", "request_attachments", "Request"),)
NOTES = (Collection("Notes"),)


NAVIGATION: dict[str, tuple[Collection, ...]] = {
    "absence_registrations": (
        Collection(
            "AbsenceRegistrationTransactions",
            "absence_registration_transactions",
            "AbsenceRegistration",
        ),
    ),
    "account_documents": (Collection("Attachments"),),
    "accounts": (Collection("BankAccounts", "crm_bank_accounts", "Account"),),
    "assembly_bill_of_material_header": (Collection("AssemblyBillOfMaterialMaterials"),),
    "assembly_orders": (Collection("PartItems"),),
    "assets": (Collection("CommercialBuildingValues", "commercial_building_values", "Asset"),),
    "batch_numbers": (Collection("StorageLocations"), Collection("Warehouses")),
    "bank_entries": (Collection("BankEntryLines", "bank_entry_lines", "EntryID"),),
    "cash_entries": (Collection("CashEntryLines", "cash_entry_lines", "EntryID"),),
    "communication_notes": ATTACHMENTS,
    "complaints": ATTACHMENTS,
    "crm_account_documents": (Collection("Attachments"),),
    "drop_shipment_lines": SERIALS_AND_BATCHES,
    "drop_shipments": (Collection("DropShipmentLines", "drop_shipment_lines", "EntryID"),),
    "events": ATTACHMENTS,
    "expenses": (Collection("ExpenseLines"), Collection("Waypoints")),
    "general_journal_entries": (
        Collection("GeneralJournalEntryLines", "general_journal_entry_lines", "EntryID"),
    ),
    "gl_accounts": (
        Collection("DeductibilityPercentages", "deductibility_percentages", "GLAccount"),
    ),
    "goods_delivery_lines": SERIALS_AND_BATCHES,
    "goods_deliveries": (Collection("GoodsDeliveryLines", "goods_delivery_lines", "EntryID"),),
    "goods_receipt_lines": SERIALS_AND_BATCHES,
    "goods_receipts": (Collection("GoodsReceiptLines", "goods_receipt_lines", "GoodsReceiptID"),),
    "hrm_divisions": tuple(Collection(f"Class_0{number}") for number in range(1, 6)),
    "item_assortment": (Collection("Properties"),),
    "logistics_reason_codes": (Collection("Types", "reason_codes_link_types", "Reason"),),
    "material_reversals": SERIALS_AND_BATCHES,
    "opportunity_documents": (Collection("Attachments"),),
    "payables_list": NOTES,
    "payables_list_by_account": NOTES,
    "payables_list_by_account_and_age_group": NOTES,
    "payables_list_by_age_group": NOTES,
    "planned_sales_return_lines": SERIALS_AND_BATCHES,
    "planned_sales_returns": (
        Collection("PlannedSalesReturnLines", "planned_sales_return_lines", "PlannedSalesReturnID"),
    ),
    "projects": (
        Collection("BudgetedHoursPerHourType", "project_hour_budgets", "Project"),
        Collection("InvoiceTerms", "invoice_terms", "Project"),
        Collection("ProjectRestrictionEmployees", "project_restriction_employees", "Project"),
        Collection("ProjectRestrictionItems", "project_restriction_items", "Project"),
        Collection("ProjectRestrictionRebillings", "project_restriction_rebillings", "Project"),
    ),
    "purchase_entries": (Collection("PurchaseEntryLines", "purchase_entry_lines", "EntryID"),),
    "purchase_invoices": (
        Collection("PurchaseInvoiceLines", "purchase_invoice_lines", "InvoiceID"),
    ),
    "purchase_order_lines": (
        Collection("ShopOrderMaterialPlans"),
        Collection("ShopOrderRoutingStepPlans"),
    ),
    "purchase_orders": (
        Collection("PurchaseOrderLines", "purchase_order_lines", "PurchaseOrderID"),
    ),
    "purchase_return_lines": SERIALS_AND_BATCHES,
    "purchase_returns": (Collection("PurchaseReturnLines", "purchase_return_lines", "EntryID"),),
    "quotations": (
        Collection("QuotationLines", "quotation_lines", "QuotationID"),
        Collection("QuotationOrderChargeLines", "quotation_order_charge_lines", "QuotationID"),
    ),
    "receivables_list": NOTES,
    "receivables_list_by_account": NOTES,
    "receivables_list_by_account_and_age_group": NOTES,
    "receivables_list_by_age_group": NOTES,
    "sales_entries": (Collection("SalesEntryLines", "sales_entry_lines", "EntryID"),),
    "sales_invoices": (
        Collection("SalesInvoiceLines", "sales_invoice_lines", "InvoiceID"),
        Collection("SalesInvoiceOrderChargeLines", "sales_invoice_order_charge_lines", "InvoiceID"),
    ),
    "sales_orders": (
        Collection("SalesOrderLines", "sales_order_lines", "OrderID"),
        Collection("SalesOrderOrderChargeLines", "sales_order_order_charge_lines", "OrderID"),
    ),
    "schedules": (Collection("ScheduleEntries"),),
    "service_requests": ATTACHMENTS,
    "shop_order_material_plan_details": (Collection("StockLocations"),),
    "shop_order_routing_step_plans": (
        Collection("TimeTransactions", "manufacturing_time_transactions", "RoutingStepPlan"),
    ),
    "shop_orders": (
        Collection("SalesOrderLines", "sales_order_lines", "ShopOrder"),
        Collection("ShopOrderMaterialPlans", "shop_order_material_plans", "ShopOrder"),
        Collection("ShopOrderRoutingStepPlans", "shop_order_routing_step_plans", "ShopOrder"),
    ),
    "stock_count_lines": (
        Collection("BatchNumbers", "stock_batch_numbers", "StockCountLine"),
        Collection("SerialNumbers", "stock_serial_numbers", "StockCountLine"),
    ),
    "stock_counts": (Collection("StockCountLines", "stock_count_lines", "StockCountID"),),
    "subscriptions": (
        Collection("SubscriptionLines", "subscription_lines", "EntryID"),
        Collection(
            "SubscriptionRestrictionEmployees", "subscription_restriction_employees", "Subscription"
        ),
        Collection(
            "SubscriptionRestrictionItems", "subscription_restriction_items", "Subscription"
        ),
    ),
    "tasks": ATTACHMENTS,
    "vat_codes": (Collection("VATPercentages", "vat_percentages", "VATCodeID"),),
    "warehouse_transfer_lines": (
        Collection("BatchNumbers", "stock_batch_numbers", "WarehouseTransferLine"),
        Collection("SerialNumbers", "stock_serial_numbers", "WarehouseTransferLine"),
    ),
    "warehouse_transfers": (
        Collection("WarehouseTransferLines", "warehouse_transfer_lines", "TransferID"),
    ),
}


# Sync feeds whose rows have collections (reference of 2025); the others have columns only.
SYNC_FEEDS = frozenset(
    {"sync/CRM/Accounts", "sync/HRM/AbsenceRegistrations", "sync/SalesOrder/GoodsDeliveryLines"}
)


def collections_of(endpoint: Endpoint) -> tuple[Collection, ...]:
    """The collections of an endpoint's rows."""
    if endpoint.kind == "sync" and endpoint.path not in SYNC_FEEDS:
        return ()
    return NAVIGATION.get(endpoint.entity, ())


def collection_of(endpoint: Endpoint, name: str | None) -> Collection | None:
    """One of the collections of an endpoint, by its name."""
    return next((c for c in collections_of(endpoint) if c.name == name), None)


# Properties that refer to one row; they were null in a recorded reply.
REFERENCES = {
    entity: tuple(f"Class_0{number}" for number in range(1, 6))
    for entity in ("divisions", "all_divisions", "get_most_recently_used_divisions")
}


def references_of(endpoint: Endpoint) -> tuple[str, ...]:
    """The properties of an endpoint that refer to one row."""
    return REFERENCES.get(endpoint.entity, ())
