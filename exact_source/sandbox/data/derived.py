"""Feeds that mix rows of several entities and have their own row versions (API 4.4).

``sync/SalesInvoice/SalesInvoices`` and ``sync/PurchaseOrder/PurchaseOrders`` contain headers (``LineNumber``
0) and lines, and a change of one gives both new versions. ``sync/Financial/TransactionLines`` and the
invoices have extra lines 9999. Amounts follow the only published example: an invoice of 600 appears as 600,
-500 and -100.

``sync/Financial/SalesEntries`` and ``sync/Financial/PurchaseEntries`` (API 12.11) contain headers and lines
too. Their columns are documented. It is a guess that a change gives the whole entry new versions, that
amounts have the signs of ``salesentry`` and ``purchaseentry``, and that there is no line 9999.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .catalogue import Key, Row
from .store import Store

HEADER, EXTRA = 0, 9999
RECEIVABLE_LINE, PAYABLE_LINE = 20, 22
Members = Mapping[str, list[Row]]  # the rows of one group, by entity


@dataclass(frozen=True)
class Derivation:
    """How a feed is derived.

    Attributes:
        sources: Entity of the source rows -> the column that groups them.
        make: Returns the rows of one group. A row that is copied from a stored row has it under ``__of``;
            other rows have, under ``__beside``, a stored row, below whose version their first version lies.
        together: Whether a change of one row gives all rows of its group a new version.
    """

    entity: str
    sources: Mapping[str, str]
    make: Callable[[Members], Iterable[Row]]
    together: bool = False


def _transaction_lines(members: Members) -> Iterable[Row]:
    lines = sorted(members["transaction_lines"], key=lambda row: row.get("LineNumber", 0))
    if not lines:
        return
    first = lines[0]
    debit = round(sum(max(0.0, row.get("AmountDC") or 0.0) for row in lines), 2)
    vat = round(sum(row.get("AmountDC") or 0.0 for row in lines if "VATType" in row), 2)
    yield {**first, **_made(first, first["EntryID"], HEADER, 1), **_amounts(debit)}
    for line in lines:
        yield {**line, "__of": line}
    if vat:
        yield {**first, **_made(first, first["EntryID"], EXTRA, 2), **_amounts(vat)}


def _sales_invoices(members: Members) -> Iterable[Row]:
    header = next(iter(members["sales_invoices"]), None)
    common = header or {}
    if header is not None:
        yield {**header, "ID": header["InvoiceID"], "LineNumber": HEADER, "__of": header}
    for line in members["sales_invoice_lines"]:
        amount = -(line.get("AmountDC") or 0.0)
        yield {**common, **line, **_amounts(amount), "__of": line}
    if header is not None and header.get("VATAmountDC"):
        made = _made(header, header["InvoiceID"], EXTRA, 1)
        yield {**header, **made, **_amounts(-header["VATAmountDC"])}


def _purchase_orders(members: Members) -> Iterable[Row]:
    header = next(iter(members["purchase_orders"]), None)
    if header is not None:
        yield {**header, "ID": header["PurchaseOrderID"], "LineNumber": HEADER, "__of": header}
    for line in members["purchase_order_lines"]:
        yield {**(header or {}), **line, "__of": line}


def _entries(headers: str, lines: str) -> Callable[[Members], Iterable[Row]]:
    def make(members: Members) -> Iterable[Row]:
        header = next(iter(members[headers]), None)
        if header is None:
            return  # lines without an entry are in no feed
        common = header | {
            "FinancialYear": header.get("ReportingYear"),
            "FinancialPeriod": header.get("ReportingPeriod"),
            "ExchangeRate": header.get("Rate"),
        }
        yield {**common, "ID": header["EntryID"], "LineNumber": HEADER, "__of": header}
        for line in members[lines]:
            yield {**common, **line, "__of": line}

    return make


def _payment_terms(members: Members) -> Iterable[Row]:
    for entity, kind in (("receivables", RECEIVABLE_LINE), ("payments", PAYABLE_LINE)):
        for row in members[entity]:
            yield {**row, "LineType": kind, "__of": row}


def _renamed(entity: str, key: str) -> Callable[[Members], Iterable[Row]]:
    def make(members: Members) -> Iterable[Row]:
        return [{**row, "ID": row[key], "__of": row} for row in members[entity]]

    return make


def _made(beside: Row, group: str, number: int, below: int) -> Row:
    key = str(uuid.uuid5(uuid.UUID(group), str(number)))
    return {"ID": key, "LineNumber": number, "__beside": beside, "__below": below}


def _amounts(amount: float) -> dict[str, float]:
    return {"AmountDC": amount, "AmountFC": amount}


DERIVATIONS = (
    Derivation("sync_transaction_lines", {"transaction_lines": "EntryID"}, _transaction_lines),
    Derivation(
        "sync_sales_invoices",
        {"sales_invoices": "InvoiceID", "sales_invoice_lines": "InvoiceID"},
        _sales_invoices,
        together=True,
    ),
    Derivation(
        "sync_purchase_orders",
        {"purchase_orders": "PurchaseOrderID", "purchase_order_lines": "PurchaseOrderID"},
        _purchase_orders,
        together=True,
    ),
    Derivation(
        "sync_sales_entries",
        {"sales_entries": "EntryID", "sales_entry_lines": "EntryID"},
        _entries("sales_entries", "sales_entry_lines"),
        together=True,
    ),
    Derivation(
        "sync_purchase_entries",
        {"purchase_entries": "EntryID", "purchase_entry_lines": "EntryID"},
        _entries("purchase_entries", "purchase_entry_lines"),
        together=True,
    ),
    Derivation("payment_terms", {"receivables": "ID", "payments": "ID"}, _payment_terms),
    Derivation(
        "sales_order_headers", {"sales_orders": "OrderID"}, _renamed("sales_orders", "OrderID")
    ),
    Derivation(
        "quotation_headers", {"quotations": "QuotationID"}, _renamed("quotations", "QuotationID")
    ),
)
BY_ENTITY = {derivation.entity: derivation for derivation in DERIVATIONS}


class _Feed:
    """One derived feed of one division: the stored rows and the derived rows of each group."""

    def __init__(self) -> None:
        self.members: defaultdict[str, dict[tuple[str, Key], Row]] = defaultdict(dict)
        self.made: dict[str, list[str]] = {}


class DerivedFeeds:
    """Keeps the derived feeds of all divisions in step with their source rows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._feeds: dict[tuple[int, str], _Feed] = {}

    def first_rows(self, division: int, entity: str) -> list[Row] | None:
        """The first rows of a derived feed; ``None`` if the entity is not such a feed."""
        derivation = BY_ENTITY.get(entity)
        if derivation is None:
            return None
        feed = self._feeds[division, entity] = _Feed()
        for source, column in derivation.sources.items():
            table = self._store.table(division, source)
            for key, row in table.rows.items():
                if row.get(column) is not None:
                    feed.members[row[column]][source, key] = row
        rows: list[Row] = []
        for group in feed.members:
            made = [_with_first_version(row) for row in self._make(derivation, feed, group)]
            feed.made[group] = [row["ID"] for row in made]
            rows += made
        return rows

    def prepare(self, division: int, entity: str) -> None:
        """Derive the feeds that contain ``entity``, before one of its rows is written."""
        for derivation in DERIVATIONS:
            if entity in derivation.sources:
                self._store.table(division, derivation.entity)

    def changed(self, division: int, entity: str, row: Row) -> None:
        """Derive the rows that depend on a written row again."""
        for derivation in DERIVATIONS:
            column = derivation.sources.get(entity)
            if column is not None and row.get(column) is not None:
                self._rewrite(division, derivation, entity, row)

    def forget(self, division: int) -> list[str]:
        """Drop the feeds of a division, so that they are derived again; returns their entities."""
        dropped = [entity for at, entity in self._feeds if at == division]
        for entity in dropped:
            del self._feeds[division, entity]
        return dropped

    def _make(self, derivation: Derivation, feed: _Feed, group: str) -> list[Row]:
        members: defaultdict[str, list[Row]] = defaultdict(list)
        for (entity, _), row in feed.members[group].items():
            members[entity].append(row)
        rows = [dict(row) for row in derivation.make(members)]
        if derivation.together and rows:
            latest = max(row["Modified"] for row in feed.members[group].values())
            for row in rows:
                row["Modified"] = latest
        return rows

    def _rewrite(self, division: int, derivation: Derivation, entity: str, row: Row) -> None:
        feed, group = self._feeds[division, derivation.entity], row[derivation.sources[entity]]
        source = self._store.table(division, entity)
        key = source.key_of(row)
        feed.members[group].pop((entity, key), None)
        if key in source.rows:
            feed.members[group][entity, key] = row
        table = self._store.table(division, derivation.entity)
        rows = self._make(derivation, feed, group)
        for gone in set(feed.made.get(group, ())) - {made["ID"] for made in rows}:
            if (gone,) in table.rows:
                table.remove((gone,))
                self._store.bury(division, derivation.entity, (gone,))
        for made in rows:
            self._replace(division, derivation, table.rows.get((made["ID"],)), made)
            table.put(made)
        feed.made[group] = [made["ID"] for made in rows]

    def _replace(self, division: int, derivation: Derivation, old: Row | None, new: Row) -> None:
        """Give a row that was derived again its version: a higher one if the row differs."""
        of: Row | None = new.pop("__of", None)
        new.pop("__beside", None)
        new.pop("__below", None)
        if of is not None and not derivation.together:
            new["Timestamp"] = of["Timestamp"]
        elif old is not None and not derivation.together and _content(old) == _content(new):
            new["Timestamp"] = old["Timestamp"]
        else:
            new["Timestamp"] = self._store.next_version(division)


def _with_first_version(row: Row) -> Row:
    """A first row, with the version of the stored row or one just below that of its neighbour."""
    of, beside = row.pop("__of", None), row.pop("__beside", None)
    below = row.pop("__below", 0)
    row["Timestamp"] = (of or beside)["Timestamp"] - below
    return row


def _content(row: Row) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in {"Timestamp", "Modified", "Created"}}
