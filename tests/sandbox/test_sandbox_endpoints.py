from __future__ import annotations

from xml.etree import ElementTree

import pytest

from exact_source.sandbox import Sandbox
from exact_source.sandbox.data.catalogue import Catalogue, Endpoint
from exact_source.sandbox.http.rows import PAGED_FUNCTIONS
from tests.support.sandbox_kit import Caller, new_box

ENDPOINTS = sorted(Catalogue(), key=lambda endpoint: endpoint.path)
LITERALS = {
    "g": "guid'00000000-0000-0000-0000-000000000000'",
    "s": "'TransactionLines'",
    "b": "true",
    "i": "1",
    "h": "1",
    "t": "datetime'2026-01-01T00:00:00'",
}


@pytest.fixture(scope="module")
def box() -> Sandbox:
    return new_box(page_size=1000)


def options(endpoint: Endpoint) -> dict[str, str]:
    """What a good call of the endpoint has to say."""
    found = {name: LITERALS[type_code] for name, (type_code, _) in endpoint.parameters.items()}
    if endpoint.columns:
        found["$select"] = ",".join(list(endpoint.columns)[:80])
    keys = [name for name in endpoint.mandatory_filter if endpoint.columns.get(name) == "g"]
    if keys:
        found["$filter"] = f"{keys[0]} ne {LITERALS['g']}"
    return found


def read(box: Sandbox, endpoint: Endpoint, accept: str) -> bytes:
    caller = Caller(box)
    folder = "beta/" if endpoint.path.startswith("beta/") else ""
    division = "" if endpoint.no_division else f"{caller.division}/"
    query = "&".join(f"{name}={text}" for name, text in options(endpoint).items())
    url = f"/api/v1/{folder}{division}{endpoint.path.removeprefix('beta/')}?{query}"
    answer = caller.follow(url, {"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: str(endpoint.path))
def test_endpoint_serves_its_rows_and_columns(box: Sandbox, endpoint: Endpoint) -> None:
    import json

    body = json.loads(read(box, endpoint, "application/json"))["d"]
    if endpoint.entity == "user_has_rights":
        return
    is_whole = endpoint.kind == "function" and endpoint.entity not in PAGED_FUNCTIONS
    assert isinstance(body, list) == is_whole
    rows = body if isinstance(body, list) else body["results"]
    asked = set(options(endpoint).get("$select", "").split(",")) - {""}
    assert all(row.keys() - {"__metadata"} == asked for row in rows)
    if not endpoint.parameters:
        truth = box.rows(endpoint.path, box.divisions[0])
        assert len(rows) == min(len(truth), 1000)


@pytest.mark.parametrize("endpoint", ENDPOINTS[::9], ids=lambda endpoint: str(endpoint.path))
def test_endpoint_serves_atom(box: Sandbox, endpoint: Endpoint) -> None:
    if endpoint.entity != "user_has_rights":
        assert ElementTree.fromstring(read(box, endpoint, "application/atom+xml")).tag.endswith(
            "feed"
        )


def test_catalogue_is_the_whole_api() -> None:
    assert len(ENDPOINTS) > 400
    kinds = {endpoint.kind for endpoint in ENDPOINTS}
    assert kinds == {"regular", "bulk", "sync", "function"}
