"""The available feeds: paths, columns in the order of replies, and rules.

Only columns that tests use are modelled. Letters of types: ``g`` Guid, ``s`` String, ``f`` Double,
``i`` Int32, ``b`` Boolean, ``d`` DateTime, ``l`` Int64.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ACCOUNT = (
    "ID:g Code:s Country:s Created:d Creator:g CreditLineSales:f Division:i Email:s IsSales:b "
    "Modified:d Modifier:g Name:s Status:s"
)
LINE = (
    "ID:g AmountDC:f Created:d Date:d Description:s Division:i EntryID:g EntryNumber:i GLAccount:g "
    "JournalCode:s LineNumber:i Modified:d Notes:s Quantity:f Status:i Type:i"
)
GL_ACCOUNT = "ID:g Code:s Created:d Description:s Division:i IsBlocked:b Modified:d Type:i"
UNIT = "ID:g Active:b Code:s Description:s Division:i Main:i TimeUnit:s Type:s"
VAT_CODE = (
    "Code:s Created:d Description:s Division:i ID:g IsBlocked:b Modified:d Percentage:f Type:s"
)
JOURNAL = (
    "AllowVAT:b Code:s Created:d Currency:s Description:s Division:i GLAccount:g ID:g IsBlocked:b "
    "Modified:d Type:i"
)
INVOICE = (
    "AmountDC:f Created:d Currency:s Description:s Division:i InvoiceDate:d InvoiceID:g "
    "InvoiceNumber:i Journal:s Modified:d OrderedBy:g Status:i Type:i"
)
INVOICE_LINE = (
    "ID:g AmountDC:f Description:s Division:i InvoiceID:g LineNumber:i Notes:s Quantity:f"
)
INVOICE_SYNC = (
    "AmountDC:f Created:d Description:s Division:i ID:g InvoiceID:g InvoiceNumber:i LineNumber:i "
    "Modified:d Notes:s Quantity:f Status:i Type:i"
)
DELETED = "Timestamp:l DeletedBy:g DeletedDate:d Division:i EntityKey:g EntityType:i ID:g"
DIVISION = (
    "BlockingStatus:i Code:i Country:s Created:d Currency:s Current:b Description:s "
    "DivisionMoveDate:d Hid:s Modified:d Status:i ArchiveDate:d"
)
ME = (
    "CurrentDivision:i FullName:s UserID:g UserName:s LanguageCode:s ServerTime:s ServerUtcOffset:i"
)
SYNC_TIMESTAMP = "Modified:d API:s TimeStampAsBigInt:l"


@dataclass(frozen=True)
class Feed:
    """One resource.

    Attributes:
        path: Path below the division. The service is case-insensitive, the set name is not (API 12.3).
        entity: Entity of its rows: the name of a table or of a function of the server.
        model: Name of the type below ``Exact.Web.Api.Models`` (API 12.8).
        columns: Name -> letter, in the order of the reply.
        key: Column in ``__metadata.uri`` and in ``$skiptoken``.
        kind: ``regular``, ``bulk``, ``sync`` or ``function``.
        filters: Columns allowed in ``$filter``; ``None`` for all.
        mandatory: Columns of which ``$filter`` must name one if that rule is on (API 2.5).
        needs_select: Refused without ``$select`` and ``$top=1`` (API 12.2).
        expands: Navigation collection -> path of its feed.
        endpoint: Name at ``read/sync/Sync/SyncTimestamp`` (API 4.3).
    """

    path: str
    entity: str
    model: str
    columns: dict[str, str]
    key: str = "ID"
    kind: str = "regular"
    filters: frozenset[str] | None = None
    mandatory: frozenset[str] = frozenset()
    needs_select: bool = False
    expands: dict[str, str] = field(default_factory=dict)
    endpoint: str | None = None

    @property
    def type(self) -> str:
        return f"Exact.Web.Api.Models.{self.model}"

    @property
    def service(self) -> str:
        return self.path.rpartition("/")[0]


def _columns(text: str) -> dict[str, str]:
    return {name: letter for name, _, letter in (part.partition(":") for part in text.split())}


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _regular(path: str, entity: str, model: str, columns: str, **more: object) -> Feed:
    return Feed(path, entity, model, _columns(columns), **more)  # type: ignore[arg-type]


def _bulk(path: str, entity: str, model: str, columns: str, filters: str, **more: object) -> Feed:
    found = _columns(columns)
    return Feed(
        f"bulk/{path}", entity, model, found, kind="bulk", needs_select=True,
        filters=_set(filters) & found.keys(), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _sync(path: str, entity: str, model: str, columns: str, **more: object) -> Feed:
    found = {"Timestamp": "l", **_columns(columns)}
    return Feed(
        f"sync/{path}", entity, f"Sync.{model}", found, key="Timestamp", kind="sync",
        filters=_set("Timestamp"), **more,  # type: ignore[arg-type]
    )  # fmt: skip


FILTERED = _set("ID Modified")
LINE_FILTERS = "ID Date Description EntryID EntryNumber GLAccount JournalCode Modified Status Type"
FEEDS = [
    _regular("crm/Accounts", "accounts", "Account", ACCOUNT, mandatory=_set("ID Code Modified Name")),
    _bulk("CRM/Accounts", "accounts", "Account", ACCOUNT, "ID Code Created Modified Status Name",
          mandatory=_set("ID Code Modified Name")),
    _sync("CRM/Accounts", "accounts", "Account", ACCOUNT),
    _regular("financialtransaction/TransactionLines", "transaction_lines",
             "Financial.TransactionLine", LINE, needs_select=True, mandatory=FILTERED),
    _bulk("Financial/TransactionLines", "transaction_lines", "Financial.TransactionLine", LINE,
          LINE_FILTERS, mandatory=FILTERED),
    _sync("Financial/TransactionLines", "sync_transaction_lines", "Financial.TransactionLine", LINE,
          endpoint="TransactionLines"),
    _regular("financial/GLAccounts", "gl_accounts", "GLAccount", GL_ACCOUNT),
    _bulk("Financial/GLAccounts", "gl_accounts", "GLAccount", GL_ACCOUNT, "Code Created ID Modified Type"),
    _sync("Financial/GLAccounts", "gl_accounts", "GLAccount", GL_ACCOUNT),
    _regular("logistics/Units", "units", "Unit", UNIT),
    _regular("vat/VATCodes", "vat_codes", "VATCode", VAT_CODE),
    _regular("financial/Journals", "journals", "Journal", JOURNAL),
    _regular("salesinvoice/SalesInvoices", "sales_invoices", "SalesInvoice", INVOICE, key="InvoiceID",
             expands={"SalesInvoiceLines": "salesinvoice/SalesInvoiceLines"},
             mandatory=_set("InvoiceID Modified")),
    _regular("salesinvoice/SalesInvoiceLines", "sales_invoice_lines", "SalesInvoiceLine", INVOICE_LINE,
             needs_select=True, mandatory=_set("ID InvoiceID LineNumber")),
    _bulk("SalesInvoice/SalesInvoices", "sales_invoices", "SalesInvoice", INVOICE,
          "InvoiceID Created Description InvoiceDate InvoiceNumber Journal Modified OrderedBy Status Type",
          key="InvoiceID", mandatory=_set("InvoiceID Modified")),
    _bulk("SalesInvoice/SalesInvoiceLines", "sales_invoice_lines", "SalesInvoiceLine", INVOICE_LINE,
          "ID Description InvoiceID LineNumber", mandatory=_set("ID InvoiceID LineNumber")),
    _sync("SalesInvoice/SalesInvoices", "sync_sales_invoices", "SalesInvoice", INVOICE_SYNC,
          endpoint="SalesInvoices"),
    Feed("sync/Deleted", "deleted", "Sync.Deleted", _columns(DELETED), key="Timestamp", kind="sync",
         filters=_set("Timestamp EntityType")),
    _regular("system/Divisions", "divisions", "System.Division", DIVISION, key="Code"),
    _regular("current/Me", "me", "System.Me", ME, key="UserID"),
    Feed("read/sync/Sync/SyncTimestamp", "sync_timestamp", "Sync.SyncTimestamp",
         _columns(SYNC_TIMESTAMP), key="Modified", kind="function"),
]  # fmt: skip

# Codes of sync/Deleted (API appendix B).
TOMBSTONES = {
    "transaction_lines": 1, "accounts": 2, "gl_accounts": 7, "sales_invoices": 13,
    "sales_invoice_lines": 13,
}  # fmt: skip
# The tables and their columns.
TABLES = {
    "accounts": ACCOUNT, "transaction_lines": LINE, "gl_accounts": GL_ACCOUNT, "units": UNIT,
    "vat_codes": VAT_CODE, "journals": JOURNAL, "sales_invoices": INVOICE,
    "sales_invoice_lines": INVOICE_LINE,
}  # fmt: skip
KEYS = {table: "InvoiceID" if table == "sales_invoices" else "ID" for table in TABLES}


def find_feed(path: str) -> Feed | None:
    """The feed of a path below the division; a double slash is tolerated (API 12.3)."""
    service, _, name = "/".join(part for part in path.split("/") if part).rpartition("/")
    for feed in FEEDS:
        own, _, own_name = feed.path.rpartition("/")
        if own.lower() == service.lower() and own_name == name:
            return feed
    return None
