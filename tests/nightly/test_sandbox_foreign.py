"""Clients that other people wrote for the real Exact Online read the sandbox, unchanged.

Each has an environment of its own under ``.environments/`` and a short driver in ``foreign/``, which changes
two things only: the address of the site, and that loopback needs no https. Clients that no package index has
are read from checkouts in the folder that ``EXACT_TEST_CLIENTS`` names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from exact_source.sandbox import Sandbox
from tests.support.environments import CACHE, environment, missing, python_of

FOREIGN = Path(__file__).with_name("foreign")
INI = """\
[server]
auth_url = {base_url}/api/oauth2/auth
rest_url = {base_url}/api
token_url = {base_url}/api/oauth2/token
[application]
base_url = https://localhost
client_id = {client_id}
client_secret = {client_secret}
"""
TRANSIENT = """\
[transient]
access_token = {access_token}
refresh_token = {refresh_token}
access_expiry = {expiry}
division = {division}
"""
Read = Callable[..., str]
pytestmark = [pytest.mark.nightly, pytest.mark.xdist_group("foreign")]  # environments are made once


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Runs a client in its environment against a sandbox; gives what it printed."""

    def run(command: Sequence[str], box: Sandbox, base_url: str, **more: Any) -> str:
        app = {n: getattr(box, n) for n in ("client_id", "client_secret", "redirect_uri")}
        given = {**app, "base_url": base_url, "division": box.divisions[0], **box.login(), **more}
        done = subprocess.run(
            [*command, json.dumps(given)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "TMPDIR": str(tmp_path),
                "NODE_PATH": str(CACHE / "foreign-node/node_modules"),
            },
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def python_client(name: str) -> list[str]:
    python = environment("foreign", FOREIGN / "requirements.txt")
    return [str(python), str(FOREIGN / f"read_{name}.py")]


@pytest.fixture(scope="session")
def node() -> str:
    """The interpreter of JavaScript, with the package installed."""
    found, npm, folder = shutil.which("node"), shutil.which("npm"), CACHE / "foreign-node"
    if found is None or npm is None:
        missing("no Node.js was found")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "foreign-node.lock"):
        mark, wanted = folder / "made-from.json", (FOREIGN / "package.json").read_text()
        if not mark.exists() or mark.read_text() != wanted:
            (folder / "package.json").write_text(wanted)
            done = subprocess.run(
                [npm, "install", "--silent", "--no-audit", "--no-fund"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                missing(f"the package could not be installed: {done.stderr.strip()[-200:]}")
            mark.write_text(wanted)
    return found


def checkout(name: str) -> str:
    """A client that no package index has; the test is skipped without it."""
    folder = os.environ.get("EXACT_TEST_CLIENTS")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"EXACT_TEST_CLIENTS names no folder that holds {name}")
    return str(Path(folder) / name)


def program(name: str) -> str:
    """An interpreter or compiler; the test is skipped or fails without it."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    return found


def keys(box: Sandbox, path: str, key: str = "ID") -> list[str]:
    return sorted(row[key] for row in box.rows(path, box.divisions[0]))


def statuses(box: Sandbox) -> set[int]:
    return {call.status for call in box.requests}


@pytest.mark.parametrize(
    ("client", "path", "pages"),
    [
        ("exact_online_sdk", "crm/Contacts", 2),
        ("django_exact", "crm/Accounts", None),
        ("python_exact_online", "hrm/Costcenters", None),
        ("exactpy", "financial/GLAccounts", 7),
    ],
)
def test_a_client_in_python_logs_in_and_reads_page_by_page(
    read: Read, client: str, path: str, pages: int | None
) -> None:
    command = python_client(client)
    box = Sandbox(invoices=30, page_size=6)
    with box.serve() as base_url:
        found = json.loads(read(command, box, base_url))
    assert sorted(found["ids"]) == keys(box, path)
    assert found.get("pages") in {pages, -(-len(found["ids"]) // 6)}
    assert found.get("division", box.divisions[0]) == box.divisions[0]
    assert statuses(box) == {200}


def test_the_rest_api_source_of_dlt_reads(read: Read) -> None:
    box = Sandbox(invoices=30, page_size=6, large_page_size=5)
    with box.serve() as base_url:
        command = [sys.executable, str(FOREIGN / "read_dlt_rest_api.py")]
        found = json.loads(read(command, box, base_url))
    assert sorted(found["accounts"]) == sorted(found["synced"]) == keys(box, "crm/Accounts")
    assert statuses(box) == {200}


@pytest.mark.parametrize(
    ("path", "text", "where"),
    [
        ("crm/Contacts", "FullName", "Modified gt datetime'2000-01-01T00:00:00'"),
        ("sync/CRM/Accounts", "Name", "Timestamp gt 1"),
        ("bulk/Logistics/Items", "Description", "Modified gt datetime'2000-01-01T00:00:00'"),
    ],
)
def test_atom_is_read_by_what_taps_read_it_with(
    read: Read, path: str, text: str, where: str
) -> None:
    """With lxml that forgives a control character, xmltodict, and a token cut out of the link."""
    command = python_client("atom")
    box = Sandbox(invoices=5, page_size=6, large_page_size=3)
    box.fault("control-character", path=path)
    select = f"ID,{text},Modified,Division"
    with box.serve() as base_url:
        found = json.loads(read(command, box, base_url, path=path, select=select, filter=where))
    rows = [
        {n[2:]: v if isinstance(v, str) else v["#text"] for n, v in row.items()}
        for row in found["rows"]
    ]
    assert sorted(row["ID"] for row in rows) == keys(box, path)
    assert found["pages"] == len([c for c in box.requests if c.path == path]) > 1
    assert found["titles"] == [path.rsplit("/", 1)[-1]]
    truth = {row["ID"]: row for row in box.rows(path, box.divisions[0])}
    for row in rows:
        assert row["Modified"].startswith(f"{truth[row['ID']]['Modified']:%Y-%m-%dT%H:%M:%S}")
        assert row[text] == truth[row["ID"]][text]  # lxml leaves the character out


def test_a_singer_tap_reads_all_its_streams(read: Read) -> None:
    python = environment(
        "foreign-tap", FOREIGN / "tap-requirements.txt", interpreter=python_of("3.10")
    )
    box = Sandbox(invoices=70, minute_limit=1000)
    with box.serve() as base_url:
        app = {"client_id": box.client_id, "client_secret": box.client_secret}
        tokens = {"expiry": int(time.time()) + 600, "division": box.divisions[0]}
        ini = (INI + TRANSIENT).format(base_url=base_url, **app, **box.issue_tokens(), **tokens)
        lines = read([str(python), str(FOREIGN / "read_tap_exact.py")], box, base_url, ini=ini)
    messages = [json.loads(line) for line in lines.splitlines()]
    records: dict[str, list[str]] = {}
    for message in messages:
        if message["type"] == "RECORD":
            row = message["record"]
            key = next(row[n] for n in ("ID", "InvoiceID", "QuotationID", "OrderID") if n in row)
            records.setdefault(message["stream"], []).append(key)
    wanted = {
        "crm_accounts": keys(box, "crm/Accounts"),
        "sales_invoices": keys(box, "salesinvoice/SalesInvoices", "InvoiceID"),
        "transaction_lines": keys(box, "financialtransaction/TransactionLines"),
        "sales_orders": keys(box, "salesorder/SalesOrders", "OrderID"),
    }
    assert {name: sorted(records[name]) for name in wanted} == wanted
    assert len(records) == 10
    assert statuses(box) == {200}


RESUMED = (
    *("contacts", "invoices", "accounts", "addresses", "documents", "document_attachements"),
    *("gl_accounts", "gl_classifications", "transaction_lines"),
)


def test_a_singer_tap_resumes_sync_feeds_at_versions_of_its_own(read: Read) -> None:
    """With ``$skiptoken`` from its state, and with ``$top=5000`` on bulk feeds, which it follows."""
    python = environment(
        "foreign-tap-exactonline",
        FOREIGN / "tap-exactonline-requirements.txt",
        interpreter=python_of("3.10"),
    )
    box = Sandbox(invoices=30, minute_limit=1000, large_page_size=20)
    newest = sorted(row["Timestamp"] for row in box.rows("sync/CRM/Accounts", box.divisions[0]))
    marks = {name: {"replication_key": "Timestamp"} for name in RESUMED}
    for name, mark in marks.items():
        mark["replication_key_value"] = str(newest[2] if name == "accounts" else 1)
    secret = {**box.issue_tokens(), "access_expiry": str(int(time.time()) + 600)}
    with box.serve() as base_url:
        command = [str(python), str(FOREIGN / "read_tap_exactonline.py")]
        lines = read(command, box, base_url, secret=secret, state={"bookmarks": marks})
    records: dict[str, list[str]] = {}
    for message in map(json.loads, lines.splitlines()):
        if message["type"] == "RECORD":
            records.setdefault(message["stream"], []).append(message["record"].get("ID"))
    assert len(records) == 13
    assert len(records["accounts"]) == len(newest) - 3
    assert sorted(records["transaction_lines"]) == keys(box, "sync/Financial/TransactionLines")
    assert sorted(records["invoice_lines"]) == keys(box, "salesinvoice/SalesInvoiceLines")
    assert statuses(box) == {200}


def test_a_client_in_javascript_logs_in_and_reads(read: Read, node: str) -> None:
    box = Sandbox(invoices=5)
    with box.serve() as base_url:
        found = json.loads(read([node, str(FOREIGN / "read_quantix.js")], box, base_url))
    assert found["division"] == box.divisions[0]
    assert sorted(found["journals"]) == keys(box, "financial/Journals")
    assert sorted(found["accounts"]) == keys(box, "sync/CRM/Accounts")
    assert found["refused"] == "EXACT: Bad Request"  # a column that does not exist


def test_an_older_client_in_javascript_logs_in_and_reads(read: Read, node: str) -> None:
    box = Sandbox(invoices=5)
    with box.serve() as base_url:
        found = json.loads(read([node, str(FOREIGN / "read_exact_online.js")], box, base_url))
    assert found["division"] == box.divisions[0]
    assert sorted(found["ids"]) == keys(box, "logistics/Items")[:60]
    assert statuses(box) == {200}


def test_a_client_in_php_logs_in_and_reads(read: Read) -> None:
    """picqer/exact-php-client, with Guzzle as Debian packages it."""
    client = checkout("exact-php-client")
    command = [program("php"), str(FOREIGN / "read_picqer.php")]
    box = Sandbox(invoices=30, page_size=6)
    with box.serve() as base_url:
        found = json.loads(read(command, box, base_url, checkout=client))
    assert found["user"] == box.divisions[0]
    assert sorted(found["accounts"]) == keys(box, "crm/Accounts")
    assert sorted(found["unselected"]) == keys(box, "crm/Contacts")
    assert len(found["padded"]) == 18
    assert found["found"] in found["accounts"]
    assert found["invoices"] == 1
    assert 0 < found["remaining"] < 5000
    assert found["refused"].startswith("Error 400")
    assert [call.status for call in box.requests].count(400) == 1


def test_the_client_in_ruby_finds_its_classes_by_the_types_of_rows(read: Read) -> None:
    """elmas, Exact's own; it asks ``//Current/Me``, and takes the class of a row from its type."""
    client = checkout("exactonline-api-ruby-client")
    command = [program("ruby"), str(FOREIGN / "read_elmas.rb")]
    box = Sandbox(invoices=5)
    with box.serve() as base_url:
        found = json.loads(read(command, box, base_url, checkout=client))
    assert (found["division"], found["class"]) == (box.divisions[0], "Elmas::Contact")
    assert sorted(found["ids"]) == keys(box, "crm/Contacts")
    assert statuses(box) == {200}


def test_a_client_in_go_logs_in_and_reads_page_by_page(read: Read, tmp_path: Path) -> None:
    """mcnijman/go-exactonline, with libraries as Debian packages them."""
    client = checkout("go-exactonline")
    source = tmp_path / "go/src/github.com/mcnijman"
    source.mkdir(parents=True)
    (source / "go-exactonline").symlink_to(client)
    settings = {
        "GO111MODULE": "off",
        "GOPATH": f"{tmp_path / 'go'}:/usr/share/gocode",
        "GOCACHE": str(CACHE / "foreign-go"),
        "GOFLAGS": "-buildvcs=false",
    }
    command = [program("go"), "build", "-o", str(tmp_path / "read"), "read_go_exactonline.go"]
    built = subprocess.run(
        command, cwd=FOREIGN, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr[-2000:]
    box = Sandbox(invoices=30, page_size=6)
    with box.serve() as base_url:
        found = json.loads(read([str(tmp_path / "read")], box, base_url))
    assert found["division"] == box.divisions[0]
    assert sorted(found["ids"]) == keys(box, "crm/Contacts")
    assert statuses(box) == {200}


@pytest.fixture
def exactonline(monkeypatch: pytest.MonkeyPatch) -> Any:
    import exactonline
    from exactonline import http

    monkeypatch.setattr(http.opt_secure, "protocols", ("http",))
    return exactonline


@pytest.mark.usefixtures("exactonline")
def test_exactonline_logs_in_reads_pages_and_obeys_the_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exactonline import api as api_module
    from exactonline.resource import GET
    from exactonline.storage import ini

    box = Sandbox(invoices=70, minute_limit=8)
    monkeypatch.setattr(ini.IniStorage, "get_response_url", lambda _: box.redirect_uri)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        box.clock.advance(seconds + 1)
        now = time.time()
        monkeypatch.setattr("exactonline.rawapi.time", lambda: now + sum(waited) + 1)

    monkeypatch.setattr("exactonline.rawapi.sleep", sleep)
    with box.serve() as base_url:
        path = tmp_path / "exact.ini"
        app = {"client_id": box.client_id, "client_secret": box.client_secret}
        path.write_text(INI.format(base_url=base_url, **app))
        api = api_module.ExactApi(storage=ini.IniStorage(str(path)))
        api.request_token(box.login()["code"])
        names, current = api.get_divisions()
        assert (list(names), current) == (box.divisions, box.divisions[0])
        api.set_division(current)
        query = "$select=ID,AmountDC&$filter=FinancialYear+ge+2000"
        rows = api.rest(GET(f"v1/{current}/financialtransaction/TransactionLines?{query}"))
        code = api.relations.filter(relation_code="10001", select="ID,Code")[0]["Code"]
    truth = box.rows("financialtransaction/TransactionLines", current)
    assert sorted(row["ID"] for row in rows) == sorted(row["ID"] for row in truth)
    assert len(truth) > 8 * 60
    assert waited
    assert code.strip() == "10001"
    assert 429 not in {request.status for request in box.requests}
