"""The sandbox tells subscribers of written rows as Exact does."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from exact_source.sandbox import Sandbox
from tests.support.world import make_box

PATH = "webhooks/WebhookSubscriptions"


@contextmanager
def listener(status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook"
        finally:
            server.shutdown()
            thread.join()


class Client:
    """A client of the sandbox."""

    def __init__(self, box: Sandbox, base_url: str) -> None:
        token = box.issue_tokens()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        root = f"{base_url}/api/v1/{box.divisions[0]}/"
        self.http = httpx.Client(base_url=root, headers=headers)

    def subscribe(self, topic: str, url: str) -> httpx.Response:
        return self.http.post(PATH, json={"Topic": topic, "CallbackURL": url})

    def topics(self) -> list[str]:
        rows = self.http.get(PATH, params={"$select": "ID,Topic"}).json()["d"]["results"]
        return [row["Topic"] for row in rows]


@pytest.fixture
def box() -> Sandbox:
    return make_box()


@pytest.fixture
def client(box: Sandbox) -> Iterator[Client]:
    with box.serve() as base_url:
        yield Client(box, base_url)


def contents(box: Sandbox) -> list[dict[str, Any]]:
    """The received notices, each with a valid hash."""
    found = []
    for sent in box.webhooks.drain():
        if not sent.body:
            continue
        content, _, code = sent.body[len(b'{"Content":') :].rpartition(b',"HashCode":"')
        wanted = hmac.new(box.webhooks.secret.encode(), content, sha256).hexdigest().upper()
        assert code == wanted.encode() + b'"}'
        found.append(json.loads(content))
    return found


def test_a_subscription_is_tried_with_an_empty_post_at_once(box: Sandbox, client: Client) -> None:
    with listener() as url:
        answer = client.subscribe("Accounts", url)

        assert answer.status_code == 201
        assert answer.json()["d"]["Topic"] == "Accounts"
        assert [(s.url, s.body, s.status) for s in box.webhooks.drain()] == [(url, b"", 200)]
    assert client.topics() == ["Accounts"]


def test_a_second_subscription_to_a_topic_is_a_500_and_a_deleted_one_is_not_listed(
    box: Sandbox, client: Client
) -> None:
    with listener() as url:
        made = client.subscribe("Accounts", url).json()["d"]["ID"]
        twice = client.subscribe("Accounts", url)
        gone = [client.http.delete(f"{PATH}(guid'{made}')").status_code for _ in range(2)]
        box.webhooks.drain()

    assert (twice.status_code, "already exists" in twice.text) == (500, True)
    assert gone == [204, 404]
    assert client.topics() == []


@pytest.mark.parametrize(
    "body",
    [
        {"Topic": "Nonsense", "CallbackURL": "http://127.0.0.1:1/"},
        {"Topic": "Accounts", "CallbackURL": "http://books.example/hook"},
        {"Topic": "Accounts"},
        [],
    ],
)
def test_a_subscription_that_cannot_be_is_refused(client: Client, body: Any) -> None:
    assert client.http.post(PATH, json=body).status_code == 400
    assert client.http.post("crm/Accounts", json=body).status_code == 405
    assert client.topics() == []


def test_writes_notify_only_subscribers_of_their_division(box: Sandbox, client: Client) -> None:
    mine, other = box.divisions
    account = box.rows("crm/Accounts", mine)[0]["ID"]
    with listener() as url:
        client.subscribe("Accounts", url)
        client.subscribe("SalesInvoices", url)
        client.subscribe("FinancialTransactions", url)
        new = box.insert("crm/Accounts", mine, {"Name": "New"})["ID"]
        box.update("crm/Accounts", mine, account, {"Name": "Renamed"})
        box.delete("crm/Accounts", mine, new)
        box.update("crm/Accounts", other, box.rows("crm/Accounts", other)[0]["ID"], {"Name": "No"})
        box.update("crm/Contacts", mine, box.rows("crm/Contacts", mine)[0]["ID"], {"Email": "a@b"})
        line = box.rows("salesinvoice/SalesInvoiceLines", mine)[0]
        box.update("salesinvoice/SalesInvoiceLines", mine, line["ID"], {"Description": "Line"})
        entry = box.rows("financialtransaction/TransactionLines", mine)[0]
        box.update("financialtransaction/TransactionLines", mine, entry["ID"], {"Description": "D"})
        told = contents(box)

    assert [(c["Topic"], c["Action"], c["Key"], c["Division"]) for c in told] == [
        ("Accounts", "Create", new, mine),
        ("Accounts", "Update", account, mine),
        ("Accounts", "Delete", new, mine),
        ("SalesInvoices", "Update", line["InvoiceID"], mine),
        ("FinancialTransactions", "Update", entry["EntryID"], mine),
    ]


def test_what_is_not_answered_well_is_kept_in_the_log(box: Sandbox, client: Client) -> None:
    with listener(status=503) as url:
        client.subscribe("Accounts", url)
        box.webhooks.drain()
    box.touch(
        "crm/Accounts", box.divisions[0], [box.rows("crm/Accounts", box.divisions[0])[0]["ID"]]
    )

    assert [s.status for s in box.webhooks.drain()] == [503, 0]
