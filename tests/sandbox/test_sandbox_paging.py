from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import ALL_ACCOUNTS, BASE_URL, Caller, new_box

CONTACTS = {"$select": "ID"}


def small(**options: Any) -> tuple[Sandbox, Caller]:
    box = new_box(**{"page_size": 4, "large_page_size": 10, **options})
    return box, Caller(box)


def fill(box: Sandbox, path: str, count: int) -> None:
    """Leave exactly ``count`` rows in an endpoint."""
    division = box.divisions[0]
    for row in box.rows(path, division):
        box.delete(path, division, row["ID"])
    for number in range(count):
        box.insert(path, division, {"Description": f"row {number}"})


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (3, [3]), (4, [4, 0]), (9, [4, 4, 1])])
def test_full_last_page_leads_to_an_empty_one(count: int, sizes: list[int]) -> None:
    box, caller = small()
    fill(box, "hrm/Costcenters", count)
    assert [len(page) for page in caller.pages("hrm/Costcenters", CONTACTS)] == sizes


def test_default_sizes_are_60_and_1000() -> None:
    box = new_box()
    fill(box, "logistics/ItemGroups", 61)
    caller = Caller(box)
    assert [len(p) for p in caller.pages("logistics/ItemGroups", CONTACTS)] == [60, 1]
    lines = caller.pages("bulk/Financial/GLAccounts", CONTACTS)
    assert [len(page) for page in lines] == [36]


def test_next_is_the_whole_address_with_a_skiptoken() -> None:
    _, caller = small()
    options = {"$select": "ID,Name", "$filter": ALL_ACCOUNTS, "x": "y"}
    body = caller.get("crm/Accounts", options).json()["d"]
    url = body["__next"]
    assert url.startswith(f"{BASE_URL}/api/v1/{caller.division}/crm/Accounts?")
    last = body["results"][-1]["ID"]
    assert unquote(url).endswith(f"&$skiptoken=guid'{last}'")
    assert f"$filter={ALL_ACCOUNTS}" in unquote(url)
    following = caller.follow(url).json()["d"]["__next"]
    assert following.count("skiptoken") == 1


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("financial/ReportingBalance", "ID,1L"),
        ("documents/DocumentTypes", "1"),
        ("general/Currencies", "'001'"),
    ],
)
def test_skiptoken_has_the_form_of_the_key(path: str, form: str) -> None:
    _, caller = small(page_size=1)
    key = "Code" if path == "general/Currencies" else "ID"
    url = caller.get(path, {"$select": key}).json()["d"]["__next"]
    assert unquote(url).endswith(f"$skiptoken={form.rsplit(',', maxsplit=1)[-1]}")
    assert caller.follow(url).status_code == 200


def test_composite_skiptoken() -> None:
    box, caller = small(page_size=5)
    box.settings.paged_reads = True
    pages = caller.pages("read/financial/JournalStatusList", {"$select": "Journal,Period,Year"})
    assert len(pages) > 3
    url = caller.get("read/financial/JournalStatusList", CONTACTS | {"$select": "Year"}).json()[
        "d"
    ]["__next"]
    journal, period, year = unquote(url).rsplit("=", 1)[1].split(",")
    assert (journal[0], journal[-1]) == ("'", "'")
    assert period.isdecimal()
    assert year.isdecimal()
    rows = [(r["Journal"], r["Period"], r["Year"]) for page in pages for r in page]
    assert rows == sorted(set(rows))
    assert len(rows) == len(box.rows("read/financial/JournalStatusList", caller.division))


def test_orderby_pages_without_loss() -> None:
    box, caller = small()
    options = {
        "$select": "ID,City,Remarks",
        "$filter": ALL_ACCOUNTS,
        "$orderby": "Remarks desc,City",
    }
    rows = caller.rows("crm/Accounts", options)
    assert {row["ID"] for row in rows} == {
        row["ID"] for row in box.rows("crm/Accounts", caller.division)
    }
    assert len(rows) == len({row["ID"] for row in rows})


@pytest.mark.parametrize(("top", "rows"), [("2", 2), ("0", 0), ("100", 4)])
def test_top_gives_a_bare_list_without_next(top: str, rows: int) -> None:
    _, caller = small()
    body = caller.get("crm/Contacts", CONTACTS | {"$top": top}).json()
    assert isinstance(body["d"], list)
    assert len(body["d"]) == rows


def test_top_does_not_limit_a_sync_feed() -> None:
    box, caller = small(large_page_size=1000)
    rows = caller.rows("sync/CRM/Contacts", {"$select": "ID", "$top": "2"})
    assert len(rows) == len(box.rows("crm/Contacts", caller.division))


def test_skip_is_done_once() -> None:
    _, caller = small()
    everything = caller.rows("crm/Contacts", CONTACTS)
    assert caller.rows("crm/Contacts", CONTACTS | {"$skip": "3"}) == everything[3:]


def test_inlinecount_is_a_text() -> None:
    box, caller = small()
    body = caller.get("crm/Contacts", CONTACTS | {"$inlinecount": "allpages"}).json()["d"]
    assert body["__count"] == str(len(box.rows("crm/Contacts", caller.division)))
    assert len(body["results"]) == 4


