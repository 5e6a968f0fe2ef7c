from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import ALL_ACCOUNTS, BASE_URL, Caller, error_text, new_box

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


def test_next_is_written_as_the_real_one() -> None:
    """Options in WCF's order, ``$`` and quotes unchanged, and the text in quotes escaped."""
    _, caller = small()
    options = {"$select": "ID,Name", "$orderby": "Modified asc", "$filter": ALL_ACCOUNTS}
    body = caller.get("crm/Accounts", {**options, "x": "y", "$skip": "0"}).json()["d"]
    last = body["results"][-1]["ID"]
    asked = (
        "$filter=Modified%20ge%20datetime'1900-01-01T00%3A00%3A00'&$orderby=Modified%20asc"
        "&$select=ID,Name&$skiptoken=datetime'"
    )
    start, url = f"{BASE_URL}/api/v1/{caller.division}/crm/Accounts?", body["__next"]
    assert url.startswith(start + asked)
    assert url.endswith(f"',guid'{last}'")
    moment = url.removeprefix(start + asked).partition("'")[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d(\.\d{1,3})?", moment)
    assert not moment.endswith("0") or "." not in moment
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
    journal, period, year = unquote(url).rsplit("$skiptoken=", 1)[1].split(",")
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


@pytest.mark.parametrize("path", ["crm/Contacts", "sync/CRM/Contacts", "bulk/CRM/Contacts"])
@pytest.mark.parametrize("top", [0, 2, 4])
def test_top_within_a_page_gives_a_bare_list_without_next(path: str, top: int) -> None:
    _, caller = small(large_page_size=4)
    body = caller.get(path, CONTACTS | {"$top": str(top)}).json()
    assert isinstance(body["d"], list)
    assert len(body["d"]) == top


@pytest.mark.parametrize(
    "more",
    [{"$inlinecount": "allpages"}, {"$skiptoken": "guid'00000000-0000-0000-0000-000000000000'"}],
)
def test_top_gives_results_where_the_query_is_of_version_2(more: dict[str, str]) -> None:
    _, caller = small()
    body = caller.get("crm/Contacts", CONTACTS | {"$top": "2", **more}).json()["d"]
    assert (len(body["results"]), "__next" in body) == (2, False)
    invoices = caller.get("salesinvoice/SalesInvoices", {"$top": "2"}).json()["d"]
    assert len(invoices["results"]) == 2  # alone among the endpoints that were recorded


@pytest.mark.parametrize("path", ["crm/Contacts", "bulk/CRM/Contacts"])
def test_top_above_a_page_is_counted_down_page_by_page(path: str) -> None:
    _, caller = small(large_page_size=4)
    everything = caller.rows(path, CONTACTS)
    assert len(everything) > 10
    first = caller.get(path, CONTACTS | {"$top": "10"}).json()["d"]
    assert "$top=6&$skiptoken=" in first["__next"]
    pages = caller.pages(path, CONTACTS | {"$top": "10"})
    assert [len(page) for page in pages] == [4, 4, 2]
    assert [row for page in pages for row in page] == everything[:10]
    assert [len(p) for p in caller.pages(path, CONTACTS | {"$top": "8"})] == [4, 4]


def test_top_above_a_page_does_not_limit_a_sync_feed() -> None:
    _, caller = small(large_page_size=4)
    everything = caller.rows("sync/CRM/Contacts", CONTACTS)
    assert caller.rows("sync/CRM/Contacts", CONTACTS | {"$top": "5"}) == everything


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
    assert caller.get("crm/Accounts/$count", headers={"Accept": "*/*"}).status_code == 200
    box.settings.require_filter = "seen"
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
    assert caller.get("system/Divisions(Code=1000123)").json()["d"]["Code"] == 1_000_123
    for wrong in ("", "1,2", "Hid=1", "guid'x'"):
        assert caller.get(f"system/Divisions({wrong})").status_code == 400


def test_a_composite_key_names_its_columns() -> None:
    _, caller = small()
    status = caller.get("read/financial/JournalStatusList").json()["d"][0]
    uri = status["__metadata"]["uri"]
    key = f"Journal='{status['Journal']}',Period={status['Period']},Year={status['Year']}"
    assert uri.endswith(f"/read/financial/JournalStatusList({key})")
    assert caller.follow(uri.removeprefix(BASE_URL)).json()["d"] == status
    positions = f"'{status['Journal']}',{status['Period']},{status['Year']}"
    assert caller.get(f"read/financial/JournalStatusList({positions})").status_code == 400


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


def test_sync_feed_is_in_the_order_of_timestamp_unless_asked_otherwise() -> None:
    box, caller = small(sync_order="key")
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
    box, caller = small(large_page_size=5)
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


def test_a_client_may_resume_a_sync_feed_at_a_version_of_its_own() -> None:
    """The OData key of sync feeds is ``Timestamp``, and the skiptoken is a key."""
    _, caller = small()
    everything = caller.rows("sync/CRM/Contacts", {"$select": "ID,Timestamp"})
    token = {"$skiptoken": f"{everything[2]['Timestamp']}L"}
    assert caller.rows("sync/CRM/Contacts", {"$select": "ID,Timestamp", **token}) == everything[3:]


def test_an_empty_skiptoken_counts_for_nothing() -> None:
    _, caller = small()
    token = {"$skiptoken": ""}
    assert caller.rows("crm/Contacts", CONTACTS | token) == caller.rows("crm/Contacts", CONTACTS)


INVOICES, LINES = "salesinvoice/SalesInvoices", "SalesInvoiceLines"


def long_invoice(lines: int) -> tuple[Caller, str, list[str]]:
    """An invoice with so many lines, and the keys of these in the order of pages."""
    box, caller = small()
    invoice = box.rows(INVOICES, caller.division)[0]["InvoiceID"]
    path = "salesinvoice/SalesInvoiceLines"
    for row in box.rows(path, caller.division):
        if row["InvoiceID"] == invoice:
            box.delete(path, caller.division, row["ID"])
    new = [box.insert(path, caller.division, {"InvoiceID": invoice}) for _ in range(lines)]
    return caller, f"{INVOICES}(guid'{invoice}')", sorted(row["ID"] for row in new)


@pytest.mark.parametrize(("count", "sizes"), [(3, [3]), (4, [4, 0]), (9, [4, 4, 1])])
@pytest.mark.parametrize("how", ["expanded", "alone"])
def test_collections_are_paged_like_lists(how: str, count: int, sizes: list[int]) -> None:
    caller, path, keys = long_invoice(count)
    if how == "expanded":
        body = caller.get(path, {"$expand": LINES}).json()["d"][LINES]
    else:
        body = caller.get(f"{path}/{LINES}").json()["d"]
    pages = [body["results"]]
    while "__next" in body:
        assert f"/{path}/{LINES}?$skiptoken=guid'{pages[-1][-1]['ID']}'" in body["__next"]
        body = caller.follow(body["__next"]).json()["d"]
        pages.append(body["results"])
    assert [len(page) for page in pages] == sizes
    assert [row["ID"] for page in pages for row in page] == keys


def test_columns_of_a_collection_are_chosen_with_a_slash() -> None:
    caller, path, _ = long_invoice(5)
    options = {"$select": f"InvoiceID, {LINES}/ID,{LINES}/Item", "$expand": LINES}
    row = caller.get(path, options).json()["d"]
    assert row.keys() == {"__metadata", "InvoiceID", LINES}
    assert {frozenset(line) for line in row[LINES]["results"]} == {
        frozenset({"__metadata", "ID", "Item"})
    }
    assert f"/{LINES}?$select=ID,Item&$skiptoken=" in row[LINES]["__next"]
    (last,) = caller.follow(row[LINES]["__next"]).json()["d"]["results"]
    assert last.keys() == {"__metadata", "ID", "Item"}


def test_a_collection_that_is_chosen_but_not_expanded_is_deferred() -> None:
    caller, path, _ = long_invoice(1)
    row = caller.get(path, {"$select": f"InvoiceID,{LINES}"}).json()["d"]
    assert row.keys() == {"__metadata", "InvoiceID", LINES}
    assert row[LINES]["__deferred"]["uri"].endswith(f"{path}/{LINES}")
    row = caller.get(path, {"$select": "InvoiceID", "$expand": LINES}).json()["d"]
    assert row.keys() == {"__metadata", "InvoiceID"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("inventory/AssemblyOrders", "PartItems"),
        ("inventory/AssemblyBillOfMaterialHeader", "AssemblyBillOfMaterialMaterials"),
        ("purchaseorder/GoodsReceiptLines", "BatchNumbers"),
        ("purchaseorder/PurchaseReturnLines", "SerialNumbers"),
        ("sync/CRM/Accounts", "BankAccounts"),
        ("sync/SalesOrder/GoodsDeliveryLines", "BatchNumbers"),
        ("activities/Tasks", "Attachments"),
        ("hrm/Divisions", "Class_01"),
    ],
)
def test_collections_of_the_reference_are_there(path: str, name: str) -> None:
    _, caller = small()
    row = caller.get(path).json()["d"]["results"][0]
    uri = row[name]["__deferred"]["uri"]
    assert uri == f"{row['__metadata']['uri']}/{name}"
    assert isinstance(caller.follow(uri).json()["d"]["results"], list)
    key = "Timestamp" if path.startswith("sync/") else "Code" if "Div" in path else "ID"
    options = {"$select": f"{key},{name}", "$expand": name}
    row = caller.get(path, options).json()["d"]["results"][0]
    assert isinstance(row[name]["results"], list)
    atom = caller.get(path, options, headers={"Accept": "*/*"})
    assert f"/related/{name}" in atom.text


def test_extra_fields_of_items_need_a_date_and_take_an_item() -> None:
    box, caller = small()
    path = "read/logistics/ItemExtraField"
    assert error_text(caller.get(path)) == "Invalid: ItemID or Modified."
    item = f"guid'{box.rows('logistics/Items', caller.division)[0]['ID']}'"
    assert error_text(caller.get(path, {"itemId": item})) == "Invalid: ItemID or Modified."
    date = {"modified": "datetime'1970-01-01T00:00:00'"}
    for query in (date, {**date, "itemId": item}):
        assert isinstance(caller.get(path, query).json()["d"]["results"], list)
