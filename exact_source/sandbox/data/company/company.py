"""A whole company, from its seed."""

from __future__ import annotations

from datetime import datetime
from random import Random

from .books import Books
from .goods import add_goods, add_projects
from .purchases import add_opening_balance, add_purchases
from .relations import add_relations, add_small_tables
from .sales import add_sales

# Entities that the company fills; every other entity gets generic rows.
ENTITIES = frozenset(
    {
        "accounts", "addresses", "bank_entries", "bank_entry_lines", "contacts",
        "financial_periods", "gl_accounts", "item_groups", "item_warehouses", "items", "journals",
        "payment_conditions", "payments", "projects", "purchase_entries", "purchase_entry_lines",
        "purchase_order_lines", "purchase_orders", "receivables", "sales_entries",
        "sales_entry_lines", "sales_invoice_lines", "sales_invoices", "sales_item_prices",
        "sales_order_lines", "sales_orders", "stock_positions", "supplier_item",
        "transaction_lines", "units", "vat_codes", "warehouses",
    }
)  # fmt: skip


def new_company(random: Random, before: datetime, invoices: int, first_version: int) -> Books:
    """The books of a company whose rows are older than ``before`` and have row versions."""
    books = Books(random, before, invoices)
    add_small_tables(books)
    add_relations(books)
    add_goods(books)
    add_projects(books)
    add_opening_balance(books)
    add_sales(books)
    add_purchases(books)
    books.stamp(first_version)
    return books