def test_count_is_plain_text() -> None:
    box, caller = small()
    answer = caller.get("crm/Contacts/$count", headers={"Accept": "*/*"})
    assert answer.text == str(len(box.rows("crm/Contacts", caller.division)))
    assert answer.headers["content-type"].startswith("text/plain")
    assert caller.get("crm/Contacts/$count").status_code == 415
    assert caller.get("crm/Accounts/$count", headers={"Accept": "*/*"}).status_code == 400


def test_by_key_gives_one_row_or_404() -> None:
    box, caller = small()
    row = box.rows("crm/Accounts", caller.division)[0]
    body = caller.get(f"crm/Accounts(guid'{row['ID']}')").json()["d"]
    assert body["Name"] == row["Name"]
    assert body["__metadata"]["uri"].endswith(f"crm/Accounts(guid'{row['ID']}')")
    missing = "crm/Accounts(guid'00000000-0000-0000-0000-000000000000')"
    assert caller.get(missing).status_code == 404
    assert caller.get(f"crm/Accounts(guid'{row['ID']}')", {"$select": "Name"}).json()[
        "d"
    ].keys() == {
        "__metadata",
        "Name",
    }
    assert caller.get("system/Divisions(1000123)").json()["d"]["Code"] == 1_000_123


def test_functions_give_a_bare_list_of_everything() -> None:
    box, caller = small(invoices=80)
    body = caller.get("read/financial/ReceivablesList").json()
    assert len(body["d"]) == len(box.rows("read/financial/ReceivablesList", caller.division)) > 4
    box.settings.paged_reads = True
    body = caller.get("read/financial/ReceivablesList").json()
    assert len(body["d"]["results"]) == 4
    assert "__next" in body["d"]


def test_row_deleted_between_pages_skips_nothing_and_inserted_one_may_be_missed() -> None:
    box, caller = small()
    first = caller.get("crm/Contacts", CONTACTS).json()["d"]
    box.delete("crm/Contacts", caller.division, first["results"][-1]["ID"])
    early = "00000000-0000-4000-a000-000000000000"
    box.insert("crm/Contacts", caller.division, {"ID": early})
    keys = [row["ID"] for row in caller.follow(first["__next"]).json()["d"]["results"]]
    others = sorted(r["ID"] for r in box.rows("crm/Contacts", caller.division))
    assert keys == [key for key in others if key > first["results"][-1]["ID"]][:4]
    assert early not in keys


def test_sync_feed_is_in_key_order_unless_asked_otherwise() -> None:
    box, caller = small()
    options = {"$select": "ID,Timestamp"}
    box.touch(
        "crm/Contacts",
        caller.division,
        [min(r["ID"] for r in box.rows("crm/Contacts", caller.division))],
    )
    rows = caller.rows("sync/CRM/Contacts", options)
    assert [r["ID"] for r in rows] == sorted(r["ID"] for r in rows)
    assert [int(r["Timestamp"]) for r in rows] != sorted(int(r["Timestamp"]) for r in rows)
    box.settings.sync_order = "Timestamp"
    rows = caller.rows("sync/CRM/Contacts", options)
    assert [int(r["Timestamp"]) for r in rows] == sorted(int(r["Timestamp"]) for r in rows)


def test_row_touched_while_a_sync_feed_is_paged_comes_again_at_the_end() -> None:
    box, caller = small(sync_order="Timestamp", large_page_size=5)
    first = caller.get("sync/CRM/Contacts", {"$select": "ID,Timestamp"}).json()["d"]
    assert unquote(first["__next"]).endswith(f"$skiptoken={first['results'][-1]['Timestamp']}L")
    box.touch("crm/Contacts", caller.division, [first["results"][0]["ID"]])
    rows = list(first["results"])
    body = first
    while "__next" in body:
        body = caller.follow(body["__next"]).json()["d"]
        rows += body["results"]
    assert rows[-1]["ID"] == rows[0]["ID"]
    assert int(rows[-1]["Timestamp"]) > int(rows[0]["Timestamp"])


def test_lines_are_deferred_expanded_or_read_alone() -> None:
    box, caller = small()
    invoice = box.rows("salesinvoice/SalesInvoices", caller.division)[0]
    path = f"salesinvoice/SalesInvoices(guid'{invoice['InvoiceID']}')"
    lines = {
        line["ID"]
        for line in box.rows("salesinvoice/SalesInvoiceLines", caller.division)
        if line["InvoiceID"] == invoice["InvoiceID"]
    }
    deferred = caller.get(path).json()["d"]["SalesInvoiceLines"]["__deferred"]["uri"]
    assert deferred.endswith(f"{path}/SalesInvoiceLines")
    alone = caller.follow(deferred).json()["d"]["results"]
    expanded = caller.get(path, {"$expand": "SalesInvoiceLines"}).json()["d"]["SalesInvoiceLines"][
        "results"
    ]
    assert {r["ID"] for r in alone} == {r["ID"] for r in expanded} == lines
    assert "SalesInvoiceLines" not in caller.get(path, {"$select": "InvoiceID"}).json()["d"]
