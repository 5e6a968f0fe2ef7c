"""The second Exact Online does what the facts say; each comment names their section.

Shapes are hand-made after recorded replies.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.independent.clocks import STEP_S, HostClock, digits
from tests.support.independent.company import Company
from tests.support.independent.faults import PAGE_FAULTS
from tests.support.independent_server import IndependentServer, Rules

SITE = "https://start.exactonline.example"
DIVISION = 1001
JSON = {"Accept": "application/json", "Authorization": "Bearer good"}
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DATE = re.compile(r"/Date\(-?\d+\)/")
MINUTELY = {f"x-ratelimit-minutely-{n}" for n in ("limit", "remaining", "reset")}
DAILY = {f"x-ratelimit-{n}" for n in ("limit", "remaining", "reset")}


def test_the_server_shares_no_code_with_what_it_tests() -> None:
    """``bench.py`` and ``history.py`` are the clients."""
    folder = Path(__file__).parents[1] / "support"
    files = [folder / "independent_server.py", *(folder / "independent").glob("*.py")]
    server = [file for file in files if file.name not in {"bench.py", "history.py"}]
    imported = {
        name
        for file in server
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else []
        )
    }  # fmt: skip
    others = {name for name in imported if not name.startswith("tests.support.independent")}
    assert len(server) > 8
    assert not [name for name in others if name.startswith(("exact_source", "tests"))]


def make(**settings: Any) -> tuple[IndependentServer, Company]:
    rules = {"page": 4, "large_page": 6, **settings}
    server = IndependentServer([DIVISION, 1002], rules=Rules(**rules))
    return server, server.companies[DIVISION]


def get(
    server: IndependentServer, path: str, *, headers: dict[str, str] = JSON, **options: Any
) -> httpx.Response:
    """A GET below the division; options get their ``$``, but for those that end in ``_``."""
    names = {n: n.removesuffix("_") if n.endswith("_") else f"${n}" for n in options}
    query = "&".join(f"{names[n]}={value}" for n, value in options.items())
    url = path if path.startswith("http") else f"{SITE}/api/v1/{DIVISION}/{path}"
    return fetch(server, f"{url}?{query}" if query else url, headers)


def fetch(server: IndependentServer, url: str, headers: dict[str, str] = JSON) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=server) as client:
            return await client.get(url, headers=headers)

    return asyncio.run(ask())


def rows(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    found = reply.json()["d"]
    return found if isinstance(found, list) else found["results"]


def pages(server: IndependentServer, path: str, **options: Any) -> Iterator[httpx.Response]:
    reply = get(server, path, **options)
    yield reply
    while link := reply.json()["d"].get("__next"):
        reply = fetch(server, link)
        yield reply


def add(company: Company, count: int, table: str = "accounts", **values: Any) -> list[str]:
    keys = []
    for number in range(count):
        company.clock.advance(1)
        keys.append(company.insert(table, **{"Name": f"Name {number}", **values}))
    return keys


def message(reply: httpx.Response) -> str:
    """The envelope of an error (6.1)."""
    found = reply.json()
    assert found.keys() == {"error"}
    assert found["error"].keys() == {"code", "message"}
    assert found["error"]["message"].keys() == {"lang", "value"}
    return str(found["error"]["message"]["value"])


# -- shapes ----------------------------------------------------------------------------------------


def shape(value: Any) -> Any:
    """Keys and kinds of a reply, in order."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        kinds = {"date": DATE, "guid": GUID, "int64": re.compile(r"\d{10,}")}
        return next((k for k, form in kinds.items() if form.fullmatch(value)), "text")
    return type(value).__name__


