from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from exact_source.sandbox import Sandbox
from exact_source.sandbox.http.errors import RefusedError
from exact_source.sandbox.odata.filters import parse_filter
from tests.support.sandbox_kit import ALL_ACCOUNTS, Caller, error_text, new_box

COLUMNS = {
    "ID": "g",
    "Name": "s",
    "Code": "s",
    "Count": "i",
    "Big": "l",
    "Price": "m",
    "Day": "t",
    "Open": "b",
}
ROW: dict[str, Any] = {
    "ID": "0f0f0f0f-0000-4000-a000-000000000001",
    "Name": "O'Brien & Zn.",
    "Code": "             10001",
    "Count": 7,
    "Big": 11386558735,
    "Price": 12.5,
    "Day": datetime.fromisoformat("2024-02-29T13:45:10.123"),
    "Open": True,
}


@pytest.fixture(scope="module")
def box() -> Sandbox:
    return new_box()


@pytest.fixture
def caller(box: Sandbox) -> Caller:
    box.state.errors.allowed = 10**6
    return Caller(box)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("Name eq 'O''Brien & Zn.'", True),
        ("Name eq 'o''brien & zn.  '", True),
        ("Name ne 'x'", True),
        ("Name lt 'P' and Name gt 'N'", True),
        ("Code eq '10001'", False),
        ("trim(Code) eq '10001'", True),
        ("substringof('BRIEN', Name)", True),
        ("startswith(Name, 'O''B') eq true", True),
        ("endswith(Name,'x') or Count eq 7", True),
        ("ID eq guid'0F0F0F0F-0000-4000-A000-000000000001'", True),
        ("Big gt 11386558734L", True),
        ("Big gt 11386558735L", False),
        ("Big ge 11386558735", True),
        ("Price le 12.5", True),
        ("Price lt 12.5d", False),
        ("Count eq -7", False),
        ("Day ge datetime'2024-02-29T13:45:10.123'", True),
        ("Day gt datetime'2024-02-29T13:45:10.123'", False),
        ("Day ge datetime'2024-02-29'", True),
        ("Day lt datetime'2024-02-29T13:45'", False),
        ("Day ge datetime'2024-02-29T00:00:00Z'", True),
        ("year(Day) eq 2024 and month(Day) eq 2", True),
        ("Open eq true", True),
        ("Open", True),
        ("not Open", False),
        ("not (Count gt 7)", True),
        ("Missing eq null", True),
        ("Missing ne null", False),
        ("Missing gt 1", False),
        ("1 lt Count", True),
        ("Count eq 1 or Count eq 7 and Open eq false", False),
        ("(Count eq 1 or Count eq 7) and Open eq true", True),
    ],
)
def test_filter(text: str, passes: bool) -> None:
    found = parse_filter(text, COLUMNS | {"Missing": "i"}, {})
    assert found.matches(ROW) is passes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Name",
        "name eq 'x'",
        "Nope eq 1",
        "Name eq 1",
        "Name eq x",
        "Count eq '7'",
        "Count eq Big",
        "Count gt null",
        "1 eq 1",
        "ID eq 'x'",
        "ID eq guid'xyz'",
        "Day gt datetime'yesterday'",
        "Day gt datetime'2024-02-29 12:00:00'",
        "Day gt datetime'2024-02-30T00:00:00'",
        "Day gt datetime'2024-02-29T00:00:00+02:00'",
        "Day gt '2024-02-29'",
        "Name eq 'x",
        "Name eq 'x' and",
        "Name eq 'x')",
        "(Name eq 'x'",
        "Account/Name eq 'x'",
        "round(Price) eq 1",
        "Name like 'x'",
        "startswith(Count, 'x')",
    ],
)
def test_filter_that_exact_does_not_understand(text: str) -> None:
    with pytest.raises(RefusedError):
        parse_filter(text, COLUMNS, {})


def test_filter_finds_columns_that_are_the_same_in_every_row(caller: Caller) -> None:
    everything = caller.rows("crm/Contacts", {"$select": "ID"})
    division = {"$select": "ID", "$filter": f"Division eq {caller.division}"}
    assert caller.rows("crm/Contacts", division) == everything


