"""The entities of each topic; the topic of a document also covers its lines and postings (API 7).

The topics come from the endpoints in Exact's reference. If it marks an endpoint as supporting webhooks
without naming a topic, the topic is the name of the endpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

_POSTINGS = ("transaction_lines", "sync_transaction_lines")
_RECEIVED = (*_POSTINGS, "payment_terms", "receivables")
_PAID = (*_POSTINGS, "payment_terms", "payments")

TOPICS: Mapping[str, tuple[str, ...]] = {
    "Accounts": ("accounts",),
    "BankAccounts": ("crm_bank_accounts",),
    "BankEntries": ("bank_entries", "bank_entry_lines", *_RECEIVED, "payments"),
    "CashEntries": ("cash_entries", "cash_entry_lines", *_RECEIVED, "payments"),
    "Contacts": ("contacts",),
    "CostTransactions": ("cost_transactions",),
    "DocumentAttachments": ("document_attachments", "documents_attachments"),
    "Documents": ("documents",),
    "GLAccounts": ("gl_accounts",),
    "GeneralJournalEntries": (
        "general_journal_entries", "general_journal_entry_lines", *_RECEIVED, "payments",
    ),
    "GoodsDeliveries": ("goods_deliveries", "goods_delivery_lines"),
    "Items": ("items",),
    "JournalStatusList": ("journal_status_list",),
    "MailMessageAttachments": ("mail_message_attachments",),
    "MailMessagesSent": ("mail_messages_sent",),
    "Opportunities": ("opportunities",),
    "ProjectPlanning": ("project_planning",),
    "PurchaseEntries": ("purchase_entries", "purchase_entry_lines", *_PAID),
    "PurchaseOrders": ("purchase_orders", "purchase_order_lines", "sync_purchase_orders"),
    "Quotations": ("quotations", "quotation_headers", "quotation_lines"),
    "SalesEntries": ("sales_entries", "sales_entry_lines", *_RECEIVED),
    "SalesInvoices": ("sales_invoices", "sales_invoice_lines", "sync_sales_invoices"),
    "SalesOrders": ("sales_orders", "sales_order_headers", "sales_order_lines"),
    "StockPositions": ("stock_positions", "stock_position"),
    "Subscriptions": ("subscriptions", "subscription_lines"),
    "TimeTransactions": ("project_time_transactions",),
}  # fmt: skip
# The older topic, for all five kinds of entries.
FINANCIAL = "FinancialTransactions"
_ENTRIES = (
    "BankEntries",
    "CashEntries",
    "GeneralJournalEntries",
    "PurchaseEntries",
    "SalesEntries",
)


def entities_of(topic: str) -> tuple[str, ...]:
    """Entities that may have changed if a webhook has this topic; empty for an unknown topic."""
    if topic == FINANCIAL:
        return tuple(dict.fromkeys(name for entry in _ENTRIES for name in TOPICS[entry]))
    return TOPICS.get(topic, ())


def topics_for(entities: Collection[str]) -> list[str]:
    """Topics whose webhooks report changes of these entities."""
    return [topic for topic, names in TOPICS.items() if set(names) & set(entities)]