META = {"uri": "text", "type": "text"}
SHAPES = {
    # As recorded: the key first, then the order of the type and not that of $select (3.1).
    "crm/Accounts?$select=Name,ID,Code,IsSales,Modified": [
        {"__metadata": META, "ID": "guid", "Code": "text", "IsSales": "bool", "Modified": "date",
         "Name": "text"}
    ],
    "financialtransaction/TransactionLines?$select=ID,EntryID,AmountDC,Modified": [
        {"__metadata": META, "ID": "guid", "AmountDC": "float", "EntryID": "guid", "Modified": "date"}
    ],
    # Timestamp is an Int64 and therefore a text (3.4).
    "sync/CRM/Accounts?$select=ID,Timestamp": [{"__metadata": META, "Timestamp": "int64", "ID": "guid"}],
    "sync/Deleted?$filter=Timestamp gt 1L": [
        {"__metadata": META, "Timestamp": "int64", "DeletedBy": "guid", "DeletedDate": "date",
         "Division": "int", "EntityKey": "guid", "EntityType": "int", "ID": "guid"}
    ],
    "salesinvoice/SalesInvoices?$select=InvoiceID,InvoiceNumber,Status": [
        {"__metadata": META, "InvoiceID": "guid", "InvoiceNumber": "int", "Status": "int"}
    ],
    "read/sync/Sync/SyncTimestamp?modified=datetime'2026-01-01'&endPoint='TransactionLines'": [
        {"__metadata": META, "Modified": "date", "API": "text", "TimeStampAsBigInt": "int64"}
    ],
    "system/Divisions?$select=Code,Hid,DivisionMoveDate,BlockingStatus,Country": [
        {"__metadata": META, "BlockingStatus": "int", "Code": "int", "Country": "text",
         "DivisionMoveDate": "NoneType", "Hid": "text"}
    ],
}  # fmt: skip


@pytest.mark.parametrize("asked", SHAPES)
def test_replies_have_the_recorded_shapes(asked: str) -> None:
    server, company = make()
    company.insert("accounts", Name="A", Code="           0000001", IsSales=False)
    gone = company.insert("accounts", Name="B")
    company.delete("accounts", gone)
    company.insert("transaction_lines", EntryID=gone, AmountDC=-16.5, LineNumber=1)
    company.insert("sales_invoices", InvoiceNumber=24700001, Status=50)

    found = get(server, asked).json()

    assert shape(found) == {"d": {"results": SHAPES[asked]}}
    assert list(found["d"]["results"][0]) == list(SHAPES[asked][0])


def test_metadata_of_a_row_names_its_address_and_its_type() -> None:
    server, company = make()
    (key,) = add(company, 1)
    base = f"{SITE}/api/v1/{DIVISION}"
    version = server.expected_rows("accounts", DIVISION)[0]["Timestamp"]

    # 12.8: singular and under its service. 12.6: the key of a sync feed is Timestamp.
    assert rows(get(server, "crm/Accounts"))[0]["__metadata"] == {
        "uri": f"{base}/crm/Accounts(guid'{key}')", "type": "Exact.Web.Api.Models.Account",
    }  # fmt: skip
    sync = rows(get(server, "sync/CRM/Accounts", select="ID"))[0]["__metadata"]
    assert sync["uri"] == f"{base}/sync/CRM/Accounts({version}L)"
    division = rows(get(server, "system/Divisions"))[0]["__metadata"]
    assert division["uri"] == f"{base}/system/Divisions({DIVISION})"
    assert division["type"] == "Exact.Web.Api.Models.System.Division"


def test_envelopes() -> None:
    server, company = make()
    (key, *_) = add(company, 3)
    page = get(server, "crm/Accounts", inlinecount="allpages").json()["d"]
    assert list(page) == ["__count", "results"]
    assert page["__count"] == "3"  # 3.1: a text
    assert isinstance(get(server, "crm/Accounts", top=2).json()["d"], list)  # 12.4
    assert get(server, f"crm/Accounts(guid'{key}')").json()["d"]["ID"] == key
    assert get(server, "crm/Accounts/$count", headers={**JSON, "Accept": "*/*"}).text == "3"
    assert get(server, "crm/Accounts").headers["DataServiceVersion"] == "2.0;"
    # 3.1: Atom unless JSON is asked for.
    atom = get(server, "crm/Accounts", headers={"Authorization": "Bearer good"})
    assert "atom" in atom.headers["Content-Type"]
    assert rb"\/Date(" in get(server, "crm/Accounts").content  # 3.5: escaped


def test_me_has_dutch_time_without_zone() -> None:
    server, _ = make()
    (me,) = rows(get(server, f"{SITE}/api/v1/current/Me"))
    # 12.1: local digits, no fraction, and the offset in seconds; 9:00 UTC is 11:00 in June.
    assert me["ServerTime"] == "2026-06-10T11:00:00"
    assert me["ServerUtcOffset"] == 7200
    assert me["CurrentDivision"] == DIVISION