SYNC_TIMESTAMP = "read/sync/Sync/SyncTimestamp"
UNSUPPORTED = "Filtering on these fields is not supported: Modified"
NO_GUID = "guid'00000000-0000-0000-0000-000000000000'"
NO_SELECTION = "Type 'Exact.Web.Api.Models.{}' does not have a property named '{}'."
REFUSED = [
    ("crm/Quotations", {}, "Please add a $select or a $top=1 statement to the query string."),
    ("crm/Quotations", {"$top": "2"}, "Please add a $select"),
    ("bulk/CRM/Contacts", {}, "Please add a $select"),
    ("crm/Contacts", {"$select": "id"}, NO_SELECTION.format("Contact", "id")),
    ("crm/Contacts", {"$select": "ID,Nope"}, NO_SELECTION.format("Contact", "Nope")),
    ("crm/Contacts", {"$select": "ID,Timestamp"}, NO_SELECTION.format("Contact", "Timestamp")),
    (
        "crm/QuotationLines",
        {"$select": "ID", "$filter": ALL_ACCOUNTS},
        "No property 'Modified' exists in type 'Exact.Web.Api.Models.CRM.QuotationLine' at position 0.",
    ),
    (
        "crm/Contacts",
        {"$filter": "FullName eq 'x' and Nope eq 1"},
        "No property 'Nope' exists in type 'Exact.Web.Api.Models.Contact' at position 20.",
    ),
    ("sync/CRM/Contacts", {"$select": "*"}, "$select=* is not supported"),
    ("bulk/CRM/Contacts", {"$select": "ID", "$filter": ALL_ACCOUNTS}, UNSUPPORTED),
    ("sync/CRM/Contacts", {"$select": "ID", "$filter": ALL_ACCOUNTS}, UNSUPPORTED),
    ("sync/CRM/Contacts", {"$select": "ID", "$skip": "5"}, "$skip"),
    ("bulk/CRM/Contacts", {"$select": "ID", "$skip": "5"}, "$skip"),
    ("crm/Contacts", {"$select": "ID", "$orderby": "ID,Nope"}, "No property 'Nope' exists in type"),
    ("crm/Contacts", {"$select": "ID", "$orderby": "ID up"}, "query syntax"),
    ("salesinvoice/SalesInvoices", {"$select": "SalesInvoiceLines/ID"}, "query syntax"),
    ("crm/Contacts", {"$select": "ID", "$top": "x"}, "query syntax"),
    ("crm/Contacts", {"$select": "ID", "$apply": "x"}, "query syntax"),
    ("crm/Contacts", {"$select": "ID", "$skiptoken": "12"}, "query syntax"),
    ("crm/Contacts", {"$select": "ID", "$skiptoken": "guid'x'"}, "query syntax"),
    ("crm/Contacts", {"$select": "ID", "$skiptoken": f"{NO_GUID},{NO_GUID}"}, "query syntax"),
    ("crm/Contacts", {"$select": "ID", "$inlinecount": "some"}, "query syntax"),
    ("crm/Contacts", {"$select": "ID", "$expand": "Account"}, "query syntax"),
    ("read/logistics/StockPosition", {}, "The parameter itemId is missing."),
    ("read/logistics/StockPosition", {"itemId": "12"}, "query syntax"),
    ("read/logistics/StockPosition", {"itemid": NO_GUID}, "itemId is missing"),
    (SYNC_TIMESTAMP, {"modified": "datetime'2020-01-01'", "endPoint": "'Accounts'"}, "endPoint"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "options", "text"), REFUSED)
def test_refused_with_400(caller: Caller, path: str, options: dict[str, str], text: str) -> None:
    answer = caller.get(path, options)
    assert answer.status_code == 400
    assert text in error_text(answer)


def test_option_given_twice_is_refused(caller: Caller) -> None:
    url = f"/api/v1/{caller.division}/crm/Contacts?$select=ID&$select=ID"
    assert caller.follow(url).status_code == 400


def test_filter_instead_of_a_parameter_is_refused(caller: Caller) -> None:
    item = "guid'00000000-0000-0000-0000-000000000000'"
    options = {"itemId": item, "$filter": f"ItemId eq {item}"}
    assert caller.get("read/logistics/StockPosition", options).status_code == 400


def test_forgotten_dollar_on_a_function_ends_in_an_empty_503(caller: Caller) -> None:
    answer = caller.get("read/financial/ReceivablesList", {"select": "HID"})
    assert (answer.status_code, answer.content) == (503, b"")


