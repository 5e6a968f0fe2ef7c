"""Collections that hang on a row: its lines, its bank accounts (``$expand``, ``__deferred``, API 3.1)."""

from __future__ import annotations

from typing import NamedTuple

from ..data.catalogue import Endpoint


class Collection(NamedTuple):
    """A navigation property: its name, the entity it holds, the column there that names the owner."""

    name: str
    entity: str
    foreign_key: str

    @property
    def is_owned(self) -> bool:
        """Whether its rows go when their owner goes: lines of a document do."""
        return self.name.endswith("Lines") and self.foreign_key != "ShopOrder"


NAVIGATION: dict[str, tuple[Collection, ...]] = {
    "absence_registrations": (
        Collection(
            "AbsenceRegistrationTransactions",
            "absence_registration_transactions",
            "AbsenceRegistration",
        ),
    ),
    "accounts": (Collection("BankAccounts", "crm_bank_accounts", "Account"),),
    "assets": (Collection("CommercialBuildingValues", "commercial_building_values", "Asset"),),
    "bank_entries": (Collection("BankEntryLines", "bank_entry_lines", "EntryID"),),
    "cash_entries": (Collection("CashEntryLines", "cash_entry_lines", "EntryID"),),
    "drop_shipments": (Collection("DropShipmentLines", "drop_shipment_lines", "EntryID"),),
    "general_journal_entries": (
        Collection("GeneralJournalEntryLines", "general_journal_entry_lines", "EntryID"),
    ),
    "gl_accounts": (
        Collection("DeductibilityPercentages", "deductibility_percentages", "GLAccount"),
    ),
    "goods_deliveries": (Collection("GoodsDeliveryLines", "goods_delivery_lines", "EntryID"),),
    "goods_receipts": (Collection("GoodsReceiptLines", "goods_receipt_lines", "GoodsReceiptID"),),
    "planned_sales_returns": (
        Collection("PlannedSalesReturnLines", "planned_sales_return_lines", "PlannedSalesReturnID"),
    ),
    "projects": (
        Collection("InvoiceTerms", "invoice_terms", "Project"),
        Collection("ProjectRestrictionEmployees", "project_restriction_employees", "Project"),
        Collection("ProjectRestrictionItems", "project_restriction_items", "Project"),
        Collection("ProjectRestrictionRebillings", "project_restriction_rebillings", "Project"),
    ),
    "purchase_entries": (Collection("PurchaseEntryLines", "purchase_entry_lines", "EntryID"),),
    "purchase_invoices": (
        Collection("PurchaseInvoiceLines", "purchase_invoice_lines", "InvoiceID"),
    ),
    "purchase_orders": (
        Collection("PurchaseOrderLines", "purchase_order_lines", "PurchaseOrderID"),
    ),
    "purchase_returns": (Collection("PurchaseReturnLines", "purchase_return_lines", "EntryID"),),
    "quotations": (
        Collection("QuotationLines", "quotation_lines", "QuotationID"),
        Collection("QuotationOrderChargeLines", "quotation_order_charge_lines", "QuotationID"),
    ),
    "sales_entries": (Collection("SalesEntryLines", "sales_entry_lines", "EntryID"),),
    "sales_invoices": (
        Collection("SalesInvoiceLines", "sales_invoice_lines", "InvoiceID"),
        Collection("SalesInvoiceOrderChargeLines", "sales_invoice_order_charge_lines", "InvoiceID"),
    ),
    "sales_orders": (
        Collection("SalesOrderLines", "sales_order_lines", "OrderID"),
        Collection("SalesOrderOrderChargeLines", "sales_order_order_charge_lines", "OrderID"),
    ),
    "shop_orders": (
        Collection("SalesOrderLines", "sales_order_lines", "ShopOrder"),
        Collection("ShopOrderMaterialPlans", "shop_order_material_plans", "ShopOrder"),
        Collection("ShopOrderRoutingStepPlans", "shop_order_routing_step_plans", "ShopOrder"),
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
    "vat_codes": (Collection("VATPercentages", "vat_percentages", "VATCodeID"),),
    "warehouse_transfers": (
        Collection("WarehouseTransferLines", "warehouse_transfer_lines", "TransferID"),
    ),
}


def collections_of(endpoint: Endpoint) -> tuple[Collection, ...]:
    """What hangs on the rows of an endpoint; sync feeds and functions show rows only."""
    return NAVIGATION.get(endpoint.entity, ()) if endpoint.kind in {"regular", "bulk"} else ()


def collection_of(endpoint: Endpoint, name: str | None) -> Collection | None:
    """One of the collections of an endpoint, by its name."""
    return next((c for c in collections_of(endpoint) if c.name == name), None)