def test_metadata_is_per_service() -> None:
    server, _ = make()
    reply = get(server, "crm/$metadata")
    assert '<EntityType Name="Account">' in reply.text
    assert '<Property Name="Modified" Type="Edm.DateTime" Nullable="true" />' in reply.text
    sync = get(server, "sync/CRM/$metadata").text
    assert '<PropertyRef Name="Timestamp" />' in sync  # 12.6
    assert get(server, "$metadata").status_code == 404  # 12.17: not everywhere
    server, _ = make(one_metadata=True)
    assert 'Name="Journals"' in get(server, "$metadata").text


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ("2026-06-10T09:00:00", "2026-06-10T11:00:00"),
        ("2026-12-10T09:00:00", "2026-12-10T10:00:00"),
        ("2026-10-25T00:59:59", "2026-10-25T02:59:59"),  # 3.5: this hour comes twice
        ("2026-10-25T01:00:00", "2026-10-25T02:00:00"),
        ("2026-03-29T00:59:59", "2026-03-29T01:59:59"),  # and this one is left out
        ("2026-03-29T01:00:00", "2026-03-29T03:00:00"),
    ],
)
def test_digits_are_the_dutch_wall_clock(utc: str, local: str) -> None:
    server = IndependentServer([DIVISION], start=datetime.fromisoformat(utc).replace(tzinfo=UTC))
    server.companies[DIVISION].insert("accounts")
    server.latency_s = 0
    reply = get(server, "crm/Accounts", select="Modified,Created")

    as_if_utc = datetime.fromisoformat(local).replace(tzinfo=UTC).timestamp() * 1000
    (row,) = rows(reply)
    assert row["Modified"] == row["Created"] == f"/Date({as_if_utc:.0f})/"
    sent = datetime.fromisoformat(utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert reply.headers["Date"] == sent  # 12.1: the header is true UTC


def test_milliseconds_end_in_0_3_or_7() -> None:
    # 3.5: SQL Server's datetime.
    start = datetime(2026, 6, 10, tzinfo=UTC).timestamp()
    ends = {digits(start + n / 1000) % 10 for n in range(1000)}
    assert ends == {0, 3, 7}


def test_a_host_may_be_wrong_about_the_time() -> None:
    server, _ = make()
    host = HostClock(server.clock, ahead=-300, reading=0)
    assert host.now() == server.clock.now() - 300
    host.jump(400)
    asyncio.run(host.sleep(10))
    assert host.now() == server.clock.now() + 100


# -- paging ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "size", "more"),
    [
        ("crm/Accounts", 60, {}),  # 3.2
        ("bulk/CRM/Accounts", 1000, {"select": "ID"}),
        ("sync/CRM/Accounts", 1000, {"select": "ID,Timestamp"}),
    ],
)
def test_page_sizes(path: str, size: int, more: dict[str, Any]) -> None:
    server = IndependentServer([DIVISION])
    for _ in range(size + 1):
        server.companies[DIVISION].insert("accounts")
    assert [len(rows(page)) for page in pages(server, path, **more)] == [size, 1]


def test_a_last_page_that_is_full_leads_to_an_empty_one() -> None:
    server, company = make()
    add(company, 8)
    assert [len(rows(p)) for p in pages(server, "crm/Accounts")] == [4, 4, 0]  # 3.2


def test_links_hold_the_query_and_a_token() -> None:
    server, company = make()
    keys = add(company, 5)
    base = f"{SITE}/api/v1/{DIVISION}/"
    first = get(server, "crm/Accounts", select="ID,Modified", orderby="Modified asc")
    modified = rows(first)[3]["Modified"]
    # 12.5: literal $, %3A, bare quotes; the token is the sorted value and the key of the last row.
    text = datetime.fromtimestamp(int(modified[6:-2]) / 1000, UTC)
    wanted = (
        f"{base}crm/Accounts?$orderby=Modified%20asc&$select=ID,Modified&$skiptoken="
        f"datetime'{text:%Y-%m-%dT%H%%3A%M%%3A%S}.{int(modified[6:-2]) % 1000:03}"
    ).rstrip("0").rstrip(".") + f"',guid'{keys[3]}'"
    assert first.json()["d"]["__next"] == wanted
    add(company, 4)
    skipped = [len(rows(p)) for p in pages(server, "crm/Accounts", select="ID", skip=3)]
    assert skipped == [4, 2]  # 3.2: once, on regular feeds
    counted = get(server, "crm/Accounts", select="ID", top=6)
    assert "&$top=2&" in counted.json()["d"]["__next"]  # 12.4: the rest is counted down
    assert sum(len(rows(p)) for p in pages(server, "crm/Accounts", select="ID", top=6)) == 6


