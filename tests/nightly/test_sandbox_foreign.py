"""Clients that others wrote for the real Exact Online read the sandbox, unchanged.

Each has an environment of its own under ``.cache/`` and a few lines that drive it, in ``foreign/``.
What drives them changes two things only: where the site is, and that loopback needs no https.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from exact_source.sandbox import Sandbox
from tests.support.environments import CACHE, environment, python_of

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
pytestmark = pytest.mark.xdist_group("foreign")  # so that each environment is made once


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
        pytest.skip("no Node.js was found")
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
                pytest.skip(f"the package could not be installed: {done.stderr.strip()[-200:]}")
            mark.write_text(wanted)
    return found


def keys(box: Sandbox, path: str, key: str = "ID") -> list[str]:
    return sorted(row[key] for row in box.rows(path, box.divisions[0]))


@pytest.mark.parametrize(
    ("client", "path", "pages"),
    [
        ("exact_online_sdk", "crm/Contacts", 2),
        ("django_exact", "crm/Accounts", None),
        ("python_exact_online", "hrm/Costcenters", None),
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
    assert {call.status for call in box.requests} == {200}


def test_a_client_that_selects_nothing_works_where_the_sandbox_is_lenient(read: Read) -> None:
    command = python_client("exactpy")
    box = Sandbox(invoices=5, page_size=10, lenient=True)
    with box.serve() as base_url:
        found = json.loads(read(command, box, base_url))
    assert sorted(found["ids"]) == keys(box, "financial/GLAccounts")
    assert found["pages"] == 4
    assert found["division"] == box.divisions[0]


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
    box = Sandbox(invoices=70, minute_limit=1000, lenient=True)  # it sends no filter the first time
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
    assert {call.status for call in box.requests} == {200}


def test_a_client_in_javascript_logs_in_and_reads(read: Read, node: str) -> None:
    box = Sandbox(invoices=5)
    with box.serve() as base_url:
        found = json.loads(read([node, str(FOREIGN / "read_quantix.js")], box, base_url))
    assert found["division"] == box.divisions[0]
    assert sorted(found["journals"]) == keys(box, "financial/Journals")
    assert sorted(found["accounts"]) == keys(box, "sync/CRM/Accounts")
    assert found["refused"] == "EXACT: Bad Request"


def test_a_client_in_php_logs_in_and_reads(read: Read) -> None:
    """With picqer/exact-php-client, which is on no index that this project installs from."""
    checkout, php = os.environ.get("EXACT_TEST_PICQER"), shutil.which("php")
    if php is None or not checkout:
        pytest.skip("EXACT_TEST_PICQER names no checkout of exact-php-client, or PHP is missing")
    box = Sandbox(invoices=30, page_size=6)
    command = [php, str(FOREIGN / "read_picqer.php")]
    with box.serve() as base_url:
        found = json.loads(read(command, box, base_url, checkout=checkout))
    assert found["user"] == box.divisions[0]
    assert sorted(found["accounts"]) == keys(box, "crm/Accounts")
    assert len(found["padded"]) == 18
    assert found["found"] in found["accounts"]
    assert found["invoices"] == 1
    assert 0 < found["remaining"] < 5000
    assert found["refused"].startswith("Error 400")
    assert [call.status for call in box.requests].count(400) == 1


@pytest.fixture
def exactonline(monkeypatch: pytest.MonkeyPatch) -> Any:
    package = pytest.importorskip("exactonline", reason="pip install exactonline to run this")
    http = pytest.importorskip("exactonline.http")
    monkeypatch.setattr(http.opt_secure, "protocols", ("http",))
    return package


@pytest.mark.usefixtures("exactonline")
def test_exactonline_logs_in_reads_pages_and_obeys_the_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ini = pytest.importorskip("exactonline.storage.ini")
    api_module = pytest.importorskip("exactonline.api")
    get = pytest.importorskip("exactonline.resource").GET
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
        rows = api.rest(get(f"v1/{current}/financialtransaction/TransactionLines?{query}"))
        code = api.relations.filter(relation_code="10001", select="ID,Code")[0]["Code"]
    truth = box.rows("financialtransaction/TransactionLines", current)
    assert sorted(row["ID"] for row in rows) == sorted(row["ID"] for row in truth)
    assert len(truth) > 8 * 60
    assert waited
    assert code.strip() == "10001"
    assert 429 not in {request.status for request in box.requests}
