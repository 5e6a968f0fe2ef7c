"""Which calls must have ``$select`` or ``$filter`` (API 2.5, 3.3, 12.2)."""

from __future__ import annotations

from typing import Literal

from ..data.catalogue import Endpoint

Demand = Literal["never", "seen", "everywhere"]
CLARION = "Arnovda/Clarion f09bf90, c0fd4d7 (production run of May 2026)"
ISSUES = "picqer#34, #62, #315 and exactonline-api-ruby-client#22"
# Regular endpoints that refused a call without `$select` in a production run, in which 23 of 36 entities
# were read with neither `$select` nor `$filter`.
SELECT_SEEN = {
    "cashflow/DirectDebitMandates": "picqer#556",
    "cashflow/Payments": CLARION,
    "cashflow/Receivables": CLARION,
    "crm/QuotationLines": CLARION,
    "crm/Quotations": CLARION,
    "financialtransaction/BankEntries": CLARION,
    "financialtransaction/BankEntryLines": CLARION,
    "financialtransaction/TransactionLines": CLARION,
    "generaljournalentry/GeneralJournalEntries": ISSUES,
    "inventory/ItemWarehouses": CLARION,
    "logistics/SalesItemPrices": ISSUES,
    "payroll/ActiveEmployments": CLARION,
    "payroll/Employees": CLARION,
    "payroll/EmploymentContracts": CLARION,
    "payroll/EmploymentOrganizations": CLARION,
    "payroll/EmploymentSalaries": CLARION,
    "payroll/Employments": CLARION,
    "purchaseentry/PurchaseEntries": CLARION,
    "purchaseentry/PurchaseEntryLines": CLARION,
    "salesentry/SalesEntryLines": CLARION,
    "salesinvoice/SalesInvoiceLines": CLARION,
    "salesorder/GoodsDeliveries": ISSUES,
}


def demands_select(endpoint: Endpoint, demand: Demand) -> bool:
    """Whether a call must have ``$select``; bulk feeds always require it (KB-types)."""
    if demand == "never" or endpoint.no_division:
        return False
    if endpoint.kind == "bulk":
        return True
    return endpoint.kind == "regular" and (demand == "everywhere" or endpoint.path in SELECT_SEEN)


def demanded_filter(endpoint: Endpoint, demand: Demand) -> frozenset[str]:
    """The columns of which ``$filter`` must use one; empty if no filter is required.

    According to Exact, every endpoint with a sync feed requires a filter. That was observed for a few
    endpoints, and not for every app: in June 2026 a production app read Accounts, Items, SalesInvoices and
    TransactionLines without one (API 12.2). For most endpoints the columns are unknown, so any is accepted.
    """
    if demand == "never":
        return frozenset()
    if endpoint.mandatory_filter or demand == "seen" or not endpoint.has_sync_sibling:
        return frozenset(endpoint.mandatory_filter)
    return frozenset(endpoint.filterable or endpoint.columns)