def test_sync_pages_follow_the_timestamp_or_the_key() -> None:
    server, company = make()
    keys = add(company, 8)
    company.update("accounts", keys[0], Name="late")
    options: dict[str, Any] = {"select": "ID,Timestamp", "filter": "Timestamp gt 1L"}
    found = [r["ID"] for p in pages(server, "sync/CRM/Accounts", **options) for r in rows(p)]
    assert found == [*keys[1:], keys[0]]  # 12.6
    link = get(server, "sync/CRM/Accounts", **options).json()["d"]["__next"]
    assert re.search(r"\$skiptoken=\d+L$", link)
    server.rules.sync_by_key = True
    other = [r["ID"] for p in pages(server, "sync/CRM/Accounts", **options) for r in rows(p)]
    assert sorted(other) == sorted(found)
    assert other != found


def test_a_row_that_changes_while_sync_pages_are_read_comes_twice() -> None:
    server, company = make()
    keys = add(company, 8)
    reading = pages(server, "sync/CRM/Accounts", select="ID,Timestamp")
    found = [r["ID"] for r in rows(next(reading))]
    company.update("accounts", keys[0], Name="changed")
    found += [r["ID"] for p in reading for r in rows(p)]
    assert found.count(keys[0]) == 2  # 3.2, 4.6


def test_expanded_lines_are_paged_at_the_size_of_a_page() -> None:
    server, company = make()
    invoice = company.insert("sales_invoices")
    for number in range(5):
        company.insert("sales_invoice_lines", InvoiceID=invoice, LineNumber=number + 1)
    (row,) = rows(get(server, "salesinvoice/SalesInvoices"))
    assert list(row["SalesInvoiceLines"]) == ["__deferred"]  # 3.1
    (row,) = rows(
        get(server, "salesinvoice/SalesInvoices", expand="SalesInvoiceLines",
            select="InvoiceID,SalesInvoiceLines/ID")
    )  # fmt: skip
    lines = row["SalesInvoiceLines"]
    assert len(lines["results"]) == 4  # 12.7: 60 with the real size of a page
    assert set(lines["results"][0]) == {"__metadata", "ID"}
    assert len(rows(fetch(server, lines["__next"]))) == 1


# -- queries ---------------------------------------------------------------------------------------


def test_filters() -> None:
    server, company = make()
    first, second = add(company, 2)
    company.clock.advance(3600)
    third = company.insert("accounts", Name="O'Neil")

    def keys(text: str, path: str = "crm/Accounts") -> set[str]:
        return {r["ID"] for r in rows(get(server, path, select="ID", filter=text))}

    assert keys("Modified ge datetime'2026-06-10T11:59:00'") == {third}  # 3.3, 12.1: Dutch digits
    assert keys("Modified lt datetime'2026-06-10'") == set()
    assert keys(f"ID eq guid'{first}' or (Name eq 'O''Neil' and Division eq {DIVISION})") == {
        first,
        third,
    }
    version = server.expected_rows("accounts", DIVISION)[0]["Timestamp"]
    assert keys(f"Timestamp gt {version}L", "sync/CRM/Accounts") == {second, third}
    assert keys("Timestamp gt 1", "sync/CRM/Accounts") == {first, second, third}


@pytest.mark.parametrize(
    ("path", "options", "text"),
    [
        ("bulk/CRM/Accounts", {}, "$select"),  # 12.2: bulk always
        ("financialtransaction/TransactionLines", {}, "$select"),
        ("crm/Accounts", {"select": "Nme"}, "does not have a property named 'Nme'"),  # 12.9
        ("crm/Accounts", {"filter": "Nme eq 1"}, "No property 'Nme' exists"),
        ("crm/Accounts", {"filter": "Name is 1"}, "query syntax"),  # 6.1
        ("sync/CRM/Accounts", {"filter": "Modified gt datetime'2026-01-01'"}, "not supported"),  # 4.2
        ("bulk/CRM/Accounts", {"select": "ID", "filter": "Email eq 'x'"}, "not supported"),  # 2.5
        ("bulk/CRM/Accounts", {"select": "ID", "skip": 1}, ""),  # 3.2
        ("read/sync/Sync/SyncTimestamp", {"endPoint_": "'Accounts'"}, ""),  # 4.3
    ],
)  # fmt: skip
def test_refusals_are_400(path: str, options: dict[str, Any], text: str) -> None:
    server, _ = make()
    reply = get(server, path, **options)
    assert reply.status_code == 400
    assert text in message(reply)