@pytest.mark.parametrize(
    "path",
    ["crm/accounts", "crm/Nope", "CRM/contacts", "sync/CRM/SalesOrders", "", "crm", "123"],
)
def test_wrong_path_or_case_is_not_found(caller: Caller, path: str) -> None:
    assert caller.get(path, {"$select": "ID"}).status_code == 404


def test_url_over_6000_characters_is_too_long(caller: Caller) -> None:
    select = ",".join(["ID"] * 900)
    assert caller.get("crm/Contacts", {"$select": select}).status_code == 200
    select = ",".join(["ID"] * 1300)
    assert caller.get("crm/Contacts", {"$select": select}).status_code == 414


def test_top_1_needs_no_select(caller: Caller) -> None:
    body = caller.get("crm/Contacts", {"$top": "1"}).json()
    assert len(body["d"]) == 1
    assert len(body["d"][0]) > 50


FILTER = {"$filter": ALL_ACCOUNTS}
SEEN = {"require_select": "never", "require_filter": "seen"}


@pytest.mark.parametrize(
    ("settings", "path", "options", "text"),
    [
        ({}, "crm/Accounts", {}, None),
        ({}, "crm/Quotations", {"$top": "1"}, None),
        ({}, "bulk/Logistics/Items", {}, "Please add a $select"),
        ({"require_select": "never"}, "crm/Quotations", {}, None),
        ({"require_select": "never"}, "bulk/Logistics/Items", {}, None),
        ({"strict": True}, "crm/Contacts", FILTER, "Please add a $select"),
        ({"strict": True}, "crm/Contacts", {"$select": "ID"}, "mandatory filtering"),
        ({"strict": True}, "crm/Contacts", {"$select": "ID", **FILTER}, None),
        ({"require_select": "everywhere"}, "crm/Contacts", {}, "Please add a $select"),
        ({"require_select": "everywhere"}, "crm/Contacts", {"$select": "ID"}, None),
        (SEEN, "crm/Contacts", {}, None),
        (SEEN, "crm/Accounts", {}, "This endpoint has mandatory filtering applied."),
        (SEEN, "crm/Accounts", {"$filter": "City eq 'Oss'"}, "mandatory filtering"),
        (SEEN, "bulk/CRM/Accounts", {}, "mandatory filtering"),
        (SEEN, "crm/Accounts", FILTER, None),
    ],
)
def test_select_and_filter_are_demanded_by_switches_of_their_own(
    settings: dict[str, Any], path: str, options: dict[str, str], text: str | None
) -> None:
    answer = Caller(new_box(**settings)).get(path, options)
    assert answer.status_code == (200 if text is None else 400)
    assert text is None or text in error_text(answer)


@pytest.mark.parametrize(
    "path",
    [
        "CRM/Accounts",
        "Crm//Accounts/",
        "SYNC/crm/Accounts",
        "Bulk/Crm/Accounts",
        "System/Divisions",
    ],
)
def test_the_service_is_matched_without_case_and_slashes_may_be_doubled(
    caller: Caller, path: str
) -> None:
    before = len(caller.box.requests)
    assert (
        caller.get(path, {"$select": "Division" if "crm" in path.lower() else "Code"}).status_code
        == 200
    )
    (logged,) = caller.box.requests[before:]
    assert logged.path in {e.path for e in caller.box.state.catalogue}


def test_a_slash_too_many_in_front_of_me_does_no_harm(caller: Caller) -> None:
    assert caller.follow("/api/v1//Current/Me").status_code == 200


def test_deleted_can_be_filtered_on_the_entity_type(caller: Caller) -> None:
    options = {"$select": "ID", "$filter": "EntityType eq 2 and Timestamp gt 1L"}
    assert caller.get("sync/Deleted", options).status_code == 200


def test_orderby_counts_on_regular_feeds_and_is_dropped_on_sync(caller: Caller) -> None:
    options = {"$select": "Code,Name,ID", "$orderby": "Name desc, Code"}
    names = [row["Name"] for row in caller.rows("crm/Accounts", options)]
    assert names == sorted(names, reverse=True)
    options["$select"] = "Timestamp"
    versions = [int(row["Timestamp"]) for row in caller.rows("sync/CRM/Accounts", options)]
    assert versions == sorted(versions)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_writing_is_not_part_of_the_sandbox(caller: Caller, method: str) -> None:
    headers = {"Authorization": f"Bearer {caller.token}"}
    answer = caller.send(method, f"/api/v1/{caller.division}/crm/Accounts", headers)
    assert answer.status_code == 405
