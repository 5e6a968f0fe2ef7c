"""Which entities a topic concerns: a document's topic stands for its lines and postings, too (API 7).

The topics are those that the reference names at its endpoints; of those that it marks without naming a
topic, the endpoint's own name.
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
# The older name for all five kinds of entries; its keys lead to any of them.
FINANCIAL = "FinancialTransactions"
_ENTRIES = (
    "BankEntries",
    "CashEntries",
    "GeneralJournalEntries",
    "PurchaseEntries",
    "SalesEntries",
)


def entities_of(topic: str) -> tuple[str, ...]:
    """Entities that a webhook of this topic may have changed; none if nothing here reads any."""
    if topic == FINANCIAL:
        return tuple(dict.fromkeys(name for entry in _ENTRIES for name in TOPICS[entry]))
    return TOPICS.get(topic, ())


def topics_for(entities: Collection[str]) -> list[str]:
    """Topics to subscribe to, so that changes of these entities are heard of."""
    return [topic for topic, names in TOPICS.items() if set(names) & set(entities)]