def test_a_filter_may_be_mandatory() -> None:
    server, company = make()
    add(company, 1)
    assert len(rows(get(server, "crm/Accounts"))) == 1  # 12.2: not for every app
    server.rules.filter_mandatory = True
    assert "mandatory filtering" in message(get(server, "crm/Accounts"))  # 2.5
    assert len(rows(get(server, "crm/Accounts", filter="Modified ge datetime'1900-01-01'"))) == 1


def test_services_have_no_case_and_sets_have() -> None:
    server, _ = make()
    assert get(server, "CRM/Accounts").status_code == 200  # 12.3
    assert get(server, "crm//Accounts").status_code == 200
    assert get(server, "crm/accounts").status_code == 404


# -- versions and deletions ------------------------------------------------------------------------


def test_a_version_is_given_at_the_write_and_seen_at_the_commit() -> None:
    server, company = make()
    writing = company.transaction()
    late = writing.insert("accounts", Name="late")
    company.clock.advance(60)
    early = company.insert("accounts", Name="early")
    assert [r["ID"] for r in rows(get(server, "sync/CRM/Accounts", select="ID"))] == [early]
    writing.commit()
    # 4.2: its version and its Modified are below those that were read before.
    (first, second) = rows(get(server, "sync/CRM/Accounts", select="ID,Timestamp,Modified"))
    assert [first["ID"], second["ID"]] == [late, early]
    assert first["Modified"] < second["Modified"]


def test_deletions_leave_tombstones_for_two_months() -> None:
    server, company = make()
    key = company.insert("accounts")
    line = company.insert("transaction_lines", LineNumber=1)
    unit = company.insert("units")
    before = int(server.expected_rows("accounts", DIVISION)[0]["Timestamp"])
    for table, gone in (("accounts", key), ("transaction_lines", line), ("units", unit)):
        company.delete(table, gone)
    found = rows(get(server, "sync/Deleted", filter="Timestamp gt 1L"))
    # 4.5, appendix B: 2 is Accounts, 1 TransactionLines; a list without a sync feed has no tombstones.
    assert [(r["EntityType"], r["EntityKey"]) for r in found] == [(2, key), (1, line)]
    assert int(found[0]["Timestamp"]) > before
    assert len(rows(get(server, "sync/Deleted", filter="EntityType eq 2"))) == 1
    company.clock.advance(62 * 86_400)
    assert rows(get(server, "sync/Deleted")) == []


def test_a_row_may_come_back_within_one_step_of_the_clock() -> None:
    server, company = make()
    company.clock.advance(STEP_S / 2)
    key = company.insert("accounts", Name="first")
    (old,) = server.expected_rows("accounts", DIVISION)
    company.recreate("accounts", key, Name="second")
    (new,) = server.expected_rows("accounts", DIVISION)
    assert (old["Name"], new["Name"]) == ("first", "second")
    assert old["Modified"] == new["Modified"]  # 3.5: 1/300 s
    (grave,) = rows(get(server, "sync/Deleted"))
    assert int(old["Timestamp"]) < int(grave["Timestamp"]) < int(new["Timestamp"])


def test_the_sync_feed_of_lines_has_headers_and_closing_rows() -> None:
    server, company = make()
    for number in (0, 1, 9999):
        company.insert("transaction_lines", LineNumber=number)
    numbers = [r["LineNumber"] for r in rows(get(server, "sync/Financial/TransactionLines"))]
    assert numbers == [0, 1, 9999]  # 4.4
    (line,) = rows(get(server, "bulk/Financial/TransactionLines", select="LineNumber"))
    assert line["LineNumber"] == 1


def test_a_change_of_an_invoice_bumps_its_lines() -> None:
    server, company = make()
    invoice = company.insert("sales_invoices")
    company.insert("sales_invoice_lines", InvoiceID=invoice, LineNumber=1)
    found = server.expected_rows("sync_sales_invoices", DIVISION)[-1]["Timestamp"]
    company.update("sales_invoices", invoice, Description="x")
    synced = rows(get(server, "sync/SalesInvoice/SalesInvoices", filter=f"Timestamp gt {found}L"))
    assert {r["LineNumber"] for r in synced} == {0, 1}  # 4.4


