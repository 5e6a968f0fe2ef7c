from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import BASE_URL, NOON, Caller, new_box

FIRST = 1_000_123
AT = {"path": "crm/Accounts", "division": FIRST}
READ = {"$select": "ID", "$filter": "Modified gt datetime'2000-01-01'"}


@pytest.fixture
def box() -> Sandbox:
    return new_box()


def send(box: Sandbox, method: str, path: str, body: Any = None) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=box.app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            return await client.request(method, f"/_sandbox/{path}", json=body)

    return asyncio.run(go())


def act(box: Sandbox, action: str, **arguments: Any) -> Any:
    answer = send(box, "POST", action, arguments)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_rows_can_be_written_over_http(box: Sandbox) -> None:
    division = box.divisions[0]
    at: dict[str, Any] = {"path": "crm/Accounts", "division": division}
    row = act(box, "insert", **at, row={"Name": "Nieuw", "StartDate": "2026-01-02"})
    assert row["StartDate"] == "2026-01-02T00:00:00"
    act(box, "update", **at, key=row["ID"], changes={"Name": "Anders"})
    stored = {r["ID"]: r for r in box.rows("crm/Accounts", division)}
    assert stored[row["ID"]]["Name"] == "Anders"
    assert stored[row["ID"]]["StartDate"].isoformat() == "2026-01-02T00:00:00"
    act(box, "touch", **at, keys=[row["ID"]], modified="2026-06-01T10:00:00")
    rows = send(box, "GET", f"rows/{division}/crm/Accounts").json()
    assert {r["ID"]: r for r in rows}[row["ID"]]["Modified"] == "2026-06-01T10:00:00"
    act(box, "delete", **at, key=row["ID"])
    assert row["ID"] not in {r["ID"] for r in box.rows("crm/Accounts", division)}


def test_everything_else_can_be_ordered_over_http(box: Sandbox) -> None:
    division, caller = box.divisions[0], Caller(box)
    assert act(box, "clock", advance=60)["now"] == "2026-06-15T12:01:00+00:00"
    act(box, "clock", set=NOON.isoformat())
    act(box, "consume", division=division, calls=7)
    act(box, "fault", kind="503", path="crm/*")
    stats = send(box, "GET", "stats").json()
    assert stats["divisions"][str(division)]["minute"] == 7
    assert stats["faults"][0]["kind"] == "503"
    act(box, "clear_faults")
    act(box, "deny", division=division, path="crm/Contacts")
    assert caller.get("crm/Contacts", {"$select": "ID"}).status_code == 403
    act(box, "allow", division=division)
    assert caller.get("crm/Contacts", {"$select": "ID"}).status_code == 200
    logged = send(box, "GET", "requests").json()["requests"]
    assert [call["status"] for call in logged] == [403, 200]
    assert act(box, "login")["code"]
    act(box, "block_division", division=division, status=1)
    act(box, "move_division", division=division)
    act(box, "reset")
    assert box.requests == []


@pytest.mark.parametrize(
    ("action", "body", "text"),
    [
        ("insert", {"path": "crm/Nope", "division": FIRST, "row": {}}, "no endpoint"),
        ("insert", {"path": "crm/Accounts"}, "division"),
        ("insert", {**AT, "row": None}, "row is an object"),
        ("insert", {**AT, "row": {"Name": {"a": 1}}}, "row is an object"),
        ("insert", {**AT, "row": {"StartDate": 5}}, "2026-01-31T12:00:00"),
        ("insert", {**AT, "row": {"Timestamp": "1"}}, "Timestamp is a whole number"),
        ("insert", {**AT, "row": {"Nope": 1}}, "no column Nope"),
        ("insert", {"path": "crm/Accounts", "division": 42, "row": {}}, "division 42 is none of"),
        ("insert", {"path": "crm/Accounts", "division": "x", "row": {}}, "division is a whole"),
        ("insert", [], "takes a JSON object"),
        ("update", {**AT, "key": "nobody", "changes": {}}, "no row with the key"),
        ("update", {**AT, "key": {}, "changes": {}}, "key is the value"),
        ("touch", {**AT, "keys": "all"}, "keys is a list"),
        ("touch", {**AT, "modified": "soon"}, "2026-01-31T12:00:00"),
        ("clock", {"advance": "much"}, "advance is a number"),
        ("clock", {"set": "soon"}, "soon"),
        ("clock", {"frozen": "x"}, "frozen is true or false"),
        ("clock", {"stop": True}, "takes set, advance, frozen; not stop"),
        ("block_division", {"division": FIRST, "status": "x"}, "status is a whole number"),
        ("consume", {"division": FIRST, "calls": -1}, "calls is a whole number, 0 or more"),
        ("fault", {"kind": "503", "times": "two"}, "times is a whole number"),
        ("fault", {"kind": "503", "after": -1}, "after is a whole number"),
        ("fault", {"kind": "503", "probability": 5}, "probability is a number from 0 to 1"),
        ("fault", {"kind": "slow", "seconds": "x"}, "seconds is a number"),
        ("fault", {"kind": "503", "division": "x"}, "division"),
        ("fault", {"kind": "503", "path": 5}, "path is a text"),
        ("fault", {"kind": None}, "kind is a status or a word"),
        ("login", {"user": 5}, "user is a text"),
        ("reset", {"all": True}, "reset takes nothing"),
        ("fault", {"kind": "sunshine"}, "no fault"),
        ("deny", {"who": 1}, "who"),
    ],
)
def test_mistakes_get_a_400_that_says_what(box: Sandbox, action: str, body: Any, text: str) -> None:
    answer = send(box, "POST", action, body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert Caller(box).get("crm/Accounts", READ).status_code == 200
    assert box.state.faults.rules == []


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"advance": NaN}', b'{"advance": 1e999}'])
def test_a_body_that_is_no_json_gets_a_400(box: Sandbox, body: bytes) -> None:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=box.app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            return await client.post("/_sandbox/clock", content=body)

    answer = asyncio.run(go())
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(("clock takes a JSON object", "advance is a number"))


def test_rows_of_an_unknown_division_get_a_400_that_names_it(box: Sandbox) -> None:
    answer = send(box, "GET", "rows/1/crm/Accounts")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("division 1 is none of")


def test_a_login_of_another_user_can_be_ordered(box: Sandbox) -> None:
    act(box, "login", user="joost")
    assert box.state.oauth.connections[-1].user == "joost"


def test_unknown_action_names_the_known_ones(box: Sandbox) -> None:
    answer = send(box, "POST", "dance", {})
    assert answer.status_code == 404
    assert "insert" in answer.json()["error"]


def test_page_shows_how_to_connect(box: Sandbox) -> None:
    page = send(box, "GET", "").text
    for text in (BASE_URL, box.client_id, box.redirect_uri, str(box.divisions[1])):
        assert text in page
    for example in page.split('data-body="')[1:]:
        json.loads(example.split('"')[0].replace("&quot;", '"'))
