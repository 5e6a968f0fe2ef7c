"""Webhooks (API 7): subscriptions, and the posts that report written rows.

A separate thread sends each post once, in order; it is unknown how often Exact tries again.
"""

from __future__ import annotations

import hmac
import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from ..data.catalogue import Row
from ..data.store import Action
from ..odata.navigation import NAVIGATION

SUBSCRIPTIONS = "webhook_subscriptions"
TIMEOUT_S = 10.0
NO_ANSWER = 0

TOPICS = {
    "accounts": "Accounts",
    "bank_entries": "BankEntries",
    "cash_entries": "CashEntries",
    "contacts": "Contacts",
    "cost_transactions": "CostTransactions",
    "crm_bank_accounts": "BankAccounts",
    "document_attachments": "DocumentAttachments",
    "documents": "Documents",
    "general_journal_entries": "GeneralJournalEntries",
    "gl_accounts": "GLAccounts",
    "goods_deliveries": "GoodsDeliveries",
    "items": "Items",
    "mail_message_attachments": "MailMessageAttachments",
    "mail_messages_sent": "MailMessagesSent",
    "opportunities": "Opportunities",
    "project_planning": "ProjectPlanning",
    "project_time_transactions": "TimeTransactions",
    "purchase_entries": "PurchaseEntries",
    "purchase_orders": "PurchaseOrders",
    "quotations": "Quotations",
    "sales_entries": "SalesEntries",
    "sales_invoices": "SalesInvoices",
    "sales_orders": "SalesOrders",
    "stock_positions": "StockPositions",
    "subscriptions": "Subscriptions",
}
# Type of a posting -> kind of its entry; postings of other types are general journal entries.
ENTRY_TOPICS = {
    20: "SalesEntries",
    21: "SalesEntries",
    30: "PurchaseEntries",
    31: "PurchaseEntries",
}
ENTRY_TOPICS |= {40: "BankEntries"}
FINANCIAL = "FinancialTransactions"
ENTRIES = frozenset(ENTRY_TOPICS.values()) | {"CashEntries", "GeneralJournalEntries"}
ALL_TOPICS = frozenset(TOPICS.values()) | {FINANCIAL}
_OWNERS = {
    collection.entity: (TOPICS[owner], collection.foreign_key)
    for owner, collections in NAVIGATION.items()
    for collection in collections
    if collection.is_owned and owner in TOPICS
}


class Written(NamedTuple):
    """A write: the row and the kind of change."""

    entity: str
    action: Action
    key: Any


@dataclass(frozen=True)
class Sent:
    """A post and its reply.

    Attributes:
        body: Body of the post; empty for the test at subscription.
        status: 0 if there was no answer.
    """

    url: str
    body: bytes
    status: int


class Webhooks:
    """Sends the posts of one app.

    Args:
        client_id: Client id of the app.
        secret: The app's webhook secret.
    """

    def __init__(self, client_id: str, secret: str) -> None:
        self.secret = secret
        self.sent: list[Sent] = []
        self._client_id = client_id
        self._waiting: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._thread: threading.Thread | None = None

    def tell(self, subscriptions: Iterable[Row], division: int, written: Written, row: Row) -> None:
        """Report a written row to the subscriptions of its division."""
        told = dict(topics_of(written, row))
        for subscription in subscriptions:
            topic = subscription["Topic"]
            if topic not in told:
                continue
            content = {
                "Topic": topic,
                "ClientId": self._client_id,
                "Division": division,
                "Action": written.action if told[topic] == written.key else "Update",
                "Key": told[topic],
                "ExactOnlineEndpoint": f"/api/v1/{division}/{topic}(guid'{told[topic]}')",
            }
            self.post(subscription["CallbackURL"], self.body(content))

    def body(self, content: dict[str, Any]) -> bytes:
        """A signed post."""
        text = json.dumps(content, separators=(",", ":")).encode()
        code = hmac.new(self.secret.encode(), text, sha256).hexdigest().upper()
        return b'{"Content":' + text + b',"HashCode":"' + code.encode() + b'"}'

    def post(self, url: str, body: bytes = b"") -> None:
        """Add a post to the queue; an empty body tests an address."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, daemon=True)
            self._thread.start()
        self._waiting.put((url, body))

    def drain(self) -> list[Sent]:
        """All posts so far, once the last queued one has been answered."""
        self._waiting.join()
        return list(self.sent)

    def _send_all(self) -> None:
        while True:
            url, body = self._waiting.get()
            self.sent.append(Sent(url, body, _send(url, body)))
            self._waiting.task_done()


def topics_of(written: Written, row: Row) -> Iterator[tuple[str, Any]]:
    """Topics of a written row, each with the reported key."""
    if written.entity == "transaction_lines":
        topic = ENTRY_TOPICS.get(row.get("Type", 0), "GeneralJournalEntries")
        key = row.get("EntryID")
    elif written.entity in _OWNERS:
        topic, column = _OWNERS[written.entity]
        key = row.get(column)
    elif written.entity in TOPICS:
        topic, key = TOPICS[written.entity], written.key
    else:
        return
    yield topic, key
    if topic in ENTRIES:
        yield FINANCIAL, key


def _send(url: str, body: bytes) -> int:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - https or loopback
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return NO_ANSWER