def test_a_move_gives_versions_again() -> None:
    server, company = make()
    add(company, 3)
    company.move(50)
    versions = [int(r["Timestamp"]) for r in rows(get(server, "sync/CRM/Accounts"))]
    assert versions == [51, 52, 53]  # 4.2: from another start, with no change of Modified
    mine, other = rows(get(server, "system/Divisions"))
    assert DATE.fullmatch(mine["DivisionMoveDate"])
    assert other["DivisionMoveDate"] is None


def test_sync_timestamp_gives_the_first_row_by_modified() -> None:
    server, company = make()
    keys = add(company, 2, "transaction_lines", LineNumber=1)
    wanted = server.expected_rows("sync_transaction_lines", DIVISION)[1]
    company.update("transaction_lines", keys[0], Notes="x")
    path, name = "read/sync/Sync/SyncTimestamp", "'TransactionLines'"
    since = "datetime'2026-06-10T11:00:02'"
    (found,) = rows(get(server, path, modified_=since, endPoint_=name))
    assert found["TimeStampAsBigInt"] == wanted["Timestamp"]  # 4.3
    assert found["API"] == "TransactionLines"
    assert rows(get(server, path, modified_="datetime'2027-01-01'", endPoint_=name)) == []


# -- rights and companies --------------------------------------------------------------------------


def test_missing_rights_are_403_or_an_empty_list() -> None:
    server, company = make()
    add(company, 1)
    asked: dict[str, Any] = {"endpoint_": "'crm/Accounts'", "action_": "'GET'"}
    assert get(server, "users/UserHasRights", **asked).json()["d"] == {"UserHasRights": True}
    company.deny("crm/Accounts", "empty")
    assert rows(get(server, "crm/Accounts")) == []  # 6.2
    assert get(server, "users/UserHasRights", **asked).json()["d"] == {"UserHasRights": False}
    company.deny("crm/Accounts", "403")
    assert get(server, "crm/Accounts").status_code == 403
    company.allow("crm/Accounts")
    assert len(rows(get(server, "crm/Accounts"))) == 1


def test_companies_that_cannot_be_asked() -> None:
    server, company = make()
    company.block(2)
    refused = get(server, "crm/Accounts")
    assert (refused.status_code, refused.headers["Reason"]) == (403, "DivisionBlocked")  # 6.1
    assert rows(get(server, "system/Divisions"))[0]["BlockingStatus"] == 2  # 5
    strange = get(server, f"{SITE}/api/v1/555/crm/Accounts")
    assert "division scope" in message(strange)  # 1.6
    wrong = {**JSON, "Authorization": "Bearer old"}
    login = get(server, "crm/Accounts", headers=wrong)
    assert (login.status_code, "Object moved" in login.text) == (401, True)  # 1.5


# -- limits ----------------------------------------------------------------------------------------


def limits_of(reply: httpx.Response) -> set[str]:
    return {n.lower() for n in reply.headers if n.lower().startswith("x-ratelimit")}


def test_the_limit_of_a_minute() -> None:
    server, _ = make()
    server.limits.per_minute = 3
    first = get(server, "crm/Accounts")
    assert limits_of(first) == MINUTELY | DAILY  # 2.2
    assert first.headers["X-RateLimit-Minutely-Remaining"] == "2"
    reset = int(first.headers["X-RateLimit-Minutely-Reset"])
    assert reset % 60_000 == 0
    server.limits.use(DIVISION, 2)  # 2.2: other workers share the counter
    refused = get(server, "crm/Accounts")
    assert (refused.status_code, refused.content) == (429, b"")
    assert limits_of(refused) == MINUTELY  # 2.2: only the headers of the limit that is reached
    assert "Retry-After" not in refused.headers
    assert get(server, f"{SITE}/api/v1/1002/crm/Accounts").status_code == 200  # 2.1: per company
    asyncio.run(server.clock.sleep(reset / 1000 - server.clock.now()))
    assert get(server, "crm/Accounts").status_code == 200


def test_the_limit_of_a_day_ends_at_midnight_utc() -> None:
    server, _ = make()
    server.limits.per_day = 1
    get(server, "crm/Accounts")
    refused = get(server, "crm/Accounts")
    assert (refused.status_code, limits_of(refused)) == (429, DAILY)
    reset = datetime.fromtimestamp(int(refused.headers["X-RateLimit-Reset"]) / 1000, UTC)
    assert reset == datetime(2026, 6, 11, tzinfo=UTC)  # 2.1


