"""A client that was written for the real Exact Online, by others, reads the sandbox unchanged."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from exact_source.sandbox import Sandbox

SETTINGS = """\
[server]
auth_url = {base_url}/api/oauth2/auth
rest_url = {base_url}/api
token_url = {base_url}/api/oauth2/token
[application]
base_url = https://localhost
client_id = {client_id}
client_secret = {client_secret}
"""


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
        path.write_text(SETTINGS.format(base_url=base_url, **app))
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