def test_calls_without_a_division_do_not_count() -> None:
    server, _ = make()
    server.limits.per_minute = server.limits.per_day = 0
    assert limits_of(get(server, f"{SITE}/api/v1/current/Me")) == set()  # 2.1


def test_more_than_ten_errors_of_one_endpoint_block_the_key_for_an_hour() -> None:
    server, _ = make()
    answers = [get(server, "crm/Accounts", filter="x").status_code for _ in range(11)]
    assert answers == [400] * 11
    assert get(server, "financial/Journals").status_code == 429  # 2.3
    server.clock.advance(3600)
    assert get(server, "financial/Journals").status_code == 200


# -- faults ----------------------------------------------------------------------------------------


def test_faults_of_the_line() -> None:
    server, company = make()
    add(company, 1)
    errors = {
        "drop": httpx.RemoteProtocolError, "timeout": httpx.ReadTimeout,
        "cut": httpx.RemoteProtocolError, "gzip": httpx.DecodingError,
    }  # fmt: skip
    for kind, error in errors.items():
        server.faults.add(kind)
        with pytest.raises(error):
            get(server, "crm/Accounts")
        assert server.calls[-1].fault == kind


def test_faults_that_are_a_status() -> None:
    server, _ = make()
    wanted = {
        "408": 408, "429-minute": 429, "429-day": 429, "429-bare": 429, "500": 500, "503": 503,
        "599": 599, "html": 200, "400": 400, "401": 401, "403": 403, "404": 404,
    }  # fmt: skip
    replies = {}
    for kind, status in wanted.items():
        server.faults.add(kind, on="Accounts")
        assert get(server, "financial/Journals").status_code == 200  # it waits for its path
        replies[kind] = get(server, "crm/Accounts")
        assert replies[kind].status_code == status
    assert limits_of(replies["429-minute"]) == MINUTELY
    assert limits_of(replies["429-day"]) == DAILY
    assert limits_of(replies["500"]) == MINUTELY | DAILY
    assert limits_of(replies["503"]) == set()
    assert limits_of(replies["429-bare"]) == set()  # 2.2: seen in 2019
    assert "Object moved" in replies["html"].text  # 1.5


@pytest.mark.parametrize("kind", PAGE_FAULTS)
def test_faults_of_a_page(kind: str) -> None:
    server, company = make()
    keys = add(company, 3)
    company.update("accounts", keys[1], Name="newer")
    good = get(server, "crm/Accounts").json()["d"]
    server.faults.add(kind)
    bad = get(server, "crm/Accounts").json()["d"]
    assert bad != good
    links = {"next-host": "evil", "next-division": "999999", "next-endpoint": "Mandates"}
    names = [r["Name"] for r in bad["results"] if r.get("ID") == keys[1]]
    if kind.startswith("next-"):
        assert links.get(kind, "crm/Accounts") in bad["__next"]
    elif kind == "old-then-new":
        assert names == ["Name 1", "newer"]
    elif kind == "new-then-old":
        assert names == ["newer", "Name 1"]
    assert get(server, "crm/Accounts").json()["d"] == good


def test_random_faults_are_the_same_for_the_same_seed() -> None:
    def statuses() -> list[int]:
        server, _ = make()
        server.faults.rate, server.faults.kinds = 0.5, ["500", "503"]
        return [get(server, "crm/Accounts").status_code for _ in range(30)]

    assert statuses() == statuses()
    assert {200, 500, 503} == set(statuses())


@pytest.mark.parametrize("kind", ["huge", "bomb"])
def test_hostile_sizes_are_sent_in_parts(kind: str) -> None:
    server, company = make()
    add(company, 1)
    server.faults.add(kind, size=20_000_000)

    async def read() -> tuple[int, int]:
        async with httpx.AsyncClient(transport=server) as client:
            url = f"{SITE}/api/v1/{DIVISION}/crm/Accounts"
            headers = {**JSON, "Accept-Encoding": "identity"}
            async with client.stream("GET", url, headers=headers) as reply:
                size = sum([len(part) async for part in reply.aiter_bytes()])
                return size, reply.num_bytes_downloaded

    unpacked, sent = asyncio.run(read())
    assert unpacked > 19_000_000
    assert sent < 100_000 if kind == "bomb" else sent == unpacked
